"""The result of a circuit transfer: for every two tasks, how much of one the other's circuit carries.

    T(A → B) = (m_B(C_A) − m_B(∅)) / (m_B(C_B) − m_B(∅))

with m_B the mean logit difference of B's measured half, C a circuit found on the other half, and ∅ nothing kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from ivx.analyses.base import Result
from ivx.analyses.pathways.parts import is_nothing
from ivx.analyses.transfer.circuits import Alike, Circuit, Head
from ivx.analyses.transfer.request import TransferRequest
from ivx.charts.palette import LIGHT
from ivx.charts.transfer import Tile, printed_transfer, transfer_chart
from ivx.errors import IvxError
from ivx.formats.plotted import Plotted
from ivx.stats.intervals import Array, mean_interval, ratio_interval

ROWS = pa.schema(
    [
        ("kind", pa.string()),
        ("circuit", pa.string()),
        ("draw", pa.int32()),
        ("task", pa.string()),
        ("item", pa.int32()),
        ("value", pa.float64()),
    ]
)
"""The logit difference of a measured sample `item` of a `task` with some heads kept: the `whole` model, `nothing`, the
circuit `kept` of a task, the task's `own` circuit of its measured half, or a `random` set like a circuit."""
KEY = ("kind", "circuit", "draw", "task", "item")
KINDS = ("whole", "nothing", "kept", "own", "random")
HALF = 0.5
"""A transfer or an overlap whose interval lies above is high, below it low; otherwise neither."""
REACH = (0.1, 0.9)
"""The range of random sets: without the lowest and the highest tenth, since a lucky set may be the circuit itself."""
NAMES = {
    "itself": "one task with itself, between two halves of its samples",
    "shared": "the same heads, and they carry it",
    "specific": "other heads, and they do not carry it",
    "phantom": "other heads, yet they carry it: the overlap alone would have called them specific",
    "unresolved": "the intervals do not say",
    "undefined": "the task's own circuit does not carry it, so there is no whole to take a share of",
}
"""What each name of a cell means."""


@dataclass(frozen=True)
class Cell:
    """What the circuit of one task does for another: the share `value` of what that task's own does, with its 95 %
    interval, the mean and range of random sets (`floor`); the overlap of both; `gained`, what the own circuit moves the
    answer by, in logits; `name`, by rule.

    Where `circuit` and `task` are the same, the circuit is found on the other half. `value` is None where `gained` is
    next to nothing.
    """

    circuit: str
    task: str
    value: float | None
    low: float | None
    high: float | None
    floor: float | None
    floor_low: float | None
    floor_high: float | None
    overlap: float
    overlap_low: float
    overlap_high: float
    gained: float
    n: int
    name: str


def named(cell: Cell) -> str:
    """The name of a cell, by a rule over its intervals.

    *Carried*: the transfer's interval lies above one half, and above the random sets' range. *shared*: carried, and the
    overlap's interval above one half; *phantom*: carried, and the overlap's interval below; *specific*: both below.
    """
    if cell.value is None or cell.low is None or cell.high is None or cell.floor_high is None:
        return "undefined"
    if cell.circuit == cell.task:
        return "itself"
    carried = cell.low > HALF and cell.low > cell.floor_high
    if carried and cell.overlap_low > HALF:
        return "shared"
    if carried and cell.overlap_high < HALF:
        return "phantom"
    if cell.high < HALF and cell.overlap_high < HALF:
        return "specific"
    return "unresolved"


