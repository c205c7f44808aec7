"""Garbage collection, held back while hundreds of thousands of small objects are made that all stay in use."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Switch off garbage collection, in every thread; for a moment's work whose objects form no reference cycles.

    A full collection visits every live object, all that importing torch made too, and takes twice as long as a plan.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
