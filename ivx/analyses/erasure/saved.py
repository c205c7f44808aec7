"""An erasure apart from its rows: nothing beside the samples."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.erasure.request import ErasureRequest
from ivx.analyses.erasure.result import ROLES, ROWS, Erasure
from ivx.formats.checks import refuse
from ivx.formats.samples import SAMPLES, layers_read, samples_read, samples_written
from ivx.formats.sweeps import bounded, check_sweep

__all__ = ["KEYS", "ROWS", "check", "read", "written"]
KEYS = SAMPLES


def written(found: Erasure) -> dict[str, Any]:
    """The samples."""
    return samples_written(found.samples)


def read(request: ErasureRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Erasure:
    """The result; raises `IvxError`."""
    return Erasure(request, table, samples_read(told), layers_read(told), receipt)


def check(found: Erasure) -> None:
    """Refuse rows and a receipt that no erasure returned; raises `IvxError`."""
    check_sweep(found, sites=(found.request.component,), roles=ROLES)
    bounded(found.table["moved"], "rows, column moved", low=0)
    wrong = {patch for patch in pc.unique(found.table["patch"]).to_pylist() if patch and not _layered(found, patch)}
    if wrong:
        refuse("rows, column patch", f"addresses of {found.request.component} in {found.layers} layers")


def _layered(found: Erasure, patch: str) -> bool:
    site, _, layer = patch.partition("@")[0].partition(".")
    return site == found.request.component and layer.isdigit() and int(layer) < found.layers
