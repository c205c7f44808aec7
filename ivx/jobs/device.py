"""The device: the one model that is in memory, and giving memory back."""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from ivx.models.library import ALONE
from ivx.request import BaseRequest, LiveRequest

if TYPE_CHECKING:
    from ivx.models.model import Model

Asked = BaseRequest | LiveRequest

SWITCH_SECONDS = 0.0003


class Device:
    """What one thread has loaded; another thread has a device of its own."""

    def __init__(self) -> None:
        self.model: Model | None = None
        self.load_seconds = 0.0
        self._key: tuple | None = None

    def loaded(self, asked: Asked) -> Model:
        """The model that a request wants; the one before is let go first: two never stand in memory together."""
        with ALONE:
            from ivx.models.load import load

        _threads(_cores())
        if not self.has(asked) or self.model is None:
            self.let_go()
            began = time.monotonic()
            self.model = load(asked.checkpoint, **asked.loading)
            self._key, self.load_seconds = _key_of(asked), time.monotonic() - began
        return self.model

    def has(self, asked: Asked) -> bool:
        """Whether the loaded model is the one that a request wants."""
        return self._key == _key_of(asked)

    def let_go(self) -> None:
        """Forget the model."""
        self.model, self._key = None, None
        gc.collect()  # one whose weights are streamed refers to itself


def give_back() -> None:
    """Return memory that is free to the system: to other processes, and to the next estimate of what there is."""
    trim()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def trim() -> None:
    """Collect what refers to itself, and return the host's free memory."""
    gc.collect()
    with suppress(OSError, AttributeError):  # only glibc keeps it, and only glibc can be told
        ctypes.CDLL(None).malloc_trim(0)


def forget_half_a_load() -> None:
    """Undo what a thread that ended while it read a checkpoint has set of the whole process."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_default_dtype(torch.float32)


def _threads(count: int) -> None:
    import torch

    # The pages' Python and the worker's take turns; at the default of 5 ms, every one of the worker's thousands of
    # small tensor calls would wait that long for its turn while a page is drawn.
    sys.setswitchinterval(SWITCH_SECONDS)
    torch.set_num_threads(count)


@cache
def _cores() -> int:
    """How many threads compute: one core stays with the pages."""
    import torch

    return max(1, torch.get_num_threads() - 1)


def _key_of(asked: Asked) -> tuple:
    return asked.checkpoint, *asked.loading.values()
