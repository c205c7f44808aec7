"""The tables of a pass, in memory that one layer leaves to the next.

Fresh memory is handed out page by page at its first touch, and large blocks are given back at once: with new tables at
every layer, that touching took a tenth of a sweep of a small model.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Tables:
    """Named tables; one that is taken again lies where the one of its name lay, whose rows are lost."""

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
