"""A tally of what the worker has done since the server began: for whoever watches a server."""

from __future__ import annotations

import threading
from collections import Counter


class Tally:
    """Counts that only grow; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended: Counter[str] = Counter()
        self._rows, self._seconds = 0, 0.0

    def ended(self, state: str) -> None:
        """A job that was asked to be computed has ended in this state."""
        with self._lock:
            self._ended[state] += 1

    def rows(self, more: int) -> None:
        """So many more rows were computed."""
        with self._lock:
            self._rows += max(0, more)

    def charge(self, seconds: float) -> None:
        """The device was had for so long."""
        with self._lock:
            self._seconds += seconds

    def told(self) -> tuple[dict[str, int], int, float]:
        """Jobs that ended, by their state; rows; seconds of the device."""
        with self._lock:
            return dict(self._ended), self._rows, self._seconds


TALLY = Tally()
"""The process's one tally."""
