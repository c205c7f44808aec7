"""How vectors are kept: their samples, the width of a state, and the first tokens of the task's answers."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.base import Saved
from ivx.analyses.vectors.request import VectorsRequest
from ivx.analyses.vectors.result import TABLE, Vectors
from ivx.engine.schema import KEY
from ivx.formats.checks import each, refuse, token_id, whole
from ivx.formats.samples import MAX_TOKENS, SAMPLES, layers_read, samples_read, samples_written
from ivx.formats.sweeps import bounded, check_paired, check_receipt

MAX_WIDTH = 1_000_000
LARGEST_NORM = 1e12
"""No state of a model that works is longer."""


def write(found: Vectors) -> dict[str, Any]:
    """The samples, the width, and the options' tokens."""
    return {**samples_written(found.samples), "width": found.width, "options": list(found.options)}


def read(request: VectorsRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Vectors:
    """The result; raises `IvxError`."""
    width = whole(told["width"], "width", 1, MAX_WIDTH)
    options = tuple(each(told["options"], "options", token_id, most=MAX_TOKENS))
    return Vectors(
        request=request,
        table=table,
        samples=samples_read(told),
        layers=layers_read(told),
        width=width,
        options=options,
        receipt=receipt,
    )


def check(found: Vectors) -> None:
    """Refuse rows and a receipt that no capture returned; raises `IvxError`."""
    check_receipt(found.receipt, rows=found.table.num_rows, samples=len(found.samples.rows))
    check_paired(found.receipt)
    told = {"effect": found.samples.rows, "control": found.samples.control}
    site, table = found.request.component, found.table
    wanted = {
        (role, site, f"{site}.{layer}", sample)
        for role, rows in told.items()
        for layer in range(found.layers)
        for sample in range(len(rows))
    }
    rows = list(zip(*(table[name].to_pylist() for name in KEY), strict=True))
    if len(rows) != len(wanted) or set(rows) != wanted:
        refuse("rows", "every layer and sample once, of the task and of the control task")
    bounded(table["norm"], "rows, column norm", low=0, high=LARGEST_NORM)
    states = pc.list_flatten(table["state"])
    if table["norm"].null_count or table["state"].null_count or states.null_count:
        refuse("rows", "a value in every row")
    bounded(states, "rows, column state", low=-LARGEST_NORM, high=LARGEST_NORM)
    if set(pc.unique(pc.list_value_length(table["state"])).to_pylist()) != {found.width}:
        refuse("rows, column state", f"{found.width:,} numbers in each")


SAVED: Saved[VectorsRequest, Vectors] = Saved(
    result=Vectors,
    rows=TABLE,
    context=(*SAMPLES, "width", "options"),
    write=write,
    read=read,
    check=check,
    longest=MAX_WIDTH,
)
