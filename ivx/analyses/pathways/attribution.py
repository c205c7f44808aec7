"""Attribution: the surrogate splits every sample of one kind of run into parts, summed by slot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ivx.analyses.pathways.parts import Pair, Parts
from ivx.analyses.pathways.slots import Alignment
from ivx.engine.hooks.run import rows_within
from ivx.engine.hooks.sites import Writes
from ivx.engine.linear.surrogate import Surrogate
from ivx.engine.turns import FREE_SHARE
from ivx.engine.workload import by_length
from ivx.models.memory import free_bytes
from ivx.models.model import Model
from ivx.stats.intervals import Array

BY_SLOT = ("nodes", "stay", "mlp", "heads", "added", "carried", "put")


@dataclass(frozen=True)
class Batch:
    """Runs of one kind: prompts, their answer and contrast tokens, and, where a state is patched in, the block and each
    sample's position and state."""

    name: str
    prompts: Sequence[Sequence[int]]
    answer: Sequence[int]
    contrast: Sequence[int] | None
    alignment: Alignment
    patch: tuple[int, Sequence[int], Sequence[Tensor]] | None = None


def attribute(model: Model, asked: Batch, *, beat: Callable[[int], None]) -> Parts:
    """Sweep all runs; `beat` is called with the samples of each batch and may raise to end it."""
    n, slots = len(asked.prompts), asked.alignment.named()
    pairs = _pairs(asked.alignment)
    at = {slot: i for i, slot in enumerate(slots)}
    start, end = ([at[pair[k]] for pair in pairs] for k in (0, 1))
    rows: dict[str, list[Array]] = {name: [np.empty(0)] * n for name in (*BY_SLOT, "edges")}
    total, final, deviation = np.zeros(n), np.zeros(n), 0.0
    given, having = np.zeros((model.layers, model.heads, len(pairs))), np.zeros(len(pairs))
    for batch, run in runs(model, asked):
        found = run.sweep(
            [asked.answer[i] for i in batch], None if asked.contrast is None else [asked.contrast[i] for i in batch]
        )
        deviation = max(deviation, found.deviation())
        weights = torch.stack(run.attention, dim=1).double().cpu()
        for row, i in enumerate(batch):
            keys = asked.alignment.keys[i]
            total[i], final[i] = float(found.total[row]), float(found.final[row])
            for name in BY_SLOT:
                rows[name][i] = gathered(getattr(found, name)[row], keys, slots)
            rows["edges"][i] = gathered(found.edges[row], keys, slots, axes=2)[..., end, start]
            tokens = np.array([keys.count(slot) for slot in slots])
            there = (tokens[end] > 0) & (tokens[start] > 0)
            having += there
            given += gathered(weights[row], keys, slots, axes=2)[..., end, start] / np.maximum(tokens[end], 1)
        beat(len(batch))
    by_slot = {name: np.stack(rows[name]) for name in BY_SLOT}
    edges, attention = np.stack(rows["edges"]), given / np.maximum(having, 1)
    groups = np.unique(np.array(asked.answer, dtype=np.int64), return_inverse=True)[1]
    return Parts(asked.name, asked.alignment, pairs, total, final, by_slot, edges, attention, deviation, groups)


def runs(model: Model, asked: Batch) -> Iterator[tuple[Sequence[int], Surrogate]]:
    """Frozen runs of all samples in batches of one length that fit into memory, with the samples' numbers."""
    for length, members in by_length(asked.prompts).items():
        memory = FREE_SHARE * free_bytes(str(model.device)) / 1e9 / model.layers
        step = rows_within(model, length, memory)
        for first in range(0, len(members), step):
            batch = members[first : first + step]
            yield batch, Surrogate(model, [asked.prompts[i] for i in batch], writes=_writes(asked, batch))


def _writes(asked: Batch, batch: Sequence[int]) -> dict[tuple[str, int], Writes] | None:
    if asked.patch is None:
        return None
    layer, positions, states = asked.patch
    n = len(batch)
    values = [states[i] for i in batch]
    return {("resid_post", layer): Writes(list(range(n)), [positions[i] for i in batch], [-1] * n, values)}


def _pairs(alignment: Alignment) -> tuple[Pair, ...]:
    """All pairs of slots (from, to) where some sample has a token of the first before, or at, one of the second."""
    order = {slot: i for i, slot in enumerate(alignment.named())}
    met = {(keys[i], keys[j]) for keys in set(alignment.keys) for j in range(len(keys)) for i in range(j + 1)}
    return tuple(sorted(met, key=lambda pair: (order[pair[1]], order[pair[0]])))


def gathered(values: Tensor, keys: Sequence[str], slots: Sequence[str], *, axes: int = 1) -> Array:
    """Values of tokens `[…, tokens]`, or of pairs `[…, tokens, tokens]`, summed into slots.

    Args:
        axes: how many of the last axes are tokens.
    """
    place = {slot: i for i, slot in enumerate(slots)}
    into = torch.zeros(len(slots), len(keys), dtype=values.dtype)
    for token, key in enumerate(keys):
        if key in place:
            into[place[key], token] = 1
    found = values @ into.T
    if axes == 2:
        found = into @ found
    return np.asarray(found.numpy(), dtype=np.float64)
