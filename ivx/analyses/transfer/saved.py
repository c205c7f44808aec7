"""How a circuit transfer is kept: the tasks, the circuits and their overlaps."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.base import Saved
from ivx.analyses.transfer.circuits import Alike, Circuit
from ivx.analyses.transfer.request import MOST, TransferRequest
from ivx.analyses.transfer.result import KEY, KINDS, ROWS, Transfer
from ivx.formats.checks import LARGEST, each, refuse, text, typed, whole
from ivx.formats.samples import MAX_COLUMNS, MAX_SAMPLES, layers_read
from ivx.formats.sweeps import bounded, check_receipt


def write(found: Transfer) -> dict[str, Any]:
    """Tasks, heads, circuits and overlaps."""
    return {
        "tasks": list(found.tasks),
        "heads": found.heads,
        "circuits": [asdict(one) for one in found.circuits],
        "overlaps": [asdict(one) for one in found.overlaps],
    }


def read(request: TransferRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Transfer:
    """The result; raises `IvxError`."""
    tasks = tuple(each(told["tasks"], "tasks", text, most=MOST, least=2))
    circuits = tuple(each(told["circuits"], "circuits", lambda t, w: typed(Circuit, t, w), most=MOST))
    overlaps = tuple(each(told["overlaps"], "overlaps", lambda t, w: typed(Alike, t, w), most=MOST**2))
    return Transfer(
        request=request,
        table=table,
        tasks=tasks,
        layers=layers_read(told),
        heads=whole(told["heads"], "heads", 1, MAX_COLUMNS),
        circuits=circuits,
        overlaps=overlaps,
        receipt=receipt,
    )


def check(found: Transfer) -> None:
    """Refuse rows, circuits and overlaps that no transfer returned; raises `IvxError`."""
    table, tasks = found.table, set(found.tasks)
    if len(tasks) < len(found.tasks) or tuple(one.task for one in found.circuits) != found.tasks:
        refuse("circuits", "one of each task")
    for one in found.circuits:
        for half in (one.found, one.other):
            there = all(0 <= layer < found.layers and 0 <= head < found.heads for layer, head in half)
            if not there or len(set(half)) < len(half) or len(half) > found.request.heads:
                refuse(f"circuits, {one.task}", "heads of this model, each once")
    wanted = {frozenset((a, b)) for a in tasks for b in tasks}
    if {frozenset((one.one, one.two)) for one in found.overlaps} != wanted or len(found.overlaps) != len(wanted):
        refuse("overlaps", "one of every two tasks")
    if not all(0 <= one.low <= one.jaccard <= one.high <= 1 for one in found.overlaps):
        refuse("overlaps", "shares from 0 to 1 within their intervals")
    bounded(table["value"], "rows, column value", low=-LARGEST, high=LARGEST)
    bounded(table["draw"], "rows, column draw", low=0, high=found.request.draws - 1)
    bounded(table["item"], "rows, column item", low=0, high=MAX_SAMPLES)
    for name, allowed in (("kind", set(KINDS)), ("circuit", tasks | {""}), ("task", tasks)):
        if table[name].null_count or not set(pc.unique(table[name]).to_pylist()) <= allowed:
            refuse(f"rows, column {name}", f"one of {', '.join(filter(None, sorted(allowed)))}")
    if table["value"].null_count or table.group_by(list(KEY)).aggregate([]).num_rows != table.num_rows:
        refuse("rows", f"a value, and each {', '.join(KEY)} once")
    count = 0
    for task in found.tasks:
        n = found.values("nothing", task).shape[1]
        sets = [("whole", ""), ("own", task), *(("kept", one) for one in found.tasks)]
        shapes = {found.values(kind, task, circuit).shape for kind, circuit in sets}
        random = {found.values("random", task, one).shape for one in found.tasks}
        if not n or shapes != {(1, n)} or random != {(found.request.draws, n)}:
            refuse(f"rows, {task}", "every set of heads on every sample")
        count += n
    check_receipt(found.receipt, rows=table.num_rows, samples=count)


SAVED: Saved[TransferRequest, Transfer] = Saved(
    result=Transfer,
    rows=ROWS,
    context=("tasks", "heads", "circuits", "overlaps"),
    write=write,
    read=read,
    check=check,
    key=KEY,
)
