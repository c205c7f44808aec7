"""Following: whether a model does what it is told, and would not do without being told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ivx.stats.intervals import share_interval

FLOOR = 0.1
"""The share that follows is above it for certain, or the model does not follow."""


class Share(NamedTuple):
    """A share, or a difference of two, with its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, hits: float, n: int) -> Share:
        """So many of n, with Wilson's interval."""
        return cls(hits / n, *share_interval(hits, n))

    @property
    def told(self) -> str:
        """The share and its interval in words."""
        return f"{100 * self.value:.0f}% [{100 * self.low:.0f}, {100 * self.high:.0f}]"


class Following(NamedTuple):
    """What the same queries do told and untold: how many follow in both runs, in one of them alone, in neither.

    Raises:
        ZeroDivisionError: by every share, where no query was asked.
    """

    both: int
    told_only: int
    bare_only: int
    neither: int

    @classmethod
    def counted(cls, told: Sequence[bool], bare: Sequence[bool]) -> Following:
        """Of whether each query follows told, and untold."""
        pairs = list(zip(map(bool, told), map(bool, bare), strict=True))
        return cls(*(pairs.count(kind) for kind in ((True, True), (True, False), (False, True), (False, False))))

    @property
    def n(self) -> int:
        """How many queries were asked."""
        return sum(self)

    @property
    def told(self) -> Share:
        """Share that follows when told."""
        return Share.of(self.both + self.told_only, self.n)

    @property
    def bare(self) -> Share:
        """Share that does the same untold."""
        return Share.of(self.both + self.bare_only, self.n)

    @property
    def difference(self) -> Share:
        """Told less untold, paired."""
        return paired_difference(*self)

    @property
    def follows(self) -> bool:
        """Whether more do so told than untold, and more than a floor, beyond chance."""
        return self.n > 0 and self.difference.low > 0 and self.told.low > FLOOR

    def sentence(self, checkpoint: str, task: str, *, shown: str = "") -> str:
        """What must be said before anything is said of the instruction; empty where it is followed.

        Args:
            shown: what a result shows all the same; by default, how the preference moves.
        """
        if self.follows or not self.n:
            return ""
        unsure = self.told.value > max(self.bare.value, FLOOR)
        return (
            f"{checkpoint} {'is not shown to' if unsure else 'does not'} follow {task} when asked like this (told "
            f"{percent(self.told.value)}, untold {percent(self.bare.value)}, n = {self.n}): "
            f"{shown or 'what is shown is how the preference moves, not the behaviour'}."
        )

    def short(self) -> str:
        """The same where the whole sentence stands above; empty where the instruction is followed."""
        if self.follows or not self.n:
            return ""
        told, bare = percent(self.told.value), percent(self.bare.value)
        return f"Not followed (told {told}, untold {bare}): the preference, not the behaviour."


def percent(share: float) -> str:
    """A share as whole per cents."""
    return f"{100 * share:.0f} %"


def paired_difference(both: int, first: int, second: int, neither: int) -> Share:
    """Difference of two shares of the same n, the first less the second, with Newcombe's interval for pairs.

    Newcombe (1998), Statistics in Medicine 17, 2635–2650, method 10: the Wilson intervals of both shares, squared and
    added, less what their correlation, corrected for continuity, has in common.

    Args:
        both, first, second, neither: how many hit in both, in the first alone, in the second alone, in neither.
    """
    n = both + first + second + neither
    one, other = Share.of(both + first, n), Share.of(both + second, n)
    shared = _correlation(both, first, second, neither)

    def reach(up: float, down: float) -> float:
        return float(np.sqrt(max(0.0, up**2 - 2 * shared * up * down + down**2)))

    value = one.value - other.value
    return Share(
        value,
        value - reach(one.value - one.low, other.high - other.value),
        value + reach(one.high - one.value, other.value - other.low),
    )


def _correlation(both: int, first: int, second: int, neither: int) -> float:
    n = both + first + second + neither
    margins = float(both + first) * (second + neither) * (both + second) * (first + neither)
    if not margins:
        return 0.0
    excess = float(both * neither - first * second)
    return float((max(excess - n / 2, 0.0) if excess > 0 else excess) / np.sqrt(margins))
