"""Paths: the single routes from an embedding, or a constant, to the logit, strongest first.

A path stays at its token through a block (by residual and MLP) or moves by one head. Its value is the part of the logit
that went exactly this way; all paths sum to the logit. They are too many to list, so the search goes backward from the
logit, largest first: an *end* shared by many paths, with derivative `c` at a token, is worth `⟨c, x⟩` there, the exact
sum over all that could come before it. Sums can hide parts that cancel, so a search is *settled* only down to a share
of the weakest path it returns.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ivx.engine.linear.records import Move, Path, begun
from ivx.engine.linear.surrogate import Surrogate

SLACK = 0.2
"""Unopened sums are smaller than this share of the weakest path that a settled search returns."""
MOST = 4_000
"""Opened ends, after which a search stops."""
TOGETHER = 32
"""Ends that are opened in one go."""


class Search(NamedTuple):
    """What was found: paths by size, whether the search is settled, how many ends it opened, and the logit's value."""

    paths: tuple[Path, ...]
    settled: bool
    opened: int
    total: float


@dataclass(order=True)
class _End:
    """The end that many paths share, from the input of block `layer` at `token` on; `size` is −|value|.

    `weights` is the logit's derivative along it, with respect to the stream there `[width]`, or, while `head` is set,
    to that head's value there.
    """

    size: float
    number: int
    layer: int = field(compare=False)
    token: int = field(compare=False)
    weights: Tensor = field(compare=False)
    head: int | None = field(compare=False)
    moves: tuple[Move, ...] = field(compare=False)


def strongest(
    surrogate: Surrogate,
    answer: int,
    contrast: int | None = None,
    *,
    k: int = 20,
    slack: float = SLACK,
    most: int = MOST,
    beat: Callable[[], None] = lambda: None,
) -> Search:
    """The `k` strongest paths of a run of one prompt.

    Args:
        slack: the search goes on until no unopened sum is larger than this share of the k-th path; 0 opens everything.
        most: it ends, unsettled, after this many opened ends.
        beat: called before some are opened; what it raises ends the work.
    """
    if len(surrogate.prompts) > 1:
        raise ValueError("one prompt at a time")
    total, slope, final = surrogate.top([answer], None if contrast is None else [contrast])
    search = _Search(surrogate, k, slack)
    last, layers = len(surrogate.prompts[0]) - 1, surrogate.model.layers
    search.constant(layers, last, (), float(final))
    value = float((slope[0, last] * surrogate.inputs[-1][0, last]).sum().detach())
    search.add(value, layers, last, slope[0, last], None, ())
    opened = 0
    while search.ends and opened < most and -search.ends[0].size > search.floor:
        beat()
        ends = [heapq.heappop(search.ends) for _ in range(min(TOGETHER, len(search.ends), most - opened))]
        opened += len(ends)
        search.open(ends)
    settled = not search.ends or -search.ends[0].size <= search.floor
    paths = sorted(search.paths, key=lambda path: -abs(path.value))[:k]
    return Search(tuple(paths), settled, opened, float(total))


