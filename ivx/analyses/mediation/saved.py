"""How a mediation is kept: its samples, and what may carry the effect."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ivx.analyses.base import Saved
from ivx.analyses.mediation.carriers import LONGEST, Carrier, Carriers
from ivx.analyses.mediation.request import MediationRequest
from ivx.analyses.mediation.result import Mediation
from ivx.engine.address import STREAM
from ivx.errors import AddressError
from ivx.formats.checks import each, keys, refuse, text, whole
from ivx.formats.samples import MAX_COLUMNS, MAX_LAYERS, SAMPLES, layers_read, samples_read, samples_written
from ivx.formats.sweeps import check_sweep
from ivx.patching.positions import check_named
from ivx.patching.table import ROWS

LEAST_SAMPLES = 2


def write(found: Mediation) -> dict[str, Any]:
    """The samples and the carriers."""
    told = found.carriers
    return {
        **samples_written(found.samples),
        "put": told.put,
        "carriers": [one._asdict() | {"own": list(one.own)} for one in told.every],
        "map_rows": list(told.rows),
        "map_columns": list(told.columns),
    }


def read(request: MediationRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Mediation:
    """The result; raises `IvxError`."""
    samples = samples_read(told)
    if len(samples.rows) < LEAST_SAMPLES:
        refuse("rows", f"at least {LEAST_SAMPLES} samples")
    rows, columns = (
        tuple(each(told[name], name, text, most=most, least=1))
        for name, most in (("map_rows", MAX_LAYERS), ("map_columns", MAX_COLUMNS))
    )

    def carrier(one: Any, what: str) -> Carrier:
        keys(one, *Carrier._fields, what=what)
        return Carrier(
            text(one["label"], f"{what}, label"),
            whole(one["row"], f"{what}, row", 0, len(rows) - 1),
            whole(one["column"], f"{what}, column", 0, len(columns) - 1),
            tuple(each(one["own"], f"{what}, own", _address, most=LONGEST, least=1)),
        )

    every = tuple(each(told["carriers"], "carriers", carrier, most=MAX_COLUMNS, least=1))
    return Mediation(
        request=request,
        table=table,
        samples=samples,
        carriers=Carriers(_address(told["put"], "put"), every, rows, columns),
        layers=layers_read(told),
        receipt=receipt,
    )


def _address(told: Any, what: str) -> str:
    found = text(told, what)
    try:
        check_named(found)
    except AddressError:
        refuse(what, "an address")
    return found


def check(found: Mediation) -> None:
    """Refuse rows and a receipt that no sweep returned; raises `IvxError`."""
    check_sweep(found, sites=(STREAM,))


SAVED: Saved[MediationRequest, Mediation] = Saved(
    result=Mediation,
    rows=ROWS,
    context=(*SAMPLES, "put", "carriers", "map_rows", "map_columns"),
    write=write,
    read=read,
    check=check,
)
