"""Variance: whether a vector's effect is that of other wordings, queries and answers, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ivx.analyses.base import Analysis, Progress, Saved, Steps, Words, name_of, names_of
from ivx.analyses.variance.request import VarianceRequest

if TYPE_CHECKING:
    from ivx.analyses.variance.result import Variance
    from ivx.models.model import Model


def variance(
    model: Model | str,
    task: str,
    *,
    layer: int,
    against: str | None = None,
    source_token: str = "t_inst",
    target_format: str = "prompt",
    samples: int = 24,
    template: str = "",
    system: str = "",
    demonstrations: int = 0,
    spelling: str = "auto",
    wording: int | None = None,
    position: str = "first",
    wordings: int = 8,
    controls: Sequence[str] = ("task",),
    seed: int = 0,
    dtype: str = "auto",
    device: str = "auto",
    adapter: str | None = None,
    weights: str = "auto",
    on_progress: Progress[Variance] | None = None,
) -> Variance:
    """One vector's effect, every wording with every query: where its spread comes from, and for what its mean holds.

    Args:
        model: a loaded model, or a name to load.
        task: `animal/colour`, or a user's file.
        on_progress: called with the result so far; what it raises ends the work.

    The others are as in `VarianceRequest`.
    """
    request = VarianceRequest(
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
        wordings=wordings,
        controls=names_of(controls),
        seed=seed,
        dtype=dtype,
        device=device,
        adapter=adapter,
        weights=weights,
    )
    return VARIANCE.answer(model, request, on_progress=on_progress)


class Varying(Analysis[VarianceRequest, "Variance"]):
    """A vector's effect, crosswise."""

    request = VarianceRequest
    function = staticmethod(variance)
    title = "whether a vector's effect holds for other wordings, queries and answers"
    page = "place"

    @property
    def steps(self) -> Steps[VarianceRequest, Variance]:
        from ivx.analyses.variance.compute import STEPS

        return STEPS

    @property
    def saved(self) -> Saved[VarianceRequest, Variance]:
        from ivx.analyses.variance.saved import SAVED

        return SAVED

    @property
    def words(self) -> Words[Variance]:
        from ivx.analyses.variance.text import WORDS

        return WORDS


VARIANCE = Varying()
