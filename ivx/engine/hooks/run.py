"""A sweep by batched hooks: the simple way, which is the planned sweep's reference and its fallback.

Rows are computed in batches of equal target length, so nothing is ever padded or masked; each row is one forward pass
of its sample's target run with the states of its patch set overwritten.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import torch
from torch import Tensor

from ivx.engine import readout
from ivx.engine.address import HEADED, OWN, PATTERN, RANDOM, Patch, PatchSet, spots
from ivx.engine.draws import draw_of, drawn
from ivx.engine.hooks.inside import where_of
from ivx.engine.hooks.sites import Place, Writes, heads_at, read, write
from ivx.engine.workload import Workload, by_length
from ivx.models.model import Model


class _Row(NamedTuple):
    sample: int
    patch: str
    patches: PatchSet


Ids = Sequence[int]
States = dict[tuple[Place, Ids, int], Tensor]
"""(place, prompt, position) -> state."""


def run(
    model: Model, asked: Workload, *, memory_gb: float, only: Collection[tuple[int, str]] | None = None
) -> Iterator[pa.RecordBatch]:
    """The sweep's rows as they finish, in any order; with `only`, those of these (sample, patch) pairs."""
    states = captured(model, asked, list(asked.patches.values()))
    goals = _goals(model, asked)
    rows = [_Row(i, name, p) for name, p in {"": (), **asked.patches}.items() for i in range(len(asked.target))]
    rows = rows if only is None else [row for row in rows if (row.sample, row.patch) in only]
    yield from _execute(model, asked, rows, states, goals, memory_gb)


def _last_logits(model: Model, prompts: Sequence[Sequence[int]]) -> Tensor:
    """Logits `[rows, vocabulary]` after the last token of prompts of one length."""
    ids = torch.tensor(prompts, device=model.device)
    return model.hf(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1]


def captured(model: Model, asked: Workload, wanted: Sequence[PatchSet]) -> States:
    """Every state that some patch takes, of a source or, where it is their own, of a target."""
    needed: dict[Place, set[tuple[Ids, int]]] = defaultdict(set)
    for patch in {p for patch_set in wanted for p in patch_set if not p.ablates}:
        for sample, (target, source) in enumerate(zip(asked.target, asked.source, strict=True)):
            found = spots(patch, sample=sample, target=target, source=source)
            needed[patch.site, patch.layer].update((_giver(asked, patch, sample), taken) for _, taken in found)
    return _read(model, needed)


def _giver(asked: Workload, patch: Patch, sample: int) -> Ids:
    """The prompt whose state a patch writes."""
    return (asked.target if patch.value == OWN else asked.source)[sample]


def _read(model: Model, needed: dict[Place, set[tuple[Ids, int]]]) -> States:
    """States of (prompt, position) pairs by place, each prompt run once."""
    states: States = {}
    prompts = sorted({ids for wanted in needed.values() for ids, _ in wanted}, key=tuple)
    for members in by_length(prompts).values():
        row = {prompts[i]: k for k, i in enumerate(members)}
        with read(model, set(needed)) as seen:
            _last_logits(model, [prompts[i] for i in members])
        for place, wanted in needed.items():
            for ids, position in wanted:
                if ids in row:
                    states[place, ids, position] = seen[place][row[ids], position].clone()
    return states


def _goals(model: Model, asked: Workload) -> readout.Goals:
    def unpatched(prompts: Sequence[Sequence[int]]) -> Tensor:
        found: dict[int, Tensor] = {}
        for samples in by_length(prompts).values():
            found.update(zip(samples, _last_logits(model, [prompts[i] for i in samples]), strict=True))
        return torch.stack([found[i] for i in range(len(prompts))])

    reference = None if asked.reference is None else unpatched(asked.reference)
    return readout.Goals(asked.answer, asked.contrast, unpatched(asked.target), reference)


