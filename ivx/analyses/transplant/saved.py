"""How a transplant is kept: its samples, the checkpoint that the vectors come from, and their site."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ivx.analyses.base import Saved
from ivx.analyses.transplant.request import TransplantRequest
from ivx.analyses.transplant.result import ROLES, ROWS, Transplant
from ivx.analyses.vectors.saved import LARGEST_NORM
from ivx.formats.checks import text
from ivx.formats.samples import SAMPLES, layers_read, samples_read, samples_written
from ivx.formats.sweeps import bounded, check_layers, check_sweep


def write(found: Transplant) -> dict[str, Any]:
    """The samples, the donor and the site."""
    return {**samples_written(found.samples), "donor": found.donor, "component": found.component}


def read(request: TransplantRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Transplant:
    """The result; raises `IvxError`."""
    donor, component = text(told["donor"], "donor"), text(told["component"], "component")
    return Transplant(
        request=request,
        table=table,
        samples=samples_read(told),
        layers=layers_read(told),
        donor=donor,
        component=component,
        receipt=receipt,
    )


def check(found: Transplant) -> None:
    """Refuse rows and a receipt that no transplant returned; raises `IvxError`."""
    check_sweep(found, sites=(found.component,), roles=ROLES)
    for name in ("norm", "own_norm"):
        bounded(found.table[name], f"rows, column {name}", low=0, high=LARGEST_NORM)
    check_layers(found.table, site=found.component, layers=found.layers)


SAVED: Saved[TransplantRequest, Transplant] = Saved(
    result=Transplant,
    rows=ROWS,
    context=(*SAMPLES, "donor", "component"),
    write=write,
    read=read,
    check=check,
)
