"""Records of the surrogate: paths, and how well sums of parts give the logits. Results hold them, so no torch here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
"""By dtype: largest allowed deviation of a fidelity from 1, and of an identity from 0 relative to what is summed."""


class Fidelity(NamedTuple):
    """How well summed parts `z'` give the model's logits `z`: their cosine, and |z'| / |z|."""

    cosine: float
    ratio: float

    def within(self, tolerance: float) -> bool:
        """Whether both are 1 within the tolerance."""
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


RANK = 100
"""A path counts when its own logits give the answer this rank or a better one."""


class Begun(NamedTuple):
    """Published paths that begin at one token: how many there are, how many of them were `listed`, and how many of
    these count as `ranked`."""

    token: int
    ranked: int
    listed: int
    paths: int


def begun(steps: NDArray[np.integer]) -> list[int]:
    """How many paths lead from each token's embedding to the last token.

    Args:
        steps: ways from each token to each `[layers, to, from]`; staying is a way.
    """
    ways = np.zeros(steps.shape[-1], dtype=object)  # whole numbers of any size
    ways[-1] = 1
    for layer in steps[::-1].astype(object):
        ways = ways @ layer
    return [int(count) for count in ways]


class Published(NamedTuple):
    """How far the published sums are from the model's logits.

    `everything` is the fidelity of the sum over all `paths`; `ranked`, of the sum over those that count (scaled up
    where `drawn`), None where none does; `kept` is their share.
    """

    paths: int
    everything: Fidelity
    ranked: Fidelity | None
    kept: float
    drawn: bool
