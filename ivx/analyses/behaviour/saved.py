"""How behaviour is kept: every task in every way, as it was asked."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ivx.analyses.base import Saved
from ivx.analyses.behaviour.request import BehaviourRequest
from ivx.analyses.behaviour.result import KEY, TABLE, Asking, Behaviour
from ivx.formats.checks import IDS, each, refuse, typed
from ivx.formats.samples import MAX_SAMPLES, layers_read
from ivx.formats.sweeps import bounded, check_receipt
from ivx.tasks.spelling import ALONE, AS_GIVEN, SPELLINGS, SUM
from ivx.tasks.written import begins, forms

MAX_CELLS = 10_000


def write(found: Behaviour) -> dict[str, Any]:
    """How every task was asked in every way."""
    told = ("task", "contrast", "way", "samples", "spelling", "refused")
    return {"asked": [{name: getattr(one, name) for name in told} | {"notes": list(one.notes)} for one in found.asked]}


def read(request: BehaviourRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Behaviour:
    """The result; raises `IvxError`."""
    asked = each(told["asked"], "asked", lambda one, what: typed(Asking, one, what), most=MAX_CELLS, least=1)
    return Behaviour(request=request, table=table, asked=tuple(asked), layers=layers_read(told), receipt=receipt)


def check(found: Behaviour) -> None:
    """Refuse rows and a receipt that no run returned; raises `IvxError`."""
    table = found.table
    check_receipt(found.receipt, rows=table.num_rows, samples=found.request.samples)
    for name in table.column_names:
        if name != "option" and table[name].null_count:
            refuse(f"rows, column {name}", "a value in every row")
    bounded(table["sample"], "rows, column sample", low=0, high=MAX_SAMPLES)
    bounded(table["rank"], "rows, column rank", low=1, high=IDS - 1)
    if table.group_by(list(KEY)).aggregate([]).num_rows != table.num_rows:
        refuse("rows", f"each {', '.join(KEY)} once")
    cells = {(one.task, one.way): one for one in found.asked}
    if len(cells) < len(found.asked) or any(one.way not in found.ways for one in found.asked):
        refuse("asked", "each task once in each way that was asked for")
    if any(one.samples and (one.refused or one.spelling not in (*SPELLINGS, SUM, ALONE)) for one in found.asked):
        refuse("asked", "a spelling for what was asked, and a reason for what was not")
    counts = table.group_by(["task", "way", "told"]).aggregate([("sample", "count"), ("sample", "max")]).to_pylist()
    wanted = {(one.task, one.way, told): one.samples for one in found.asked if one.samples for told in (True, False)}
    told = {(row["task"], row["way"], row["told"]): row for row in counts}
    if told.keys() != wanted.keys() or any(
        row["sample_count"] != wanted[key] or row["sample_max"] != wanted[key] - 1 for key, row in told.items()
    ):
        refuse("rows", "every sample of what was asked, told and untold")
    for row in table.to_pylist():
        _check_row(row, cells[row["task"], row["way"]].spelling)


def _check_row(row: dict[str, Any], spelling: str) -> None:
    """Refuse a verdict that its text does not bear out."""

    def written(answer: str, spelling: str) -> bool:
        every = forms(answer, spelling, other=(row["query"], row["contrast"]))
        return any(begins(row["wrote"], form, ended=row["ended"]) for form in every)

    # Where spellings are summed, another case than the answer's own counts only in tasks that are not about case.
    least = AS_GIVEN[0] if spelling == SUM else spelling
    if not written(row["answer"], least) <= row["followed"] <= written(row["answer"], spelling):
        refuse("rows, column followed", "whether the text begins with the answer")
    if row["option"] is not None and not written(row["option"], spelling):
        refuse("rows, column option", "an answer that the text begins with")


SAVED: Saved[BehaviourRequest, Behaviour] = Saved(
    result=Behaviour, rows=TABLE, context=("asked",), write=write, read=read, check=check, key=KEY
)
