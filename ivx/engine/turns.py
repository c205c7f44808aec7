"""Turns: only one sweep at a time runs on a model; and the share of the free memory that it takes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from torch import nn

from ivx.models.model import Model

FREE_SHARE = 0.5
"""Share of the free memory that a sweep takes by default."""


_locks: WeakKeyDictionary[nn.Module, threading.Lock] = WeakKeyDictionary()


_locks_guard = threading.Lock()


@contextmanager
def only_user(model: Model) -> Iterator[None]:
    """Lock the model: two sweeps at once would interfere, so the second waits."""
    with _locks_guard:
        lock = _locks.setdefault(model.hf, threading.Lock())
    with lock:
        yield