class _Search:
    def __init__(self, surrogate: Surrogate, k: int, slack: float) -> None:
        self.surrogate, self.k, self.slack = surrogate, k, slack
        self.ends: list[_End] = []
        self.paths: list[Path] = []
        self.best: list[float] = []
        self.numbers = count()
        self.floor = 0.0
        self.values = [v[0].detach().transpose(0, 1) for v in surrogate.values]

    def add(
        self, value: float, layer: int, token: int, weights: Tensor, head: int | None, moves: tuple[Move, ...]
    ) -> None:
        """Add an end; at the embeddings it is a whole path, unless the bias of its head's value is still in it."""
        if layer == 0 and head is None:
            self._whole(Path(token, None, moves, value))
        elif abs(value) > self.floor:
            heapq.heappush(self.ends, _End(-abs(value), next(self.numbers), layer, token, weights, head, moves))

    def constant(self, layer: int, token: int, moves: tuple[Move, ...], value: float) -> None:
        if value:
            self._whole(Path(token, layer, moves, value))

    def _whole(self, path: Path) -> None:
        self.paths.append(path)
        if len(self.best) < self.k:
            heapq.heappush(self.best, abs(path.value))
        else:
            heapq.heappushpop(self.best, abs(path.value))
        if len(self.best) == self.k:
            self.floor = self.slack * self.best[0]

    def open(self, ends: Sequence[_End]) -> None:
        """Replace each end by its extensions, one step backward."""
        by_head: dict[int, list[_End]] = defaultdict(list)
        by_block: dict[int, list[_End]] = defaultdict(list)
        for end in ends:
            (by_block if end.head is None else by_head)[end.layer].append(end)
        for layer, these in by_head.items():
            self._through_values(layer, these)
        for layer, these in by_block.items():
            self._through_block(layer - 1, these)

    def _through_values(self, layer: int, ends: Sequence[_End]) -> None:
        """From a head's value to the stream that it was made of."""
        run = self.surrogate
        states = run.inputs[layer]
        rows = _packed(ends)
        weights = torch.zeros(max(rows) + 1, *run.values[layer].shape, dtype=states.dtype, device=states.device)
        for row, end in zip(rows, ends, strict=True):
            weights[row, 0, end.head, end.token] = end.weights
        slopes, constants = _pulled(run.values[layer], [states, run.constants[layer]], weights)
        for row, end in zip(rows, ends, strict=True):
            slope = slopes[row, 0, end.token]
            self.constant(layer, end.token, end.moves, float(constants[row, 0, end.token]))
            self.add(float((slope * states[0, end.token]).sum().detach()), layer, end.token, slope, None, end.moves)

    def _through_block(self, layer: int, ends: Sequence[_End]) -> None:
        """From a block's output to its input at the same token, and to the values that its heads read."""
        run = self.surrogate
        states, output = run.inputs[layer], run.outputs[layer]
        rows = _packed(ends)
        weights = torch.zeros(max(rows) + 1, *output.shape, dtype=states.dtype, device=states.device)
        for row, end in zip(rows, ends, strict=True):
            weights[row, 0, end.token] = end.weights
        stays, at_z, constants = _pulled(output, [states, run.z[layer], run.constants[layer]], weights)
        for row, end in zip(rows, ends, strict=True):
            token = end.token
            self.constant(layer, token, end.moves, float(constants[row, 0, token]))
            stay = stays[row, 0, token]
            self.add(float((stay * states[0, token]).sum().detach()), layer, token, stay, None, end.moves)
            attention = run.attention[layer][0, :, token]
            read = at_z[row, 0, token]
            edges = (attention * torch.einsum("hd,shd->hs", read, self.values[layer])).detach()
            sizes = edges.abs().cpu().numpy()
            for head, start in zip(*np.nonzero(sizes > self.floor), strict=True):
                moves = (Move(layer, int(head), int(start), token), *end.moves)
                self.add(
                    float(edges[head, start]), layer, int(start), attention[head, start] * read[head], int(head), moves
                )


def _packed(ends: Sequence[_End]) -> list[int]:
    """A batch row for each end, none with two ends at one token: tokens of a block meet only through its heads."""
    used: dict[int, int] = defaultdict(int)
    rows = []
    for end in ends:
        rows.append(used[end.token])
        used[end.token] += 1
    return rows


def _pulled(of: Tensor, by: list[Tensor], weights: Tensor) -> list[Tensor]:
    found = torch.autograd.grad(of, by, weights, retain_graph=True, allow_unused=True, is_grads_batched=True)
    return [
        torch.zeros(len(weights), *x.shape, dtype=x.dtype, device=x.device) if slope is None else slope
        for x, slope in zip(by, found, strict=True)
    ]


def count_paths(steps: NDArray[np.integer]) -> int:
    """How many paths lead from the embedding of any token to the last token.

    Args:
        steps: ways from each token to each `[layers, to, from]`; staying is a way.
    """
    return sum(begun(steps))
