"""The turnstile: few pages are drawn at once, in the order they were asked for.

Drawing needs Python's interpreter, of which there is one: fifty pages drawn side by side are all done at the end, the
short ones as late as the long. In turn, half of them are done in half the time, and no page waits for more than those
before it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

AT_ONCE = 3
"""One draws while another waits for a file or for the worker."""
LONG_SECONDS = 10.0
"""From when a page counts no more: it waits for something, or is so long that others need not."""
LOOK_SECONDS = 0.1


class Turnstile:
    """Lets so many threads in at once, and one more for each that has been inside for `long` seconds; the others wait
    in line."""

    def __init__(self, at_once: int = AT_ONCE, *, long: float = LONG_SECONDS) -> None:
        self._at_once, self._long = at_once, long
        self._inside: dict[threading.Event, float] = {}
        self._line: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def passed(self, beat: Callable[[], object] = lambda: None) -> Iterator[None]:
        """Go in, and out at the end; `beat` is called while waiting, and may raise where nobody waits any more."""
        mine = threading.Event()
        with self._lock:
            self._line.append(mine)
        try:
            self._call()
            while not mine.wait(LOOK_SECONDS):
                beat()
                self._call()
            yield
        finally:
            with self._lock:
                if self._inside.pop(mine, None) is None:
                    self._line.remove(mine)
            self._call()

    def _call(self) -> None:
        """Let in whoever is first in line, as long as there is room."""
        with self._lock:
            while self._line and self._count() < self._at_once:
                first = self._line.popleft()
                self._inside[first] = time.monotonic()
                first.set()

    def _count(self) -> int:
        now = time.monotonic()
        return sum(now - since < self._long for since in self._inside.values())
