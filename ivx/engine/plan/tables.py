"""The tables of a pass, whose memory each layer takes over from the one before.

The system maps fresh memory page by page at first touch, and takes large blocks back at once: with new tables at every
layer, these page faults took a tenth of a sweep of a small model.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Tables:
    """Tables by name; taking a name again reuses its memory, and the rows that were in it are lost."""

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    def take(self, name: str, shape: tuple[int, ...], like: Tensor, *, most: int) -> Tensor:
        """A table of this shape, of undefined values, with the dtype and on the device of `like`.

        `most` is how many rows it will have in the largest layer to come.
        """
        size, room = math.prod(shape), math.prod((most, *shape[1:]))
        kept = self._kept.get(name)
        if kept is None or len(kept) < size or (kept.dtype, kept.device) != (like.dtype, like.device):
            self._kept.pop(name, None)  # so that old and new are never there together
            del kept
            kept = self._kept[name] = torch.empty(room, dtype=like.dtype, device=like.device)
        return kept[:size].view(shape)

    def clear(self) -> None:
        """Give the memory back."""
        self._kept.clear()
