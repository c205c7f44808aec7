"""A sweep by batched hooks: the plain way, the oracle of the planned one, and what stands in for it.

Rows are computed in batches of equal target length, so nothing is ever padded or masked; each row is one forward pass
of its sample's target run with the states of its patch set overwritten.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import torch
from torch import Tensor

from ivx.engine import readout
from ivx.engine.address import Patch, PatchSet, spots
from ivx.engine.asked import Asked, by_length
from ivx.engine.hooks import Place, Writes, read, write
from ivx.models.model import Model


class _Row(NamedTuple):
    sample: int
    patch: str
    patches: PatchSet


States = dict[tuple[str, Place, int, int], Tensor]
"""(run, place, sample, position) -> state."""


def run(model: Model, asked: Asked, *, memory_gb: float) -> Iterator[pa.RecordBatch]:
    """The sweep's rows as they finish, in any order."""
    states = _capture(model, asked, list(asked.patches.values()))
    goals = _goals(model, asked)
    rows = [_Row(i, name, p) for name, p in {"": (), **asked.patches}.items() for i in range(len(asked.target))]
    yield from _execute(model, asked, rows, states, goals, memory_gb)


def _last_logits(model: Model, prompts: Sequence[Sequence[int]]) -> Tensor:
    """Logits `[rows, vocabulary]` after the last token of prompts of one length."""
    ids = torch.tensor(prompts, device=model.device)
    return model.hf(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1]


def _capture(model: Model, asked: Asked, wanted: Sequence[PatchSet]) -> States:
    """Every state that some patch writes, from one pass over the source (and, for means, the target) asked."""
    needed: dict[str, dict[tuple[Place, int], set[int]]] = {"source": defaultdict(set), "target": defaultdict(set)}
    for patch in {p for patch_set in wanted for p in patch_set if p.ablation != "zero"}:
        for sample, (ids, origin) in enumerate(zip(asked.target, asked.source, strict=True)):
            run = "target" if patch.ablation == "mean" else "source"
            place = (patch.site, patch.layer)
            found = spots(patch, sample=sample, target=ids, source=origin)
            needed[run][place, sample].update(taken for _, taken in found)
    states: States = {}
    for run, prompts in (("source", asked.source), ("target", asked.target)):
        places = {place for place, _ in needed[run]}
        for samples in by_length(prompts).values() if places else ():
            with read(model, places) as seen:
                _last_logits(model, [prompts[i] for i in samples])
            for place in places:
                for row, sample in enumerate(samples):
                    for position in needed[run].get((place, sample), ()):
                        states[run, place, sample, position] = seen[place][row, position].clone()
    return states


def _goals(model: Model, asked: Asked) -> readout.Goals:
    def compared(prompts: Sequence[Sequence[int]]) -> Tensor:
        found: dict[int, Tensor] = {}
        for samples in by_length(prompts).values():
            logits = _last_logits(model, [prompts[i] for i in samples])
            found.update(zip(samples, readout.log_probabilities(logits), strict=True))
        return torch.stack([found[i] for i in range(len(prompts))])

    return readout.Goals(
        torch.tensor(asked.answer, device=model.device),
        None if asked.contrast is None else torch.tensor(asked.contrast, device=model.device),
        (compared(asked.target), None if asked.reference is None else compared(asked.reference)),
    )


def _execute(
    model: Model, asked: Asked, rows: Sequence[_Row], states: States, goals: readout.Goals, memory_gb: float
) -> Iterator[pa.RecordBatch]:
    means = _means(asked, rows, states)
    waiting: dict[int, list[_Row]] = defaultdict(list)
    for last, row in ((k == len(rows) - 1, row) for k, row in enumerate(rows)):
        length = len(asked.target[row.sample])
        waiting[length].append(row)
        full = rows_within(model, length, memory_gb)
        ready = list(waiting) if last else [length] if len(waiting[length]) >= full else []
        for length in ready:
            batch = waiting.pop(length)
            yield _forward(model, asked, batch, states, means, goals)


def rows_within(model: Model, length: int, memory_gb: float) -> int:
    """How many rows a batch may have: activations alive in a block, attention scores, and the read-out's logits."""
    size = model.dtype.itemsize
    per_row = length * (16 * model.width + model.heads * length) * size + 3 * model.vocabulary * max(size, 4)
    return max(1, min(256, int(memory_gb * 1e9 / per_row)))


def _means(asked: Asked, rows: Sequence[_Row], states: States) -> dict[Patch, Tensor]:
    """The mean state over samples, and over every addressed position, of each `=mean` patch."""
    means = {}
    for patch in {p for row in rows for p in row.patches if p.ablation == "mean"}:
        place = (patch.site, patch.layer)
        found = [
            states["target", place, sample, taken]
            for sample, (ids, origin) in enumerate(zip(asked.target, asked.source, strict=True))
            for _, taken in spots(patch, sample=sample, target=ids, source=origin)
        ]
        means[patch] = torch.stack(found).mean(dim=0)
    return means


def _forward(
    model: Model,
    asked: Asked,
    rows: Sequence[_Row],
    states: States,
    means: dict[Patch, Tensor],
    goals: readout.Goals,
) -> pa.RecordBatch:
    """One batch of rows of one target length: overwrite, run, read out."""
    cells: dict[Place, dict[tuple[int, int, int], Tensor]] = defaultdict(dict)
    for k, row in enumerate(rows):
        for patch in row.patches:
            place = (patch.site, patch.layer)
            target, source = asked.target[row.sample], asked.source[row.sample]
            for position, taken in spots(patch, sample=row.sample, target=target, source=source):
                value = _value(model, patch, row.sample, taken, states, means)
                if patch.site != "z":
                    cells[place][k, position, -1] = value
                    continue
                by_head = value.view(model.heads, -1)
                for head in range(model.heads) if patch.head is None else (patch.head,):
                    cells[place][k, position, head] = by_head[head]
    with write(model, {place: _as_writes(found) for place, found in cells.items()}):
        logits = _last_logits(model, [asked.target[row.sample] for row in rows])
    return readout.batch(
        logits,
        goals=goals,
        of=[row.sample for row in rows],
        samples=[row.sample for row in rows],
        patches=[row.patch for row in rows],
    )


def _value(model: Model, patch: Patch, sample: int, taken: int, states: States, means: dict[Patch, Tensor]) -> Tensor:
    if patch.ablation == "zero":
        width = model.heads * model.head_dim if patch.site == "z" else model.width
        return torch.zeros(width, dtype=model.dtype, device=model.device)
    if patch.ablation == "mean":
        return means[patch]
    return states["source", (patch.site, patch.layer), sample, taken]


def _as_writes(cells: dict[tuple[int, int, int], Tensor]) -> Writes:
    found = Writes()
    for (row, position, head), value in cells.items():
        found.rows.append(row)
        found.positions.append(position)
        found.heads.append(head)
        found.values.append(value)
    return found
