"""Interactions: what patches do together beyond the sum of what they do apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ivx.analyses.base import Analysis, Answer, Extra, Progress, Saved, Steps, Words, name_of, names_of
from ivx.analyses.interactions.request import InteractionsRequest

if TYPE_CHECKING:
    from ivx.analyses.interactions.result import Interactions
    from ivx.models.model import Model


def interactions(
    model: Model | str,
    task: str,
    *,
    against: str | None = None,
    source_token: str = "t_inst",
    target_format: str = "prompt",
    samples: int = 40,
    template: str = "",
    system: str = "",
    demonstrations: int = 0,
    spelling: str = "auto",
    wording: int | None = None,
    position: str = "first",
    sites: Sequence[str] = ("resid_post",),
    over: str = "layers",
    order: int = 2,
    controls: Sequence[str] = ("task", "random"),
    patch: str = "overwrite",
    restored: bool = False,
    layers: str = "",
    heads: str = "",
    seed: int = 0,
    dtype: str = "auto",
    device: str = "auto",
    adapter: str | None = None,
    weights: str = "auto",
    on_progress: Progress[Interactions] | None = None,
) -> Interactions:
    """Interactions between all players of one game on one checkpoint.

    Args:
        model: a loaded model, or a name to load.
        task: `animal/colour`, or a user's file.
        on_progress: called with the result so far; what it raises ends the work.

    The others are as in `InteractionsRequest`.
    """
    request = InteractionsRequest(
        name_of(model),
        task,
        against=against,
        source_token=source_token,
        target_format=target_format,
        samples=samples,
        template=template,
        system=system,
        demonstrations=demonstrations,
        spelling=spelling,
        wording=wording,
        position=position,
        sites=names_of(sites),
        over=over,
        order=order,
        controls=names_of(controls),
        patch=patch,
        restored=restored,
        layers=layers,
        heads=heads,
        seed=seed,
        dtype=dtype,
        device=device,
        adapter=adapter,
        weights=weights,
    )
    return INTERACTIONS.answer(model, request, on_progress=on_progress)


class PairMap(Analysis[InteractionsRequest, "Interactions"]):
    """J of all pairs of players of one game."""

    request = InteractionsRequest
    function = staticmethod(interactions)
    title = "what patches do together beyond their sum"
    page = "interactions"
    extras = {"published_test": Extra("add the p of the paper's own script, which passes at any data")}

    @property
    def steps(self) -> Steps[InteractionsRequest, Interactions]:
        from ivx.analyses.interactions.compute import STEPS

        return STEPS

    @property
    def saved(self) -> Saved[InteractionsRequest, Interactions]:
        from ivx.analyses.interactions.saved import SAVED

        return SAVED

    @property
    def words(self) -> Words[Interactions]:
        from ivx.analyses.interactions.text import WORDS

        return WORDS

    def summary(
        self, found: Interactions, metric: str, *, answer: Answer, published_test: bool = False, **extras: Any
    ) -> dict[str, Any]:
        told = found.summary(metric)
        if published_test:
            from ivx.stats.published import LABEL

            told["published_test"] = {"label": LABEL, "p": found.published_test(metric)}
        return told


INTERACTIONS = PairMap()
