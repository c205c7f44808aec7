"""Mediation: how much of a vector's effect passes through which heads, parts or tokens behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ivx.analyses.base import Analysis, Progress, Saved, Steps, Words, name_of, names_of
from ivx.analyses.mediation.request import MediationRequest

if TYPE_CHECKING:
    from ivx.analyses.mediation.result import Mediation
    from ivx.models.model import Model


def mediation(
    model: Model | str,
    task: str,
    *,
    layer: int,
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
    through: str = "heads",
    layers: str = "",
    top: int = 8,
    draws: int = 4,
    controls: Sequence[str] = ("task",),
    seed: int = 0,
    dtype: str = "auto",
    device: str = "auto",
    adapter: str | None = None,
    weights: str = "auto",
    on_progress: Progress[Mediation] | None = None,
) -> Mediation:
    """How much of one vector's effect passes through each part behind it, and through the strongest together.

    Args:
        model: a loaded model, or a name to load.
        task: `animal/colour`, or a user's file.
        on_progress: called with the result so far; what it raises ends the work.

    The others are as in `MediationRequest`.
    """
    request = MediationRequest(
        name_of(model),
        task,
        layer=layer,
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
        through=through,
        layers=layers,
        top=top,
        draws=draws,
        controls=names_of(controls),
        seed=seed,
        dtype=dtype,
        device=device,
        adapter=adapter,
        weights=weights,
    )
    return MEDIATION.answer(model, request, on_progress=on_progress)


class Mediating(Analysis[MediationRequest, "Mediation"]):
    """Total, direct and mediated effect of a vector, by what may carry it."""

    request = MediationRequest
    function = staticmethod(mediation)
    title = "how much of a vector's effect passes through each part behind it"
    page = "place"

    @property
    def steps(self) -> Steps[MediationRequest, Mediation]:
        from ivx.analyses.mediation.compute import STEPS

        return STEPS

    @property
    def saved(self) -> Saved[MediationRequest, Mediation]:
        from ivx.analyses.mediation.saved import SAVED

        return SAVED

    @property
    def words(self) -> Words[Mediation]:
        from ivx.analyses.mediation.text import WORDS

        return WORDS


MEDIATION = Mediating()
