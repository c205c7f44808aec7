"""What figures show, as rows: a number each, in the same columns for every kind of result."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from ivx.charts.numbers import Judged
from ivx.stats.metrics import find

ROWS = pa.schema(
    [
        ("figure", pa.string()),
        ("cell", pa.string()),
        ("label", pa.string()),
        ("layer", pa.int32()),
        ("mean", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("p", pa.float64()),
        ("control", pa.float64()),
        ("p_control", pa.float64()),
        ("state", pa.string()),
        ("n", pa.int32()),
        ("what", pa.string()),
        ("unit", pa.string()),
        ("checkpoint", pa.string()),
        ("task", pa.string()),
        ("run", pa.string()),
    ]
)
"""One row per number that a figure shows. `cell` is its address, `label` what the figure calls it; `low` and `high` are
the ends of its 95 % interval, `p` that it is not 0 and `p_control` that it is no better than its control, whose mean is
`control`, both adjusted as the figure's are; `state` is the verdict (`ivx.stats.verdict`). What a figure does not have
is null."""


class Plotted(NamedTuple):
    """One number of a figure: the columns of `ROWS` of these names."""

    figure: str
    cell: str
    label: str
    layer: int | None
    mean: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    control: float | None = None
    p_control: float | None = None
    state: str = ""
    n: int | None = None
    what: str = ""
    unit: str = ""


class Tested(Judged, Protocol):
    """What a figure judges of a number, with the p-values behind it."""

    @property
    def p(self) -> float | None: ...
    @property
    def p_control(self) -> float | None: ...


def judged(of: Tested, figure: str, cell: str, *, label: str, layer: int | None, n: int, metric: str) -> Plotted:
    """The row of a number that has a verdict."""
    own = (of.value, of.low, of.high, of.p, of.control, of.p_control, of.state)
    return Plotted(figure, cell, label, layer, *own, n=n, what=metric, unit=find(metric).unit)


def table(rows: Iterable[Plotted], *, checkpoint: str, task: str, run: str) -> pa.Table:
    """The rows of one result; a number that is not finite is null."""
    about = {"checkpoint": checkpoint, "task": task, "run": run}
    return pa.Table.from_pylist([{**_finite(row), **about} for row in rows], schema=ROWS)


def _finite(row: Plotted) -> dict[str, Any]:
    found = row._asdict()
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in found.items()
    }
