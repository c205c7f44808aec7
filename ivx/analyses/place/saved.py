"""How a search for a place is kept: its samples, the tokens that were taken and patched, and the number of heads."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ivx.analyses.base import Saved
from ivx.analyses.place.request import PlaceRequest
from ivx.analyses.place.result import Place
from ivx.engine.address import STREAM
from ivx.formats.checks import each, refuse, text, whole
from ivx.formats.samples import (
    MAX_COLUMNS,
    MAX_LAYERS,
    SAMPLES,
    column_read,
    layers_read,
    samples_read,
    samples_written,
)
from ivx.formats.sweeps import check_sweep
from ivx.numeral import index_of
from ivx.patching.positions import Column
from ivx.patching.table import ROWS
from ivx.vocabulary import SOURCE_WORDS

LEAST_SAMPLES = 4


def write(found: Place) -> dict[str, Any]:
    """The samples, and the tokens."""
    return {
        **samples_written(found.samples),
        "columns": [list(column) for column in found.columns],
        "sources": list(found.sources),
        "heads": found.heads,
    }


def read(request: PlaceRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Place:
    """The result; raises `IvxError`."""
    samples = samples_read(told)
    if len(samples.rows) < LEAST_SAMPLES:
        refuse("rows", f"at least {LEAST_SAMPLES} samples")
    return Place(
        request=request,
        table=table,
        samples=samples,
        columns=tuple(each(told["columns"], "columns", _column, most=MAX_COLUMNS, least=1)),
        sources=tuple(each(told["sources"], "sources", _source, most=len(SOURCE_WORDS), least=1)),
        heads=whole(told["heads"], "heads", 1, MAX_LAYERS),
        layers=layers_read(told),
        receipt=receipt,
    )


def _column(told: Any, what: str) -> Column:
    column = column_read(told, what)
    if not isinstance(column.position, int):
        refuse(what, "a position by its number")
    return column


def _source(told: Any, what: str) -> str:
    name = text(told, what)
    if name not in SOURCE_WORDS and index_of(name.removeprefix("-")) is None:
        refuse(what, f"one of {', '.join(SOURCE_WORDS)}, or an index")
    return name


def check(found: Place) -> None:
    """Refuse rows and a receipt that no search returned; raises `IvxError`."""
    held = found.parts
    check_sweep(found, sites=(STREAM,), parts=[*held, {*held.controlled, *held.confirming}])


SAVED: Saved[PlaceRequest, Place] = Saved(
    result=Place,
    rows=ROWS,
    context=(*SAMPLES, "columns", "sources", "heads"),
    write=write,
    read=read,
    check=check,
)
