"""A turn: a job's time at the device, and when it may end.

It ends only where new rows have been stored since it began, so that no job steps back without having come nearer to its
end. What it costs to begin once more, such as a first pass over the model, is a small part of it: a turn that took long
to come to its first rows lasts longer. What was prepared and is kept is not counted, for it is not prepared again.
"""

from __future__ import annotations

GROWTH = 4.0
"""A turn lasts so many times as long as it takes to begin: at most a quarter of the device's time goes into that."""


class Turn:
    """A turn that begins `now`; `kept` counts the seconds spent so far on what is kept. Times are of any clock."""

    def __init__(self, now: float, *, kept: float = 0.0) -> None:
        self.began, self._kept = now, kept
        self._cost: float | None = None

    def stored(self, now: float, *, kept: float = 0.0) -> None:
        """New rows have been stored."""
        if self._cost is None:
            self._cost = max(0.0, now - self.began - (kept - self._kept))

    @property
    def length(self) -> float | None:
        """Seconds that it lasts while others wait; None until new rows are stored."""
        return None if self._cost is None else GROWTH * self._cost

    def may_end(self, now: float) -> bool:
        """Whether the job may step back for another."""
        return self.length is not None and now - self.began >= self.length
