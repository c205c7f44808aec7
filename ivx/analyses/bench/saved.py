"""How a bench is kept: how many wordings its vector is the mean of, and the norms."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.base import Saved
from ivx.analyses.bench.request import BenchRequest
from ivx.analyses.bench.result import CONTROL, FREE, KEY, NONE, QUERIES, RANDOM, ROWS, STRENGTHS, VECTOR, Bench
from ivx.formats.checks import number, refuse, whole
from ivx.formats.samples import MAX_SAMPLES, layers_read
from ivx.formats.sweeps import bounded, check_receipt

ROLES = (NONE, VECTOR, CONTROL, RANDOM)


def write(found: Bench) -> dict[str, Any]:
    """The number of wordings, and the norms."""
    return {"wordings": found.wordings, "norms": found.norms}


def read(request: BenchRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Bench:
    """The result; raises `IvxError`."""
    norms = told["norms"]
    if not isinstance(norms, dict) or not {VECTOR, "states"} <= set(norms) <= {VECTOR, CONTROL, "states"}:
        refuse("norms", "the lengths of the vector, of the control's, and of the states")
    return Bench(
        request=request,
        table=table,
        layers=layers_read(told),
        receipt=receipt,
        wordings=whole(told["wordings"], "wordings", 1, 1_000_000),
        norms={name: number(value, f"norms, {name}") for name, value in norms.items()},
    )


def check(found: Bench) -> None:
    """Refuse rows and a receipt that no bench returned; raises `IvxError`."""
    table = found.table
    queries = table.filter((pc.field("on") == QUERIES) & (pc.field("role") == NONE)).num_rows
    check_receipt(found.receipt, rows=table.num_rows, samples=queries)
    if any(table[name].null_count for name in table.column_names):
        refuse("rows", "a value in every row")
    bounded(table["sample"], "rows, column sample", low=0, high=MAX_SAMPLES)
    for name, allowed in (("on", (QUERIES, FREE)), ("role", ROLES), ("strength", STRENGTHS)):
        if not set(pc.unique(table[name]).to_pylist()) <= set(allowed):
            refuse(f"rows, column {name}", f"one of {', '.join(map(str, allowed))}")
    if table.group_by(list(KEY)).aggregate([]).num_rows != table.num_rows:
        refuse("rows", f"each {', '.join(KEY)} once")
    texts = len(found.request.texts)
    roles = len(set(pc.unique(table["role"]).to_pylist()) - {NONE})
    if table.num_rows != (1 + roles * (len(STRENGTHS) - 1)) * (queries + texts):
        refuse("rows", "every sample at every strength, in every role")


SAVED: Saved[BenchRequest, Bench] = Saved(
    result=Bench, rows=ROWS, context=("wordings", "norms"), write=write, read=read, check=check, key=KEY
)
