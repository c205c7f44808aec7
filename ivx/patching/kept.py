"""What was prepared for a request is kept while its model is in memory: prompts, estimates, told runs.

A job that steps back for another prepares nothing anew when it is its turn again, nor does one that was only asked for
its cost. What is kept goes with its model, and the oldest goes where it becomes too much.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from torch import nn

    from ivx.models.model import Model

MOST = 20_000
"""Rows that are kept for one model, counted as prompts or cells. What has more by itself is not kept."""
T = TypeVar("T")

_lock = threading.Lock()
_kept: WeakKeyDictionary[nn.Module, dict[Hashable, tuple[Any, int]]] = WeakKeyDictionary()
_mine = threading.local()


def once(model: Model, key: Hashable, make: Callable[[], T], *, rows: int) -> T:
    """What `make` returns, made once; it must not refer to the model.

    Args:
        key: where keys are equal, what is made is equal.
        rows: how many rows it counts as.
    """
    known: list[T] = _find(model, key)
    if not known:
        began = time.monotonic()
        known = [make()]
        _keep(model, key, known[0], rows=rows, seconds=time.monotonic() - began)
    return known[0]


def refined(model: Model, key: Hashable, make: Callable[[], Iterator[T]], *, rows: int) -> Iterator[T]:
    """What `make` yields, ever better; where that was made before, its last alone. The others are as in `once`."""
    known: list[T] = _find(model, key)
    if known:
        yield known[0]
        return
    took, steps = 0.0, make()
    while True:
        began = time.monotonic()
        step = list(islice(steps, 1))
        took += time.monotonic() - began
        if not step:
            break
        known = step
        yield step[0]
    if known:
        _keep(model, key, known[0], rows=rows, seconds=took)


def seconds() -> float:
    """Seconds that this thread has spent so far on what is kept: they are not spent again."""
    return float(getattr(_mine, "seconds", 0.0))


def _find(model: Model, key: Hashable) -> list[Any]:
    with _lock:
        here = _kept.get(model.hf, {})
        return [here[key][0]] if key in here else []


def _keep(model: Model, key: Hashable, value: Any, *, rows: int, seconds: float) -> None:
    if rows > MOST:
        return
    with _lock:
        here = _kept.setdefault(model.hf, {})
        here[key] = value, rows
        while sum(count for _, count in here.values()) > MOST:
            del here[next(iter(here))]
    _mine.seconds = getattr(_mine, "seconds", 0.0) + seconds
