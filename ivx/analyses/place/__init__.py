"""Place: where an instruction's vector acts, searched for; and who reads it there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ivx.analyses.base import Analysis, Progress, Saved, Steps, Words, name_of
from ivx.analyses.place.request import PlaceRequest

if TYPE_CHECKING:
    from ivx.analyses.place.result import Place
    from ivx.models.model import Model


def place(
    model: Model | str,
    task: str,
    *,
    against: str | None = None,
    source_token: str = "all",
    target_format: str = "prompt",
    samples: int = 28,
    template: str = "",
    system: str = "",
    demonstrations: int = 0,
    spelling: str = "auto",
    wording: int | None = None,
    position: str = "all",
    choosing: int = 8,
    every: int = 3,
    readers: str = "blocks",
    layer: int | None = None,
    seed: int = 0,
    dtype: str = "auto",
    device: str = "auto",
    adapter: str | None = None,
    weights: str = "auto",
    on_progress: Progress[Place] | None = None,
) -> Place:
    """Where one instruction's vector acts on one checkpoint: from which token, on which token, in which layers.

    Args:
        model: a loaded model, or a name to load.
        task: `animal/colour`, or a user's file.
        on_progress: called with the result so far; what it raises ends the work.

    The others are as in `PlaceRequest`.
    """
    request = PlaceRequest(
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
        choosing=choosing,
        every=every,
        readers=readers,
        layer=layer,
        seed=seed,
        dtype=dtype,
        device=device,
        adapter=adapter,
        weights=weights,
    )
    return PLACE.answer(model, request, on_progress=on_progress)


class PlaceSearch(Analysis[PlaceRequest, "Place"]):
    """A search over the tokens that a vector is taken from, those it is put on, and the layers."""

    request = PlaceRequest
    function = staticmethod(place)
    title = "where an instruction's vector acts, searched for by token and layer, and what reads it there"
    page = "place"

    @property
    def steps(self) -> Steps[PlaceRequest, Place]:
        from ivx.analyses.place.compute import STEPS

        return STEPS

    @property
    def saved(self) -> Saved[PlaceRequest, Place]:
        from ivx.analyses.place.saved import SAVED

        return SAVED

    @property
    def words(self) -> Words[Place]:
        from ivx.analyses.place.text import WORDS

        return WORDS


PLACE = PlaceSearch()
