"""How a variance is kept: its samples, and the vector's address."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ivx.analyses.base import Saved
from ivx.analyses.variance.request import VarianceRequest
from ivx.analyses.variance.result import STREAM, Variance
from ivx.errors import AddressError
from ivx.formats.checks import refuse, text
from ivx.formats.samples import SAMPLES, layers_read, samples_read, samples_written
from ivx.formats.sweeps import check_sweep
from ivx.patching.positions import check_named
from ivx.patching.table import ROWS


def write(found: Variance) -> dict[str, Any]:
    """The samples and the address."""
    return {**samples_written(found.samples), "put": found.patch}


def read(request: VarianceRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Variance:
    """The result; raises `IvxError`."""
    patch = text(told["put"], "put")
    try:
        check_named(patch)
    except AddressError:
        refuse("put", "an address")
    return Variance(
        request=request,
        table=table,
        samples=samples_read(told),
        patch=patch,
        layers=layers_read(told),
        receipt=receipt,
    )


def check(found: Variance) -> None:
    """Refuse rows, samples and a receipt that no sweep returned; raises `IvxError`."""
    wordings, queries = found.shape
    asked = [row.query for row in found.samples.rows]
    if wordings < 2 or queries < 2 or asked != asked[:queries] * wordings:
        refuse("rows", "two wordings or more, each with the same queries in the same order")
    if any(
        len({row.instruction.text for row in found.samples.rows[k * queries : (k + 1) * queries]}) != 1
        for k in range(wordings)
    ):
        refuse("rows", "the same wording for all queries of a part")
    check_sweep(found, sites=(STREAM,))


SAVED: Saved[VarianceRequest, Variance] = Saved(
    result=Variance, rows=ROWS, context=(*SAMPLES, "put"), write=write, read=read, check=check
)