def _execute(
    model: Model, asked: Workload, rows: Sequence[_Row], states: States, goals: readout.Goals, memory_gb: float
) -> Iterator[pa.RecordBatch]:
    means = means_of(model, asked)
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
    """How many rows fit in a batch."""
    return max(1, min(256, int(memory_gb * 1e9 / bytes_per_row(model, length))))


def bytes_per_row(model: Model, length: int) -> int:
    """What a row of a batch holds: a block's live activations, its attention scores and the read-out's logits."""
    size = model.dtype.itemsize
    return length * (16 * model.width + model.heads * length) * size + 3 * model.vocabulary * max(size, 4)


def means_of(model: Model, asked: Workload) -> dict[Patch, Tensor]:
    """The mean of the states that each `=mean` patch averages."""
    needed: dict[Place, set[tuple[Ids, int]]] = defaultdict(set)
    for patch, averaged in asked.means.items():
        needed[patch.site, patch.layer].update(averaged)
    states = _read(model, needed)
    return {
        patch: torch.stack([states[(patch.site, patch.layer), *where] for where in averaged]).mean(dim=0)
        for patch, averaged in asked.means.items()
    }


def _forward(
    model: Model,
    asked: Workload,
    rows: Sequence[_Row],
    states: States,
    means: dict[Patch, Tensor],
    goals: readout.Goals,
) -> pa.RecordBatch:
    """One batch of rows of one target length: overwrite, run, read out."""
    writes = writes_of(model, asked, [(row.sample, row.patches) for row in rows], states, means)
    with write(model, writes):
        logits = _last_logits(model, [asked.target[row.sample] for row in rows])
    return readout.batch(
        logits,
        goals=goals,
        of=[row.sample for row in rows],
        samples=[row.sample for row in rows],
        patches=[row.patch for row in rows],
    )


def writes_of(
    model: Model,
    asked: Workload,
    rows: Sequence[tuple[int, PatchSet]],
    states: States,
    means: dict[Patch, Tensor],
) -> dict[Place, Writes]:
    """What a batch of (sample, patch set) rows overwrites; of two patches of one state the later one holds."""
    cells: dict[Place, dict[tuple[int, int, int], Tensor]] = defaultdict(dict)
    for k, (sample, patches) in enumerate(rows):
        for patch in patches:
            place = (patch.site, patch.layer)
            target, source = asked.target[sample], asked.source[sample]
            for position, taken in spots(patch, sample=sample, target=target, source=source):
                value = _value(model, asked, patch, sample, taken, states, means)
                if patch.site not in HEADED:
                    cells[place][k, position, -1] = value
                    continue
                heads = heads_at(model, patch.site)
                by_head = value.view(heads, -1)
                for head in range(heads) if patch.head is None else (patch.head,):
                    cells[place][k, position, head] = by_head[head]
    return {place: _as_writes(found) for place, found in cells.items()}


def _value(
    model: Model, asked: Workload, patch: Patch, sample: int, taken: int, states: States, means: dict[Patch, Tensor]
) -> Tensor:
    if patch.value == "zero":
        width = _width(model, patch.site, len(asked.target[sample]))
        return torch.zeros(width, dtype=model.dtype, device=model.device)
    if patch.value == "mean":
        return means[patch]
    state = states[(patch.site, patch.layer), _giver(asked, patch, sample), taken]
    if patch.value == RANDOM:
        draw = draw_of(patch, target=asked.target[sample], source=asked.source[sample], taken=taken)
        return drawn(state, draw, heads=heads_at(model, patch.site))
    return state


def _width(model: Model, site: str, tokens: int) -> int:
    """Numbers of a site's state in a prompt of so many tokens."""
    if site in ("q", "k"):
        where = where_of(model, site)
        return where.stop - where.start
    each = {"z": model.head_dim, "v": model.head_dim, PATTERN: tokens}
    return heads_at(model, site) * each[site] if site in each else model.width


def _as_writes(cells: dict[tuple[int, int, int], Tensor]) -> Writes:
    found = Writes()
    for (row, position, head), value in cells.items():
        found.rows.append(row)
        found.positions.append(position)
        found.heads.append(head)
        found.values.append(value)
    return found
