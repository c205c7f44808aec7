"""Random states: what `=random` writes.

A vector with the norm of the source's state, in a random direction. The seed is a hash of the row's prompts and of the
place that the state is taken from, so the draw is the same in any sweep, whatever else is swept, by any engine, on any
device and in any dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ivx.engine.address import Patch


class Draw(NamedTuple):
    """The seed of a random state, and the head whose slice of `z` is drawn; None for the whole state."""

    seed: int
    head: int | None


def draw_of(patch: Patch, *, target: Sequence[int], source: Sequence[int], taken: int) -> Draw:
    """The draw of a `=random` patch; `taken` is the source position whose state gives the norm."""
    told = (patch.site, patch.layer, patch.head, taken, tuple(target), tuple(source))
    return Draw(int.from_bytes(sha256(repr(told).encode()).digest()[:8]), patch.head)


def drawn(state: Tensor, draw: Draw, *, heads: int) -> Tensor:
    """A random vector `[width]` with the state's norm; for one head, only its slice is drawn and the rest is 0."""
    part = slice(None)
    if draw.head is not None:
        wide = len(state) // heads
        part = slice(draw.head * wide, (draw.head + 1) * wide)
    norm = state[part].double().norm()
    direction = torch.from_numpy(np.random.default_rng(draw.seed).standard_normal(len(state[part])))
    found = torch.zeros_like(state)
    found[part] = (direction.to(state.device) * (norm / direction.norm().item())).to(state.dtype)
    return found
