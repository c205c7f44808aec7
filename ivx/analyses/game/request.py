"""What is asked by patching: effect maps, source scans, interactions and the clean game."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ivx.errors import IvxError
from ivx.request import Request


@dataclass(frozen=True)
class GameRequest(Request):
    """The clean game: blocks whose later tokens read one position's keys and values from the source.

    Attributes:
        position: `first`, `query` or an index into the target prompt; tokens must follow it.
        permutations: orders of the players that are drawn where there are too many for every coalition.
    """

    kind: ClassVar[str] = "game"
    position_words: ClassVar[tuple[str, ...]] = ("first", "query")
    samples: int = 20
    permutations: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.permutations <= 10_000:
            raise IvxError(f"permutations is {self.permutations}: choose 1 to 10,000")
