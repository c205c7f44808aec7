"""How separability is kept: the tasks, and the wordings that were read."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.base import Saved
from ivx.analyses.separability.geometry import NAMES
from ivx.analyses.separability.request import SeparabilityRequest
from ivx.analyses.separability.result import BASELINES, PATH, TABLE, Read, Separability
from ivx.formats.checks import LARGEST, each, number, refuse, text, whole
from ivx.formats.samples import MAX_SAMPLES, layers_read
from ivx.formats.sweeps import bounded, check_receipt

MAX_WORDINGS = 200_000
LONGEST = 20_000
"""Most points of a plane that can be imported."""
ESTIMATES = ("accuracy", "control", "selectivity")
"""Measures that every place has, each with its interval."""
BESIDE = ("centroid", "nonlinear", "margin", "within", "capacity", "curve")


def write(found: Separability) -> dict[str, Any]:
    """Tasks, and each wording as its task's number, its text, its family and its token."""
    return {
        "tasks": list(found.tasks),
        "wordings": [[found.tasks.index(w.task), w.text, w.family, w.token] for w in found.wordings],
    }


def read(request: SeparabilityRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Separability:
    """The result; raises `IvxError`."""
    tasks = tuple(each(told["tasks"], "tasks", text, most=MAX_SAMPLES, least=2))

    def wording(told: Any, what: str) -> Read:
        if not isinstance(told, list) or len(told) != 4:
            refuse(what, "a task's number, a text, a family and a token")
        task = tasks[whole(told[0], f"{what}, task", 0, len(tasks) - 1)]
        return Read(task, *(text(part, what) for part in told[1:]))

    wordings = tuple(each(told["wordings"], "wordings", wording, most=MAX_WORDINGS, least=1))
    return Separability(
        request=request, table=table, tasks=tasks, wordings=wordings, layers=layers_read(told), receipt=receipt
    )


def check(found: Separability) -> None:
    """Refuse rows and a receipt that no separability returned; raises `IvxError`."""
    n, table = len(found.wordings), found.table
    check_receipt(found.receipt, rows=table.num_rows, samples=n)
    if number(found.receipt.get("chance"), "receipt, chance") > 1:
        refuse("receipt, chance", "a share")
    for name, low, high in (("value", -LARGEST, LARGEST), ("low", -LARGEST, LARGEST), ("high", -LARGEST, LARGEST)):
        bounded(table[name], f"rows, column {name}", low=low, high=high)
    for name in ("component", "layer", "measure", "value", "n"):
        if table[name].null_count:
            refuse(f"rows, column {name}", "a value in every row")
    bounded(table["n"], "rows, column n", low=n, high=n)
    bounded(table["wordings"], "rows, column wordings", low=1, high=MAX_WORDINGS)
    request = found.request
    for name, allowed in (
        ("component", (*request.components, *BASELINES)),
        ("measure", (*ESTIMATES, *BESIDE, "confusion", *NAMES, PATH, *request.projections)),
        ("truth", (*found.tasks, None)),
        ("predicted", (*found.tasks, None)),
    ):
        if set(pc.unique(table[name]).to_pylist()) - set(allowed):
            refuse(f"rows, column {name}", f"one of {', '.join(filter(None, allowed))}")
    _check_places(found)
    for row in table.filter(pc.field("measure").isin([*request.projections, PATH])).to_pylist():
        _check_plane(row, n)


def _check_places(found: Separability) -> None:
    """Refuse rows unless every place is there once, with all that a page reads of it."""
    key = ["component", "layer", "measure", "wordings", "truth", "predicted"]
    table, request = found.table, found.request
    if table.group_by(key).aggregate([]).num_rows != table.num_rows:
        refuse("rows", f"each {', '.join(key)} once")
    there: dict[tuple[str, int], set[str]] = defaultdict(set)
    for row in table.select([*key, "value", "low", "high"]).to_pylist():
        measure = row["measure"]
        there[row["component"], row["layer"]].add(measure)
        whole_row = {
            **dict.fromkeys((*ESTIMATES, *BESIDE, *NAMES), ("value", "low", "high")),
            "confusion": ("value", "truth", "predicted"),
        }
        needs = (*whole_row.get(measure, ()), *(("wordings",) if measure == "curve" else ()))
        if any(row[name] is None for name in needs):
            refuse(f"rows of {measure}", f"{', '.join(needs)} in each")
    wanted = {(name, -1): set(ESTIMATES) for name in BASELINES}
    probed = {*ESTIMATES, "confusion", "curve", *request.projections}
    wanted |= {(component, layer): probed for component in request.components for layer in range(found.layers)}
    if there.keys() != wanted.keys() or any(not measures <= there[place] for place, measures in wanted.items()):
        refuse("rows", "every component and layer, and both baselines, with all that is measured there")


def _check_plane(row: dict[str, Any], n: int) -> None:
    for name in ("x", "y"):
        values = row[name]
        if values is None or len(values) != n:
            refuse(f"rows, column {name}", f"{n} numbers in each plane")
        if not all(value is None or -LARGEST <= value <= LARGEST for value in values):
            refuse(f"rows, column {name}", "finite numbers")
    if any((x is None) != (y is None) for x, y in zip(row["x"], row["y"], strict=True)):
        refuse("rows, column y", "a number wherever x has one")


SAVED: Saved[SeparabilityRequest, Separability] = Saved(
    result=Separability,
    rows=TABLE,
    context=("tasks", "wordings"),
    write=write,
    read=read,
    check=check,
    key=(),
    longest=LONGEST,
)
