"""How effects and scans are kept: their samples, and the columns of each map."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ivx.analyses.base import Saved
from ivx.analyses.effects.request import EffectsRequest, ScanRequest
from ivx.analyses.effects.result import Effects
from ivx.formats.checks import each, refuse
from ivx.formats.samples import MAX_COLUMNS, SAMPLES, column_read, layers_read, samples_read, samples_written
from ivx.formats.sweeps import check_sweep
from ivx.patching.positions import Column
from ivx.patching.table import ROWS


def write(found: Effects) -> dict[str, Any]:
    """The columns of each site's map."""
    return {
        **samples_written(found.samples),
        "maps": {site: [list(column) for column in columns] for site, columns in found.maps.items()},
    }


def read(
    request: EffectsRequest | ScanRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]
) -> Effects:
    """The result; raises `IvxError`."""
    return Effects(
        request=request,
        table=table,
        samples=samples_read(told),
        maps=_maps(told["maps"], request),
        layers=layers_read(told),
        receipt=receipt,
    )


def _maps(told: Any, request: EffectsRequest | ScanRequest) -> dict[str, tuple[Column, ...]]:
    if not isinstance(told, dict) or sorted(told) != sorted(request.sites):
        refuse("maps", f"one map for each of {', '.join(request.sites)}")
    return {
        site: tuple(each(told[site], f"map of {site}", column_read, most=MAX_COLUMNS, least=1))
        for site in request.sites
    }


def check(found: Effects) -> None:
    """Refuse rows and a receipt that no sweep returned; raises `IvxError`."""
    check_sweep(found, sites=tuple(found.maps))


SAVED: Saved[Any, Effects] = Saved(
    result=Effects,
    rows=ROWS,
    context=(*SAMPLES, "maps"),
    write=write,
    read=read,
    check=check,
)
