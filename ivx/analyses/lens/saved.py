"""How a reading is kept: the prompt's tokens, and what is written after them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.base import Saved
from ivx.analyses.lens.request import LensRequest
from ivx.analyses.lens.result import KEY, MOST, TABLE, Reading
from ivx.formats.checks import IDS, each, refuse, text, whole
from ivx.formats.samples import layers_read
from ivx.formats.sweeps import bounded, check_receipt


def write(found: Reading) -> dict[str, Any]:
    """Tokens and texts."""
    return {
        "tokens": list(found.tokens),
        "text": found.text,
        "first": found.first,
        "unknown": found.unknown,
        "control": found.control,
    }


def read(request: LensRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Reading:
    """The result; raises `IvxError`."""
    tokens = tuple(each(told["tokens"], "tokens", text, most=MOST, least=1))
    return Reading(
        request=request,
        table=table,
        layers=layers_read(told),
        receipt=receipt,
        tokens=tokens,
        text=text(told["text"], "text"),
        first=whole(told["first"], "first", 0, len(tokens) - 1),
        unknown=whole(told["unknown"], "unknown", 0, len(tokens)),
        control=text(told["control"], "control"),
    )


def check(found: Reading) -> None:
    """Refuse rows and a receipt that no lens returned; raises `IvxError`."""
    check_receipt(found.receipt, rows=found.table.num_rows, samples=1)
    table, n = found.table, len(found.tokens)
    if any(table[name].null_count for name in table.column_names):
        refuse("rows", "a value in every row")
    for name, low, high in (
        ("layer", 0, found.layers - 1),
        ("position", 0, n - 1),
        ("rank", 1, IDS - 1),
        ("id", 0, IDS - 1),
        ("probability", 0, 1),
        ("change", 0, 1 + 1e-6),
    ):
        bounded(table[name], f"rows, column {name}", low=low, high=high)
    if table.group_by(list(KEY)).aggregate([]).num_rows != table.num_rows:
        refuse("rows", f"each {', '.join(KEY)} once")
    tops = table.filter(pc.field("rank") == 1)
    if tops.num_rows != found.layers * n:
        refuse("rows", "a top word in every layer at every token")


SAVED: Saved[LensRequest, Reading] = Saved(
    result=Reading,
    rows=TABLE,
    context=("tokens", "text", "first", "unknown", "control"),
    write=write,
    read=read,
    check=check,
    key=KEY,
)
