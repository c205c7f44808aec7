"""How an erasure is kept: its samples; all else is in its rows."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ivx.analyses.base import Saved
from ivx.analyses.erasure.request import ErasureRequest
from ivx.analyses.erasure.result import ROLES, ROWS, Erasure
from ivx.formats.samples import SAMPLES, layers_read, samples_read, samples_written
from ivx.formats.sweeps import bounded, check_layers, check_sweep


def write(found: Erasure) -> dict[str, Any]:
    """The samples."""
    return samples_written(found.samples)


def read(request: ErasureRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Erasure:
    """The result; raises `IvxError`."""
    return Erasure(request=request, table=table, samples=samples_read(told), layers=layers_read(told), receipt=receipt)


def check(found: Erasure) -> None:
    """Refuse rows and a receipt that no erasure returned; raises `IvxError`."""
    check_sweep(found, sites=(found.request.component,), roles=ROLES)
    bounded(found.table["moved"], "rows, column moved", low=0)
    check_layers(found.table, site=found.request.component, layers=found.layers)


SAVED: Saved[ErasureRequest, Erasure] = Saved(
    result=Erasure,
    rows=ROWS,
    context=SAMPLES,
    write=write,
    read=read,
    check=check,
)
