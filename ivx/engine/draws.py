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
    return drawn_rows(state[None], [draw], heads=heads)[0]


def drawn_rows(states: Tensor, draws: Sequence[Draw], *, heads: int) -> Tensor:
    """A random vector for each of these states `[draws, width]`, as `drawn` makes it, by one copy to the device."""
    count, width = states.shape
    directions, inside = np.zeros((count, width)), np.zeros((count, width))
    for k, draw in enumerate(draws):
        wide = width // heads
        part = slice(None) if draw.head is None else slice(draw.head * wide, (draw.head + 1) * wide)
        found = np.random.default_rng(draw.seed).standard_normal(len(directions[k, part]))
        directions[k, part], inside[k, part] = found / np.linalg.norm(found), 1
    told = torch.from_numpy(np.stack([directions, inside])).to(states.device)
    return (told[0] * (states.double() * told[1]).norm(dim=1, keepdim=True)).to(states.dtype)
