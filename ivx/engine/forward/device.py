"""How a plan is run on a device: how many tokens at once, so that kernels are few and used again."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ivx.models.model import Model


@dataclass(frozen=True)
class Way:
    """How a device is kept busy.

    Attributes:
        chunk: tokens that go through a block at once.
        scores: attention scores alive at once.
        rows: states that are read at once.
        logits: logits alive at once in the read-out.
        flops: about what the rows of a pass would cost one by one: as much as is done in some ten seconds, since rows
            are shown when their pass is done.
        smallest: where set, token counts are padded to `chunk`, `chunk / 2`, … down to this many, so that kernels made
            for one sweep fit the next.
        together: attention of all chains of a layer at once, instead of one product per shape: by a kernel for ragged
            chains, or where that does not run, as one padded and masked product.
        compiled: what a block does before and after attention is compiled, once for each of those token counts.
    """

    chunk: int
    scores: int
    rows: int = 512
    logits: int = 2_000_000
    flops: float = 1e13
    smallest: int | None = None
    together: bool = False
    compiled: bool = False

    def padded(self, tokens: int) -> int:
        """The token count that kernels are made for."""
        if self.smallest is None or tokens >= self.chunk:
            return tokens
        size = self.smallest
        while size < tokens:
            size *= 2
        return min(size, self.chunk)


CPU = Way(chunk=1024, scores=8_000_000)
"""A block's inner states stay in a processor's cache; each shape of attention is cheap to start."""
GPU = Way(
    chunk=16_384,
    scores=256_000_000,
    rows=4096,
    logits=256_000_000,
    flops=1e16,
    smallest=256,
    together=True,
    compiled=True,
)
"""Few and large kernels: starting one costs more than padding."""


def way_of(model: Model) -> Way:
    """The way for the device that the model is on."""
    found = GPU if model.device.type == "cuda" else CPU
    # Each pass reads streamed weights again: it takes all rows that the memory holds.
    return found if model.stream is None else replace(found, flops=math.inf)
