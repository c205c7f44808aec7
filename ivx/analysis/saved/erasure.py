"""An erasure apart from its rows: nothing beside the samples."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ivx.analysis.erased import Erasure
from ivx.analysis.saved.samples import SAMPLES, layers_read, samples_read, samples_written
from ivx.runs.probing import ErasureRequest

KEYS = SAMPLES


def written(found: Erasure) -> dict[str, Any]:
    """The samples."""
    return samples_written(found.samples)


def read(request: ErasureRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Erasure:
    """The result; raises `IvxError`."""
    return Erasure(request, table, samples_read(told), layers_read(told), receipt)
