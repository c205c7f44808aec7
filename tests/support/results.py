"""Cells of maps, made up."""

from __future__ import annotations

from ivx.patching.cells import Cell


def cell(state: str, value: float, *, layer: int = 3, column: int = 0) -> Cell:
    ends = (value - 0.2, value + 0.2)
    return Cell("resid_post", layer, column, f"resid_post.{layer}@{column}", value, *ends, None, 0, 0, state, 40, 0.9)
