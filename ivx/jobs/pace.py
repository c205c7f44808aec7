"""Pace: how long the rest of a job will take, from what it has reported so far. Times are seconds of any clock.

Reports come in bursts, a pass at a time, and a job's first moments go into prompts and estimates. So the pace counts
from the first report to the latest, and what has passed since then is taken off.
"""

from __future__ import annotations


class Pace:
    """The reports of one turn of a job: how much of how much work was done when."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None
        self._last = (0.0, 0.0)
        self._total = 0.0

    def told(self, now: float, done: float, total: float) -> None:
        """A report: so much work is done, of so much. What is there at the first one is no sign of speed."""
        if self._first is None or done <= self._first[1]:  # until something is done, the clock has not started
            self._first = self._last = (now, done)
        elif done > self._last[1]:
            self._last = (now, done)
        self._total = total

    def left(self, now: float) -> float | None:
        """Seconds to the end; None before any work was reported."""
        if self._first is None or self._last[1] <= self._first[1]:
            return None
        each = (self._last[0] - self._first[0]) / (self._last[1] - self._first[1])
        return max(0.0, each * (self._total - self._last[1]) - (now - self._last[0]))
