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
PATIENCE = 60.0
"""Seconds until a page goes in whoever is inside: pages that hang hold up nobody for good."""
LOOK_SECONDS = 0.1


class Turnstile:
    """Lets so many threads in at once; the others wait in line, none longer than `patience` seconds."""

    def __init__(self, at_once: int = AT_ONCE, *, patience: float = PATIENCE) -> None:
        self._at_once, self._patience = at_once, patience
        self._inside = 0
        self._line: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def passed(self, beat: Callable[[], object] = lambda: None) -> Iterator[None]:
        """Go in, and out at the end; `beat` is called while waiting, and may raise where nobody waits any more."""
        self._enter(beat)
        try:
            yield
        finally:
            self._leave()

    def _enter(self, beat: Callable[[], object]) -> None:
        mine, late = threading.Event(), time.monotonic() + self._patience
        with self._lock:
            self._line.append(mine)
            self._call()
        try:
            while not mine.wait(LOOK_SECONDS):
                beat()
                if time.monotonic() > late:
                    self._let_in(mine)
        except BaseException:
            self._let_in(mine)
            self._leave()
            raise

    def _let_in(self, one: threading.Event) -> None:
        """Let somebody in out of turn, if they are not in yet."""
        with self._lock:
            if not one.is_set():
                self._line.remove(one)
                self._inside += 1
                one.set()

    def _leave(self) -> None:
        with self._lock:
            self._inside -= 1
            self._call()

    def _call(self) -> None:
        """Let in whoever is first in line, as long as there is room."""
        while self._line and self._inside < self._at_once:
            self._inside += 1
            self._line.popleft().set()
