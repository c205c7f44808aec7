"""Pathways: by which tokens, layers and heads an instruction produces its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ivx.analyses.base import Analysis, Answer, Extra, Progress, Saved, Steps, Words, name_of, names_of
from ivx.analyses.pathways.request import PathwaysRequest

if TYPE_CHECKING:
    from ivx.analyses.pathways.result import Pathways
    from ivx.models.model import Model


def pathways(
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
    position: str = "first",
    of: str = "contrast",
    wording: int | None = None,
    patch_layer: int | None = None,
    paths: int = 20,
    traced: int = 4,
    ablation: str = "mean",
    edge_check: bool = False,
    published: bool = False,
    rankings: Sequence[str] = (),
    dtype: str = "float32",
    seed: int = 0,
    device: str = "auto",
    adapter: str | None = None,
    weights: str = "auto",
    on_progress: Progress[Pathways] | None = None,
) -> Pathways:
    """Pathways of one instruction, beside its contrast's, on one checkpoint.

    Args:
        model: a loaded model, or a name to load.
        task: `animal/colour`, or a user's file.
        on_progress: called with the result so far; what it raises ends the work.

    The others are as in `PathwaysRequest`.

    Raises:
        UnsupportedArchitecture: the surrogate would not be exact on this model; says why.
    """
    request = PathwaysRequest(
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
        position=position,
        of=of,
        wording=wording,
        patch_layer=patch_layer,
        paths=paths,
        traced=traced,
        ablation=ablation,
        edge_check=edge_check,
        published=published,
        rankings=names_of(rankings),
        dtype=dtype,
        seed=seed,
        device=device,
        adapter=adapter,
        weights=weights,
    )
    return PATHWAYS.answer(model, request, on_progress=on_progress)


class Flows(Analysis[PathwaysRequest, "Pathways"]):
    """The answer's logit split over tokens, heads and edges, and circuits tried in the real model."""

    request = PathwaysRequest
    function = staticmethod(pathways)
    title = "by which tokens, layers and heads an answer comes about"
    page = "pathways"
    measured = False
    extras = {"beside": Extra("compare with this checkpoint's pathways, too", "CHECKPOINT")}

    @property
    def steps(self) -> Steps[PathwaysRequest, Pathways]:
        from ivx.analyses.pathways.compute import STEPS

        return STEPS

    @property
    def saved(self) -> Saved[PathwaysRequest, Pathways]:
        from ivx.analyses.pathways.saved import SAVED

        return SAVED

    @property
    def words(self) -> Words[Pathways]:
        from ivx.analyses.pathways.text import WORDS

        return WORDS

    def summary(
        self, found: Pathways, metric: str, *, answer: Answer, beside: str | None = None, **extras: Any
    ) -> dict[str, Any]:
        told = found.summary()
        if beside is None:
            return told
        other = answer(found.request.beside(beside))
        return {**told, "overlap": [*told["overlap"], asdict(found.beside(other))]}


PATHWAYS = Flows()
