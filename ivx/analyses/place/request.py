"""The request of a place: where an instruction's vector acts is searched for, not assumed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ivx.errors import IvxError
from ivx.request import Request, check_counts, check_word
from ivx.vocabulary import POSITION_WORDS, SOURCE_WORDS

READERS = ("none", "blocks", "heads")


@dataclass(frozen=True)
class PlaceRequest(Request):
    """The search for a place: source token × patched token × layer, coarse to fine, beside its controls.

    Attributes:
        source_token: instruction tokens that the vector is taken from: `all` that have a name, or `t_inst`, `keyword`,
            `before` (the keyword), `first` or an index alone.
        position: tokens of the bare prompt that are patched: `all`, or `first`, `field`, `query`, `mark`, `cue`, `last`
            or an index alone.
        samples: how many queries are asked in all.
        choosing: how many of them choose the place, at most half; the others confirm it.
        every: the coarse search tries every so manieth layer.
        readers: what is sought that reads the vector at its place: `none`, `blocks`, or `heads` in the reading blocks,
            too.
        layer: the layer whose readers are sought; by default the first that acts nearly as much as the best one.
    """

    kind: ClassVar[str] = "place"
    source_words: ClassVar[tuple[str, ...]] = ("all", *SOURCE_WORDS)
    position_words: ClassVar[tuple[str, ...]] = ("all", *POSITION_WORDS)
    phrased: ClassVar[tuple[str, ...]] = ("keyword", "before")
    source_token: str = "all"
    position: str = "all"
    samples: int = 28
    choosing: int = 8
    every: int = 3
    readers: str = "blocks"
    layer: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, samples=(4, 10_000), choosing=(2, 5_000), every=(1, 100))
        check_word("readers", self.readers, READERS)
        if self.layer is not None and not 0 <= self.layer < 10_000:
            raise IvxError(f"layer is {self.layer}: choose one of the checkpoint's, from 0")
