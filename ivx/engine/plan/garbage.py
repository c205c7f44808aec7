"""Garbage collection, held back while hundreds of thousands of small objects are made that all stay in use."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """No collection meanwhile, of any thread; for a moment's work whose objects hold each other in no circles.

    Each full collection looks at everything alive, all that torch ever imported too, and takes twice as long as a plan.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
