"""The pair map: the later layer up, the earlier one across, one cell a pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ivx.charts.heatmap import Tile, heatmap, scale_of
from ivx.charts.palette import LIGHT, Palette

STRICT, HARMFUL, DEGENERATE = "◆", "▽", "—"
"""Beats the sum and the better of the two; two harmful patches; follows from the two alone."""


@dataclass(frozen=True)
class Pair:
    """What a pair map shows of two layers; `state` as of a `Tile`, `patch` names the pair."""

    low: int
    high: int
    patch: str
    value: float
    state: str
    glyph: str = ""
    told: str = ""


def pair_map(
    pairs: Sequence[Pair],
    *,
    layers: int,
    scale: float,
    palette: Palette,
    chosen: Pair | None = None,
    row: int = 50,
    row_labels: bool = False,
) -> dict[str, Any]:
    """The Vega-Lite spec; pairs that are not there are drawn empty."""
    there = {(pair.high, pair.low) for pair in pairs}
    tiles = [Tile(pair.high, pair.low, pair.value, pair.state, pair.told, pair.glyph) for pair in pairs]
    tiles += [
        Tile(i, j, 0.0, "absent" if j >= i else "empty")
        for i in range(layers)
        for j in range(layers - 1)
        if (i, j) not in there
    ]
    return heatmap(
        tiles,
        [f"L{i}" for i in range(layers - 1)],
        layers=layers,
        scale=scale,
        palette=palette,
        selected=(chosen.high, chosen.low) if chosen is not None else None,
        bold=chosen.low if chosen is not None else None,
        row_labels=row_labels,
        row=row,
        mono=False,
        alt_text=f"Pair map, {layers} layers",
    )


def pair_figure(pairs: Sequence[Pair], *, layers: int, title: str) -> dict[str, Any]:
    """The map for print: light, of fixed width, its layers named, nothing to click."""
    scale = scale_of([pair.value for pair in pairs if pair.state != "zero"])
    spec = pair_map(pairs, layers=layers, scale=scale, palette=LIGHT, row=42)
    subtitle = (
        f"later layer up, earlier across; colours from −{scale:g} to +{scale:g}; {STRICT} beats the sum and the better "
        f"one, {HARMFUL} two harmful patches, {DEGENERATE} degenerate"
    )
    shown = {"text": title, "subtitle": subtitle, "anchor": "start"}
    printed = {**spec, "width": 70 * (layers - 1), "title": shown}
    return {key: value for key, value in printed.items() if key != "params"}
