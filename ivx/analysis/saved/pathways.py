"""Pathways apart from their rows: the other instruction's samples, and what was found of the flow."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pyarrow as pa

from ivx.analysis.flow import Found, Pathways
from ivx.analysis.saved.samples import (
    MAX_COLUMNS,
    SAMPLES,
    layers_read,
    sample_read,
    sample_written,
    samples_read,
    samples_written,
)
from ivx.analysis.typed import typed
from ivx.analysis.values import each, whole
from ivx.runs.tracing import PathwaysRequest

KEYS = (
    *SAMPLES,
    "heads",
    "there",
    "found",
)


def written(found: Pathways) -> dict[str, Any]:
    """Heads, the other instruction's samples, and all that is no row."""
    there = [sample_written(sample) for sample in found.there]
    return {**samples_written(found.samples), "heads": found.heads, "there": there, "found": asdict(found.found)}


def read(request: PathwaysRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Pathways:
    """The result; raises `IvxError`."""
    samples, n = samples_read(told), len(told["rows"])
    there = tuple(each(told["there"], "there", sample_read, most=n, least=n))
    heads, flow = whole(told["heads"], "heads", 1, MAX_COLUMNS), typed(Found, told["found"], "found")
    return Pathways(request, table, samples, there, layers_read(told), heads, flow, receipt)
