"""Results for tests: cells of maps that are made up, and a map that came with ivx."""

from __future__ import annotations

from pathlib import Path

from ivx.analyses.effects.result import Effects
from ivx.jobs.compute import stored
from ivx.jobs.shipped import shipped
from ivx.patching.cells import Cell
from ivx.store.store import Store


def cell(state: str, value: float, *, layer: int = 3, column: int = 0) -> Cell:
    ends = (value - 0.2, value + 0.2)
    return Cell("resid_post", layer, column, f"resid_post.{layer}@{column}", value, *ends, None, 0, 0, state, 40, 0.9)


def shipped_effects(folder: Path) -> Effects:
    """The effects of tiny-sft that came with ivx, in a new store in this folder."""
    asked = next(one for one in shipped() if one.kind == "effects" and one.checkpoint == "tiny-sft")
    found = stored(Store(folder), asked)
    assert isinstance(found, Effects)
    return found
