"""Forecast: what a sweep will cost on this machine, told before it runs.

The plan counts the states exactly. What the machine does in a second is measured on a product of the model's width,
and on the weights that were streamed so far; the share of that which a sweep reaches was measured by `benchmarks`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ivx.engine.forward.device import way_of
from ivx.engine.hooks.run import rows_within
from ivx.engine.plan import run as by_plan
from ivx.engine.plan.ends import ends_of
from ivx.engine.turns import FREE_SHARE, only_user
from ivx.engine.workload import Prompts, Workload
from ivx.models.memory import free_bytes
from ivx.models.model import Model

REACHED = 0.8
"""Share of the speed of bare products that a sweep reaches."""
TRIED_SECONDS, TRIED_LEAST = 0.2, 3
TRIED_ROWS = 512
"""Of the products that are tried the fastest counts: the others were disturbed."""

_rates: dict[tuple[torch.device, torch.dtype, int, int, int], float] = {}
"""Operations in a second, by device, dtype, width, number of threads, and rows."""


@dataclass(frozen=True)
class Forecast:
    """What a sweep costs.

    Attributes:
        rows, passes: rows of the table, and passes over the layers that they take.
        flops: operations of its products.
        read_bytes: what is read of weights that are streamed; 0 where they are in memory.
        memory_bytes: the most that a pass holds beside the weights.
        seconds: about how long it takes here.
    """

    rows: int
    passes: int
    flops: float
    read_bytes: int
    memory_bytes: float
    seconds: float

    @property
    def told(self) -> str:
        """It in a sentence."""
        seconds = self.seconds
        about = f"{max(1, round(seconds))} s" if seconds < 100 else f"{round(seconds / 60)} min"
        passes = f"{self.passes:,} pass{'es' * (self.passes > 1)}"
        streamed = f" that read {self.read_bytes / 1e9:.1f} GB of streamed weights" if self.read_bytes else ""
        return (
            f"About {about} on this machine: {self.rows:,} rows in {passes}{streamed}, "
            f"{self.memory_bytes / 1e9:.1f} GB of memory beside the weights."
        )

    def __add__(self, other: Forecast) -> Forecast:
        """The cost of both, one after the other."""
        return Forecast(
            self.rows + other.rows,
            self.passes + other.passes,
            self.flops + other.flops,
            self.read_bytes + other.read_bytes,
            max(self.memory_bytes, other.memory_bytes),
            self.seconds + other.seconds,
        )


@dataclass(frozen=True)
class Counted:
    """What is counted of work whose time is not forecast."""

    rows: int
    what: str = "rows"

    @property
    def told(self) -> str:
        """It in a sentence."""
        return f"{self.rows:,} {self.what}; how long that takes here is not forecast."


def forecast(model: Model, asked: Workload, *, memory_gb: float | None = None) -> Forecast:
    """What a sweep by plan on one device will cost; only its first pass is planned, the others are taken to be alike.

    `memory_gb` is as in `ivx.sweep`. Nothing of the sweep is run.
    """
    memory_gb = memory_gb or FREE_SHARE * free_bytes(str(model.device)) / 1e9
    way = way_of(model)
    part = by_plan.parts_of(model, asked, way)[0]
    while True:
        made, prompts = by_plan.plan_of(model, asked, part)
        over = by_plan.peak_bytes(model, made, way) / (memory_gb * 1e9)
        if len(part) == 1 or over <= 1:
            break
        part = by_plan.pieces(part, math.ceil(over))[0]
    weights = sum(p.numel() for p in model.blocks[0].parameters())
    ends = sum(len(block.states) for block in ends_of(asked, part, made, prompts, rows=way.rows))
    share = asked.rows / len(part)
    flops = 2.0 * share * (weights * made.cost.tokens + model.width * model.vocabulary * ends)
    passes = math.ceil(share)
    read, waited = 0, 0.0
    if model.stream is not None:
        read = passes * model.stream.size  # the head's tiles among it
        waited = passes * model.stream.size / model.stream.rate
    with only_user(model):
        seconds = max(flops / (REACHED * rate(model)), waited)
    return Forecast(asked.rows, passes, flops, read, by_plan.peak_bytes(model, made, way), seconds)


def of_texts(model: Model, prompts: Prompts, *, tokens: int, rows: int, memory_gb: float | None = None) -> Forecast:
    """What it costs at most to write a text after each of these prompts, and to read each prompt once more.

    Prompts of one length are begun together, and all lengths go on together, a pass for each further token
    (`hooks.generate`); such a pass has few rows, so that its speed is tried on as few.

    Args:
        tokens: of each text, where none ends before.
        rows: rows of the table that comes of it.
        memory_gb: as in `generate`.
    """
    budget = (memory_gb or FREE_SHARE * free_bytes(str(model.device)) / 1e9) / (1 + model.layers / 8)
    weights = sum(p.numel() for p in model.blocks[0].parameters()) * model.layers
    head = model.width * model.vocabulary
    kept = 2 * model.layers * model.heads * model.head_dim * model.dtype.itemsize
    flops, seconds, passes, memory = 0.0, 0.0, 0, 0
    ordered = sorted(map(len, prompts))
    step = rows_within(model, ordered[-1] + tokens, budget)
    with only_user(model):
        for lengths in (ordered[i : i + step] for i in range(0, len(ordered), step)):
            whole = 2.0 * (2 * weights * sum(lengths) + 2 * head * len(lengths))
            each = 2.0 * (weights + head) * len(lengths)
            flops += whole + (tokens - 1) * each
            seconds += whole / (REACHED * rate(model)) + (tokens - 1) * each / (
                REACHED * rate(model, rows=len(lengths))
            )
            passes += 2 * len(set(lengths)) + tokens - 1
            reach = sum(lengths) + tokens * len(lengths)
            memory = max(memory, reach * kept + len(lengths) * model.vocabulary * model.dtype.itemsize)
    read = 0
    if model.stream is not None:
        read = passes * model.stream.size
        seconds = max(seconds, read / model.stream.rate)
    return Forecast(rows, passes, flops, read, memory, seconds)


def of_passes(model: Model, prompts: Prompts, *, rows: int, memory_gb: float | None = None) -> Forecast:
    """What it costs to run each of these prompts once, as a whole, layer by layer.

    Args:
        rows: rows of the table that comes of it.
        memory_gb: as in `of_texts`.
    """
    budget = memory_gb or FREE_SHARE * free_bytes(str(model.device)) / 1e9
    weights = sum(p.numel() for p in model.blocks[0].parameters()) * model.layers
    lengths = sorted(map(len, prompts))
    step = rows_within(model, lengths[-1], budget)
    flops = 2.0 * (weights * sum(lengths) + model.width * model.vocabulary * len(lengths))
    passes = math.ceil(len(lengths) / step)
    memory = min(step, len(lengths)) * lengths[-1] * model.width * model.dtype.itemsize
    read, waited = 0, 0.0
    if model.stream is not None:
        read = passes * model.stream.size
        waited = read / model.stream.rate
    with only_user(model):
        seconds = max(flops / (REACHED * rate(model)), waited)
    return Forecast(rows, passes, flops, read, memory, seconds)


def total_of(costs: Sequence[Forecast]) -> Forecast:
    """The cost of several sweeps, one after another."""
    return sum(costs[1:], costs[0])


def rate(model: Model, *, rows: int = TRIED_ROWS) -> float:
    """Operations in a second of a product of so many rows and the model's width, tried once for each power of two."""
    rows = min(TRIED_ROWS, 1 << (rows - 1).bit_length())
    key = (model.device, model.dtype, model.width, torch.get_num_threads(), rows)
    if key not in _rates:
        draw = torch.Generator().manual_seed(0)
        states = torch.randn(rows, model.width, generator=draw).to(model.device, model.dtype)
        matrix = torch.randn(4 * model.width, model.width, generator=draw).to(model.device, model.dtype)
        _known(states @ matrix.T)
        took: list[float] = []
        began = time.perf_counter()
        while len(took) < TRIED_LEAST or time.perf_counter() - began < TRIED_SECONDS:
            before = time.perf_counter()
            _known(states @ matrix.T)
            took.append(time.perf_counter() - before)
        _rates[key] = 8.0 * rows * model.width**2 / min(took)
    return _rates[key]


def _known(found: torch.Tensor) -> float:
    """Wait for a device's result."""
    return float(found[0, 0])
