"""A sweep by plan: one pass over the layers for as many rows as fit the memory, sample after sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import torch

from ivx.engine import readout
from ivx.engine.address import PatchSet
from ivx.engine.forward.device import Way, way_of
from ivx.engine.forward.seams import Seams
from ivx.engine.plan.execute import execute
from ivx.engine.plan.garbage import uncollected
from ivx.engine.plan.numbering import Row
from ivx.engine.plan.plan import Plan, plan
from ivx.engine.plan.tables import Tables
from ivx.engine.workload import Workload
from ivx.models.model import Model

ROWS = (256, 4096)
"""Rows of one pass, at least and at most: they stream out when it is done."""
PASS_FLOPS = 1e13
"""About what a pass, within `ROWS`, would cost row by row; by plan, some ten seconds of a small machine."""
PATCHES = 128
"""Least number of patches in one pass, since each pass computes its samples' unpatched runs again."""
READ_BYTES = 24e6
"""Bytes of logits alive at once in the read-out."""

Ids = tuple[int, ...]


class Item(NamedTuple):
    """One row of the table to come."""

    sample: int
    patch: str


def run(
    model: Model, asked: Workload, *, memory_gb: float, beat: Callable[[], None] = lambda: None, way: Way | None = None
) -> Iterator[pa.RecordBatch]:
    """The sweep's rows as they finish, sample by sample; `beat` is called at every layer and may raise to end it.

    `way` is the device's own unless another is asked for.
    """
    averaged = [ids for places in asked.means.values() for ids, _ in places]
    longest = max(map(len, (*asked.source, *asked.target, *(asked.reference or ()), *averaged)))
    seams = Seams(model, longest=longest, way=way or way_of(model))
    waiting, tables = _parts(model, asked)[::-1], Tables()
    while waiting:
        part = waiting.pop()
        made, prompts = plan_of(model, asked, part)
        if len(part) > 1 and peak_bytes(model, made, seams.way) > memory_gb * 1e9:
            waiting += _halves(part)
            continue
        try:
            yield from _pass(model, seams, asked, part, made, prompts, tables, beat)
        except (torch.OutOfMemoryError, MemoryError):
            if len(part) == 1:
                raise
            tables.clear()
            waiting += _halves(part)


def _parts(model: Model, asked: Workload) -> list[list[Item]]:
    """The rows of each pass, sample by sample. Samples share no states, so passes are split between them first."""
    samples = range(len(asked.target))
    weights = sum(p.numel() for block in model.blocks for p in block.parameters())
    tokens = sum(len(asked.target[i]) for i in samples) / len(samples)
    rows = min(max(PASS_FLOPS / (weights * tokens), ROWS[0]), ROWS[1])
    names = ["", *asked.patches]
    width = min(len(names), max(PATCHES, int(rows // len(samples))))
    height = max(1, int(rows // width))
    return [
        [Item(i, patch) for i in samples[first : first + height] for patch in names[start : start + width]]
        for start in range(0, len(names), width)
        for first in range(0, len(samples), height)
    ]


def _halves(part: list[Item]) -> list[list[Item]]:
    """Split between samples where there are several; the first half comes last, so that it is popped first."""
    samples = list(dict.fromkeys(item.sample for item in part))
    if len(samples) > 1:
        first = samples[len(samples) // 2]
        middle = next(k for k, item in enumerate(part) if item.sample == first)
    else:
        middle = len(part) // 2
    return [part[middle:], part[:middle]]


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
    return made.cost.peak_states * model.width * size + block + 3 * way.scores * max(size, 4) + READ_BYTES


def _pass(
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
    index = {ids: i for i, ids in enumerate(prompts)}
    wide = max(model.dtype.itemsize, 4)
    block = max(1, int(READ_BYTES / (3 * wide * model.vocabulary)))
    for start in range(0, len(part), block):
        rows = part[start : start + block]
        samples = list(dict.fromkeys(item.sample for item in rows))

        def compared(runs: Sequence[Sequence[int]], samples: list[int] = samples) -> torch.Tensor:
            at = [int(made.prompts[index[tuple(runs[i])]]) for i in samples]
            return readout.log_probabilities(seams.logits(states[at]))

        goals = readout.Goals(
            torch.tensor([asked.answer[i] for i in samples], device=model.device),
            None if asked.contrast is None else torch.tensor([asked.contrast[i] for i in samples], device=model.device),
            (compared(asked.target), None if asked.reference is None else compared(asked.reference)),
        )
        # Rows that end in one state (a later patch erased the earlier) are read once.
        ends = torch.from_numpy(made.rows[start : start + block]).to(states.device)
        once, again = ends.unique(return_inverse=True)
        logits = seams.logits(states[ends]) if len(once) == len(ends) else seams.logits(states[once])[again]
        yield readout.batch(
            logits,
            goals=goals,
            of=[samples.index(item.sample) for item in rows],
            samples=[item.sample for item in rows],
            patches=[item.patch for item in rows],
        )
