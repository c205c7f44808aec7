"""JSON that every reader reads: numbers that are not finite, which JSON has no word for, are null."""

from __future__ import annotations

import json
import math
from typing import Any


def json_text(told: Any, **layout: Any) -> str:
    """The JSON of plain values; `layout` as in `json.dumps`."""
    return json.dumps(_plain(told), allow_nan=False, **layout)


def _plain(told: Any) -> Any:
    if isinstance(told, dict):
        return {key: _plain(value) for key, value in told.items()}
    if isinstance(told, list | tuple):
        return [_plain(value) for value in told]
    return None if isinstance(told, float) and not math.isfinite(told) else told
