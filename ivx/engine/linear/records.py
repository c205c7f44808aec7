"""What the surrogate's parts are told in: plain records, without torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor


class Fidelity(NamedTuple):
    """Of summed parts `z'` to the model's logits `z`: their cosine, and |z'| / |z|."""

    cosine: float
    ratio: float

    @classmethod
    def of(cls, parts: Tensor, whole: Tensor) -> Fidelity:
        """Of logits `[vocabulary]`."""
        mine, real = parts.double(), whole.double()
        return cls(
            float(torch.cosine_similarity(mine, real, dim=0)),
            float(torch.linalg.vector_norm(mine) / torch.linalg.vector_norm(real)),
        )

    def within(self, tolerance: float) -> bool:
        """Whether both are 1."""
        return abs(self.cosine - 1) <= tolerance and abs(self.ratio - 1) <= tolerance


class Move(NamedTuple):
    """One head's step from a token to a later one, or to itself."""

    layer: int
    head: int
    start: int
    end: int


class Path(NamedTuple):
    """One route. It begins at the embedding of token `start`, or, where `layer` is set, at a constant of that block."""

    start: int
    layer: int | None
    moves: tuple[Move, ...]
    value: float

    @property
    def heads(self) -> tuple[tuple[int, int], ...]:
        """Layer and head of each move."""
        return tuple((move.layer, move.head) for move in self.moves)


def by_heads(paths: Iterable[Path]) -> dict[tuple[tuple[int, int], ...], float]:
    """Values summed over paths that go by the same heads, whatever their tokens; largest first."""
    found: dict[tuple[tuple[int, int], ...], float] = defaultdict(float)
    for path in paths:
        found[path.heads] += path.value
    return dict(sorted(found.items(), key=lambda pair: -abs(pair[1])))


class Published(NamedTuple):
    """How far the published sums are from the model's logits.

    `everything` is of the sum over all `paths`; `ranked`, over those that count (scaled up where `drawn`), None
    where none does; `kept` is their share.
    """

    paths: int
    everything: Fidelity
    ranked: Fidelity | None
    kept: float
    drawn: bool
