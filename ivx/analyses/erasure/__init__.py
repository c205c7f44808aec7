"""Erasure: does the part of a vector that a probe can read cause its effect?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ivx.analyses.base import Analysis, Progress, Saved, Steps, Words, name_of, names_of
from ivx.analyses.erasure.request import ErasureRequest

if TYPE_CHECKING:
    from ivx.analyses.erasure.result import Erasure
    from ivx.models.model import Model


def erasure(
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
    component: str = "resid_post",
    tasks: Sequence[str] = ("all",),
    wordings: int = 60,
    folds: int = 3,
    seed: int = 0,
    dtype: str = "auto",
    device: str = "auto",
    adapter: str | None = None,
    weights: str = "auto",
    on_progress: Progress[Erasure] | None = None,
) -> Erasure:
    """The effect of one instruction's vector by layer, with and without the part that tells tasks apart.

    Args:
        model: a loaded model, or a name to load.
        task: `animal/colour`, or a user's file.
        on_progress: called with the result so far; what it raises ends the work.

    The others are as in `ErasureRequest`.
    """
    request = ErasureRequest(
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
        component=component,
        tasks=names_of(tasks),
        wordings=wordings,
        folds=folds,
        seed=seed,
        dtype=dtype,
        device=device,
        adapter=adapter,
        weights=weights,
    )
    return ERASURE.answer(model, request, on_progress=on_progress)


class Erasing(Analysis[ErasureRequest, "Erasure"]):
    """A vector's effect by layer: whole, without the part that tells tasks apart, and without a random part."""

    request = ErasureRequest
    function = staticmethod(erasure)
    title = "a vector's effect without what tells tasks apart in it, by layer"
    page = "separability"

    @property
    def steps(self) -> Steps[ErasureRequest, Erasure]:
        from ivx.analyses.erasure.compute import STEPS

        return STEPS

    @property
    def saved(self) -> Saved[ErasureRequest, Erasure]:
        from ivx.analyses.erasure.saved import SAVED

        return SAVED

    @property
    def words(self) -> Words[Erasure]:
        from ivx.analyses.erasure.text import WORDS

        return WORDS


ERASURE = Erasing()
