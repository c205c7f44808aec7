"""Vectors apart from their rows: the width of a state, and the first tokens of the task's answers."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ivx.analyses.vectors.request import VectorsRequest
from ivx.analyses.vectors.result import Vectors
from ivx.formats.checks import each, token_id, whole
from ivx.formats.samples import MAX_TOKENS, SAMPLES, layers_read, samples_read, samples_written

MAX_WIDTH = 1_000_000
KEYS = (*SAMPLES, "width", "options")


def written(found: Vectors) -> dict[str, Any]:
    """The samples, the width, and the options' tokens."""
    return {**samples_written(found.samples), "width": found.width, "options": list(found.options)}


def read(request: VectorsRequest, told: dict[str, Any], table: pa.Table, receipt: dict[str, Any]) -> Vectors:
    """The result; raises `IvxError`."""
    width = whole(told["width"], "width", 1, MAX_WIDTH)
    options = tuple(each(told["options"], "options", token_id, most=MAX_TOKENS))
    return Vectors(request, table, samples_read(told), layers_read(told), width, options, receipt)
