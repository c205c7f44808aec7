"""A lock that one thread at a time holds, and that can be taken from one that will never let go of it."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

LOOK_SECONDS = 0.5
"""How often those who wait look whether the lock that they wait for is still the one that counts."""


class Alone:
    """A reentrant lock. A thread that is frozen inside a library holds it for ever: then `forsake` makes another."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._owner: int | None = None
        self._mine = threading.local()

    def __enter__(self) -> None:
        while True:
            lock = self._lock
            if lock.acquire(timeout=LOOK_SECONDS):
                if lock is self._lock:
                    break
                lock.release()
        self._owner = threading.get_ident()
        self._held().append(lock)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        held = self._held()
        lock = held.pop()
        if not held and lock is self._lock:
            self._owner = None
        lock.release()

    def forsake(self, thread: int | None) -> None:
        """If that thread holds the lock, another lock counts from now on; what it holds is then nobody's."""
        if thread is not None and self._owner == thread:
            self._owner, self._lock = None, threading.RLock()

    def _held(self) -> list[Any]:
        if not hasattr(self._mine, "locks"):
            self._mine.locks = []
        locks: list[Any] = self._mine.locks
        return locks
