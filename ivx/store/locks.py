"""Locks between processes, and between threads of one: the kernel lets go of them when their holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 0.25
"""Seconds to wait for a lock: merely asking whether it is held takes it for an instant."""


@contextmanager
def hold(path: Path, *, patience: float = PATIENCE) -> Iterator[bool]:
    """Hold the lock of the file at `path`, made where there is none; yields False where another keeps it.

    Raises FileNotFoundError where its folder is gone.
    """
    until = time.monotonic() + patience
    file = _take(path)
    while file is None and time.monotonic() < until:
        time.sleep(0.01)
        file = _take(path)
    try:
        yield file is not None
    finally:
        if file is not None:
            os.close(file)


def is_held(path: Path) -> bool:
    """Whether anybody holds it now."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # none there, or nothing that could be locked
        return False
    try:
        # Shared, so that two who ask do not see each other.
        return not _lock(file, fcntl.LOCK_SH)
    finally:
        os.close(file)


def _take(path: Path) -> int | None:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    # The file may have been removed between opening and locking; a lock on it would then keep nobody out.
    if _lock(file, fcntl.LOCK_EX) and _lies_at(file, path):
        return file
    os.close(file)
    return None


def _lock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lies_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.lstat(path))
    except FileNotFoundError:
        return False
