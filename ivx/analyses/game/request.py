"""The request of the clean game: what a token's keys and values do, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ivx.request import Request, check_counts
from ivx.vocabulary import POSITION_WORDS


@dataclass(frozen=True)
class GameRequest(Request):
    """The clean game: blocks in which later tokens read one position's keys and values from the source run.

    Attributes:
        position: target token whose keys and values are read: `first`, `field` (the last before the query), `query`
            (its first), `mark` (the first behind it), `cue` (the last of the cue word) or an index; tokens must follow
            it.
        permutations: random orders of the players that are drawn where there are too many to run every coalition; up to
            eight times as many where their halves disagree.
    """

    kind: ClassVar[str] = "game"
    position_words: ClassVar[tuple[str, ...]] = tuple(name for name in POSITION_WORDS if name != "last")
    samples: int = 20
    permutations: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, permutations=(1, 10_000))
