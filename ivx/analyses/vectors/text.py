"""Vectors as text for a terminal."""

from __future__ import annotations

from typing import Any

from ivx.analyses.base import Words


def text_of(summary: dict[str, Any]) -> str:
    """The run's id, which a transplant names, and the mean length by layer."""
    request = summary["request"]
    lengths = " ".join(f"{norm:.2f}" for norm in summary["norms"])
    lines = [
        f"{request['checkpoint']}, {request['task']}, {request['component']} at {request['source_token']}, "
        f"n = {summary['samples']}, width {summary['width']}, run {summary['run']}",
        f"mean length by layer {lengths}",
    ]
    return "\n".join([*lines, *(f"note: {warning}" for warning in summary["warnings"])])


WORDS: Words[Any] = Words(text_of)
