"""A sweep by plan: one pass over the layers for as many rows as fit the memory, sample after sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import torch

from ivx.engine import readout
from ivx.engine.address import PatchSet
from ivx.engine.forward.device import Way, way_of
from ivx.engine.forward.head import Head
from ivx.engine.forward.seams import Seams
from ivx.engine.plan.ends import Item, ends_of
from ivx.engine.plan.execute import execute
from ivx.engine.plan.garbage import uncollected
from ivx.engine.plan.numbering import Row
from ivx.engine.plan.plan import Plan, plan
from ivx.engine.plan.tables import Tables
from ivx.engine.readout import SPAN
from ivx.engine.workload import Workload
from ivx.models.model import Model

ROWS = 1024
"""Least number of rows of one pass that the memory holds: they stream out when it is done."""
PATCHES = 128
"""Least number of patches in one pass, since each pass computes its samples' unpatched runs again."""

Ids = tuple[int, ...]


def run(
    model: Model,
    asked: Workload,
    *,
    memory_gb: float,
    beat: Callable[[], None] = lambda: None,
    note: Callable[[str], None] = lambda told: None,
    way: Way | None = None,
) -> Iterator[pa.RecordBatch]:
    """The sweep's rows as they finish, sample by sample; `beat` is called at every layer and may raise to end it.

    `way` is the device's own unless another is asked for; `note` is told what became of kernels made for a GPU.
    """
    averaged = [ids for places in asked.means.values() for ids, _ in places]
    longest = max(map(len, (*asked.source, *asked.target, *(asked.reference or ()), *averaged)))
    seams = Seams(model, longest=longest, way=way or way_of(model))
    waiting, tables = parts_of(model, asked, seams.way)[::-1], Tables()
    while waiting:
        part = waiting.pop()
        made, prompts = plan_of(model, asked, part)
        over = peak_bytes(model, made, seams.way) / (memory_gb * 1e9)
        if len(part) > 1 and over > 1:
            waiting += pieces(part, math.ceil(over))[::-1]
            continue
        try:
            yield from pass_of(model, seams, asked, part, made, prompts, tables, beat)
        except (torch.OutOfMemoryError, MemoryError):
            if len(part) == 1:
                raise
            tables.clear()
            waiting += pieces(part, 2)[::-1]
        if seams.kernels is not None:
            note(seams.kernels)


def parts_of(model: Model, asked: Workload, way: Way) -> list[list[Item]]:
    """The rows of each pass, sample by sample. Samples share no states, so passes are split between them first."""
    samples = range(len(asked.target))
    weights = sum(p.numel() for block in model.blocks for p in block.parameters())
    tokens = sum(len(asked.target[i]) for i in samples) / len(samples)
    rows = min(max(way.flops / (weights * tokens), ROWS), asked.rows)
    names = ["", *asked.patches]
    width = min(len(names), max(PATCHES, int(rows // len(samples))))
    height = max(1, int(rows // width))
    return [
        [Item(i, patch) for i in samples[first : first + height] for patch in names[start : start + width]]
        for start in range(0, len(names), width)
        for first in range(0, len(samples), height)
    ]


def pieces(part: list[Item], count: int) -> list[list[Item]]:
    """A part cut into about so many, between samples where there are several."""
    samples = list(dict.fromkeys(item.sample for item in part))
    if len(samples) == 1:
        return [list(piece) for piece in _cut(part, count)]
    whose = {sample: k for k, piece in enumerate(_cut(samples, count)) for sample in piece}
    found: list[list[Item]] = [[] for _ in range(min(count, len(samples)))]
    for item in part:
        found[whose[item.sample]].append(item)
    return [piece for piece in found if piece]


def _cut(things: list[Any], count: int) -> list[list[Any]]:
    count = min(count, len(things))
    edges = [len(things) * k // count for k in range(count + 1)]
    return [things[a:b] for a, b in zip(edges, edges[1:], strict=False) if b > a]


@uncollected()
def plan_of(model: Model, asked: Workload, part: Sequence[Item]) -> tuple[Plan, list[Ids]]:
    """The plan of some rows, and the distinct prompts it numbers."""
    prompts: dict[Ids, int] = {}

    def number(ids: Sequence[int]) -> int:
        return prompts.setdefault(tuple(ids), len(prompts))

    sets: dict[str, PatchSet] = {"": (), **asked.patches}
    rows, read = [], []
    for item in part:
        target = number(asked.target[item.sample])
        read.append(target)
        if asked.reference is not None:
            read.append(number(asked.reference[item.sample]))
        patches = sets[item.patch]
        source = number(asked.source[item.sample]) if patches else target
        rows.append(Row(target, source, patches))
    averaged = {p for row in rows for p in row.patches if p.value == "mean"}
    means = {patch: [(number(ids), position) for ids, position in asked.means[patch]] for patch in averaged}
    made = plan(
        list(prompts), rows, layers=model.layers, heads=model.heads, means=means, read=list(dict.fromkeys(read))
    )
    return made, list(prompts)


def peak_bytes(model: Model, made: Plan, way: Way) -> float:
    """Bytes beside the weights: the largest layer's tables, and what one chunk of a block and of attention holds."""
    size = model.dtype.itemsize
    inner = getattr(model.hf.config, "intermediate_size", None) or 4 * model.width
    tokens = min(way.chunk, max(step.tokens for step in made.steps))
    block = tokens * (4 * inner + 8 * model.width) * size
    read = 3 * way.logits * max(size, 4) + way.rows * model.width * size
    return made.cost.peak_states * model.width * size + block + 3 * way.scores * max(size, 4) + read


def pass_of(
    model: Model,
    seams: Seams,
    asked: Workload,
    part: Sequence[Item],
    made: Plan,
    prompts: Sequence[Ids],
    tables: Tables,
    beat: Callable[[], None],
) -> Iterator[pa.RecordBatch]:
    states = execute(made, seams, prompts, tables=tables, beat=beat)
    for block in ends_of(asked, part, made, prompts, rows=seams.way.rows):
        beat()
        head = Head(seams, states[torch.from_numpy(block.states).to(states.device)])
        columns = max(SPAN, seams.way.logits // len(block.states) // SPAN * SPAN)
        found = readout.numbers(head, block.groups, columns=columns, skip=not seams.way.together).cpu().numpy()
        yield readout.table(
            found[block.places],
            samples=[item.sample for item in block.items],
            patches=[item.patch for item in block.items],
        )