@dataclass(frozen=True, kw_only=True)
class Transfer(Result[TransferRequest]):
    """A result: one row per measured sample and set of heads, the circuits and their overlaps."""

    tasks: tuple[str, ...]
    heads: int
    circuits: tuple[Circuit, ...]
    overlaps: tuple[Alike, ...]

    def circuit(self, task: str) -> tuple[Head, ...]:
        """The strongest heads of a task, as (layer, head)."""
        for one in self.circuits:
            if one.task == task:
                return one.found
        raise IvxError(f"there is no circuit of {task!r} here: use one of {', '.join(self.tasks)}")

    def overlap(self, one: str, two: str) -> Alike:
        """The overlap of two tasks' circuits; of a task with itself, of those of its two halves."""
        return next(found for found in self.overlaps if {found.one, found.two} == {one, two})

    def cells(self) -> list[Cell]:
        """Every circuit on every finished task, row by row."""
        return [cell for row in self.tasks for cell in self._row(row)]

    def cell(self, circuit: str, task: str) -> Cell:
        """The circuit of one task on another; raises `IvxError` where there is none."""
        for cell in self.cells():
            if (cell.circuit, cell.task) == (circuit, task):
                return cell
        raise IvxError(f"there is no transfer of {circuit!r} to {task!r} here: use two of {', '.join(self.tasks)}")

    @property
    def figure_names(self) -> tuple[str, ...]:
        """The matrix."""
        return ("transfer",)

    def tiles(self) -> list[Tile]:
        """The matrix's cells as they are drawn."""
        place = {task: i for i, task in enumerate(self.tasks)}
        return [
            Tile(
                place[c.circuit], place[c.task], c.value, c.low, c.high, c.floor, c.overlap, c.name,
                f"{c.gained:+.2f} logits".replace("-", "−"),
            )
            for c in self.cells()
        ]  # fmt: skip

    def figures(self, metric: str = "contrast") -> dict[str, dict[str, Any]]:
        """The matrix for print, a Vega-Lite spec named `transfer`; ignores the metric."""
        spec = transfer_chart(self.tiles(), names=self.tasks, palette=LIGHT)
        title = f"{self.request.checkpoint}: what a task’s {self.request.heads} strongest heads carry of another"
        return {"transfer": printed_transfer(spec, title=title, names=len(self.tasks))}

    def drawn(self, metric: str = "contrast") -> Iterator[Plotted]:
        """What the figure shows, a number at a time (`ivx.formats.plotted`)."""
        for c in self.cells():
            label = f"{c.circuit} to {c.task}"
            value = float("nan") if c.value is None else c.value
            yield Plotted(
                "transfer", f"{c.circuit}>{c.task}", label, None, value, c.low, c.high,
                control=c.floor, state=c.name, n=c.n, what="transfer", unit="share",
            )  # fmt: skip

    def summary(self, metric: str = "contrast") -> dict[str, Any]:
        """The result in short, ready for JSON; ignores the metric."""
        return {
            **self.receipt,
            "tasks": list(self.tasks),
            "circuits": {one.task: [list(head) for head in one.found] for one in self.circuits},
            "cells": [asdict(cell) for cell in self.cells()],
        }

    def values(self, kind: str, task: str, circuit: str = "") -> Array:
        """Logit differences `[draws, samples]` of one kind of set on a task; no draws where there are none."""
        return self._values.get((kind, circuit, task), np.zeros((0, 0)))

    def _row(self, circuit: str) -> list[Cell]:
        return [self._cell(circuit, task) for task in self.tasks if len(self.values("nothing", task))]

    def _cell(self, circuit: str, task: str) -> Cell:
        same, key = circuit == task, (circuit, task)
        if key in self._cells:
            return self._cells[key]
        nothing = self.values("nothing", task)[0]
        own = self.values("own", task, task)[0] if same else self.values("kept", task, task)[0]
        kept, random = self.values("kept", task, circuit), self.values("random", task, circuit)
        under, over = own - nothing, kept - nothing
        low, high = mean_interval(under[None], seed=self.request.seed)
        gained = float(under.mean())
        shares: tuple[float | None, ...] = (None,) * 6
        if not is_nothing(gained, float(low[0]), float(high[0])):
            ends = ratio_interval(over, under, rng=np.random.default_rng(self.request.seed))
            floor = (random - nothing).mean(axis=1) / gained
            shares = (
                float(over.mean()) / gained, *(float(end[0]) for end in ends),
                float(floor.mean()), *np.quantile(floor, REACH).tolist(),
            )  # fmt: skip
        both = self.overlap(circuit, task)
        alike = (both.jaccard, both.low, both.high)
        found = Cell(circuit, task, *shares, *alike, gained, len(under), "")  # type: ignore[call-arg, arg-type]  # six shares
        self._cells[key] = replace(found, name=named(found))
        return self._cells[key]

    @cached_property
    def _cells(self) -> dict[tuple[str, str], Cell]:
        """Cache of cells, whose intervals take a moment."""
        return {}

    @cached_property
    def _values(self) -> dict[tuple[str, str, str], Array]:
        """The rows by kind, circuit and task."""
        found: dict[tuple[str, str, str], dict[int, dict[int, float]]] = {}
        for row in self.table.to_pylist():
            key = (row["kind"], row["circuit"], row["task"])
            found.setdefault(key, {}).setdefault(row["draw"], {})[row["item"]] = row["value"]
        return {
            key: np.array([[values[i] for i in sorted(values)] for _, values in sorted(draws.items())])
            for key, draws in found.items()
        }
