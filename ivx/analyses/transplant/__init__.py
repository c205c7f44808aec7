"""Transplant: what another checkpoint's vectors do in this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ivx.analyses.base import Analysis, Progress, Saved, Steps, Words, name_of
from ivx.analyses.transplant.request import TransplantRequest

if TYPE_CHECKING:
    from ivx.analyses.transplant.result import Transplant
    from ivx.analyses.vectors.result import Vectors
    from ivx.models.model import Model


def transplant(
    model: Model | str,
    task: str,
    *,
    vectors: Vectors,
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
    matched: bool = False,
    layers: str = "",
    seed: int = 0,
    dtype: str = "auto",
    device: str = "auto",
    adapter: str | None = None,
    weights: str = "auto",
    on_progress: Progress[Transplant] | None = None,
) -> Transplant:
    """What another checkpoint's vectors do in this one, layer by layer.

    Args:
        model: a loaded model, or a name to load.
        task: `animal/colour`, or a user's file.
        vectors: what `ivx.vectors` returned; the command line names its run in the store.
        on_progress: called with the result so far; what it raises ends the work.

    The others are as in `TransplantRequest`.

    Raises:
        IvxError: vectors of another shape, of other wordings, or of no query in common.
    """
    request = TransplantRequest(
        name_of(model),
        task,
        vectors=vectors.run_id,
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
        matched=matched,
        layers=layers,
        seed=seed,
        dtype=dtype,
        device=device,
        adapter=adapter,
        weights=weights,
    )
    return TRANSPLANT.answer(model, request, on_progress=on_progress, given=(vectors,))


class Graft(Analysis[TransplantRequest, "Transplant"]):
    """Another checkpoint's vectors written at one token of the bare prompt, layer by layer."""

    request = TransplantRequest
    function = staticmethod(transplant)
    title = "what another checkpoint's vectors do in this one, by layer"
    page = None
    elsewhere = "It is a part of a comparison: the page Post-training shows it beside the others."

    @property
    def steps(self) -> Steps[TransplantRequest, Transplant]:
        from ivx.analyses.transplant.compute import STEPS

        return STEPS

    @property
    def saved(self) -> Saved[TransplantRequest, Transplant]:
        from ivx.analyses.transplant.saved import SAVED

        return SAVED

    @property
    def words(self) -> Words[Transplant]:
        from ivx.analyses.transplant.text import WORDS

        return WORDS

    def needs(self, request: TransplantRequest) -> tuple[str, ...]:
        return (request.vectors,)


TRANSPLANT = Graft()
