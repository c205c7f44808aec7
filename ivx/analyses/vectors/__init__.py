"""Vectors: the states of an instruction's source token, to be compared and transplanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ivx.analyses.base import Analysis, Progress, Saved, Steps, Words, name_of
from ivx.analyses.vectors import file
from ivx.analyses.vectors.request import VectorsRequest
from ivx.formats.vector import OVERWRITE

if TYPE_CHECKING:
    from ivx.analyses.vectors.result import Vectors
    from ivx.models.model import Model


def vectors(
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
    component: str = "resid_post",
    seed: int = 0,
    dtype: str = "auto",
    device: str = "auto",
    adapter: str | None = None,
    weights: str = "auto",
    on_progress: Progress[Vectors] | None = None,
) -> Vectors:
    """The vectors of one instruction on one checkpoint, sample by sample.

    Args:
        model: a loaded model, or a name to load.
        task: `animal/colour`, or a user's file.
        on_progress: called with the result so far; what it raises ends the work.

    The others are as in `VectorsRequest`.
    """
    request = VectorsRequest(
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
        component=component,
        seed=seed,
        dtype=dtype,
        device=device,
        adapter=adapter,
        weights=weights,
    )
    return VECTORS.answer(model, request, on_progress=on_progress)


class SourceStates(Analysis[VectorsRequest, "Vectors"]):
    """The states of the source token in every layer, sample by sample."""

    request = VectorsRequest
    function = staticmethod(vectors)
    title = "an instruction's states, to be compared between checkpoints or transplanted"
    page = None
    elsewhere = "It is a part of a comparison: the page Post-training shows it beside the others."
    measured = False
    extras = file.EXTRAS

    @property
    def steps(self) -> Steps[VectorsRequest, Vectors]:
        from ivx.analyses.vectors.compute import STEPS

        return STEPS

    @property
    def saved(self) -> Saved[VectorsRequest, Vectors]:
        from ivx.analyses.vectors.saved import SAVED

        return SAVED

    @property
    def words(self) -> Words[Vectors]:
        from ivx.analyses.vectors.text import WORDS

        return WORDS

    def check_extras(self, **extras: Any) -> None:
        file.check(OVERWRITE, **extras)

    def write(self, found: Vectors, **extras: Any) -> None:
        file.write(found, OVERWRITE, **extras)


VECTORS = SourceStates()
