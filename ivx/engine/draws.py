"""Random states: what `=random` writes.

A vector of the norm that the source's state has at its place, in a direction drawn by chance. The draw is seeded by
what the row is made of, its prompts and the place the state is taken from, so it is the same in any sweep, whatever
else is asked there, by any engine, on any device and in any dtype.
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
    """A draw's seed, and the head whose part of the state it is of: None for all of it."""

    seed: int
    head: int | None


def draw_of(patch: Patch, *, target: Sequence[int], source: Sequence[int], taken: int) -> Draw:
    """The draw of a `=random` patch: `taken` is the source position whose norm it has."""
    told = (patch.site, patch.layer, patch.head, taken, tuple(target), tuple(source))
    return Draw(int.from_bytes(sha256(repr(told).encode()).digest()[:8]), patch.head)


def drawn(state: Tensor, draw: Draw, *, heads: int) -> Tensor:
    """A random vector `[width]` of the state's norm; of one head, its part is drawn and the rest is 0."""
    part = slice(None)
    if draw.head is not None:
        wide = len(state) // heads
        part = slice(draw.head * wide, (draw.head + 1) * wide)
    norm = state[part].double().norm()
    direction = torch.from_numpy(np.random.default_rng(draw.seed).standard_normal(len(state[part])))
    found = torch.zeros_like(state)
    found[part] = (direction.to(state.device) * (norm / direction.norm().item())).to(state.dtype)
    return found
