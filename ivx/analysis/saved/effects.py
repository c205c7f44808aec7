"""An effects result or a source scan apart from its rows: the maps' columns."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ivx.analysis.places import Column
from ivx.analysis.result import Effects
from ivx.analysis.saved.foreign import check_sweep
from ivx.analysis.saved.samples import MAX_COLUMNS, SAMPLES, column_read, layers_read, samples_read, samples_written
from ivx.analysis.values import each, refuse
from ivx.runs.patching import EffectsRequest, ScanRequest

KEYS = (
    *SAMPLES,
    "maps",
)


def written(found: Effects) -> dict[str, Any]:
    """The columns of each site's map."""
    return {
        **samples_written(found.samples),
        "maps": {site: [list(column) for column in columns] for site, columns in found.maps.items()},
    }


def read(
    request: EffectsRequest | ScanRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]
) -> Effects:
    """The result; raises `IvxError`."""
    return Effects(request, table, samples_read(told), _maps(told["maps"], request), layers_read(told), receipt)


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
