"""Maps on a page: a result's cells as a clickable chart, an empty chart in its place, and the chosen cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from ivx.analyses.effects.result import Effects
from ivx.analyses.interactions.request import InteractionsRequest
from ivx.analyses.interactions.result import Interactions
from ivx.analyses.place.found import At
from ivx.charts.figure import tile
from ivx.charts.heatmap import Tile, heatmap
from ivx.charts.palette import Palette
from ivx.patching.cells import Cell
from ivx.patching.positions import position_of, taken
from ivx.ui.kit import address, checkpoints, clicks, pieces
from ivx.ui.kit.asking import read_by
from ivx.vocabulary import source_token

COLUMNS = [1, 1, 1.05]
PIN = "pin"
"""What the address calls the cell that is kept beside the chosen one."""
CROWDED = 16


def row_height(layers: int, p: Palette) -> int:
    """Height of a layer's row: room for numbers, unless there are too many layers; less where a page is presented."""
    return (42 if p.letters == 1 else 34) if layers <= CROWDED else 14


def cells_map(
    result: Effects,
    site: str,
    cells: Sequence[Cell],
    scale: float,
    chosen: Cell | None,
    p: Palette,
    *,
    bold: int | None,
    labels: Sequence[str] = (),
) -> None:
    """Draw one site's map; a click selects a cell. A pinned cell is called A there, and the chosen one B."""
    names = [column.label for column in result.maps[site]]
    here = (chosen.layer, chosen.column) if chosen is not None and chosen.site == site else None
    pinned = address.from_url(PIN, "")
    called = {chosen.patch: "B", pinned: "A"} if chosen is not None and has_cell(result, pinned) else {}
    drawn(
        [replace(tile(cell, names), glyph=called.get(cell.patch, "")) for cell in cells],
        labels or names,
        result,
        site,
        scale,
        p,
        key=f"map-{site}-{result.run_id}",
        selected=here,
        bold=bold,
        told=f"Effect map, {site}, {result.layers} layers by {len(names)} columns",
    )


def has_cell(result: Effects, patch: str) -> bool:
    """Whether a result's maps have a cell of this address, computed or not."""
    return any(patch == one for site in result.maps for _, _, one in result.places(site))


def drawn(
    tiles: Sequence[Tile],
    labels: Sequence[str],
    result: Effects,
    site: str,
    scale: float,
    p: Palette,
    *,
    key: str,
    selected: tuple[int, int] | None,
    bold: int | None = None,
    told: str,
) -> None:
    """Draw tiles at one site's places; a click selects the cell at that place."""
    chart = heatmap(
        tiles,
        labels,
        layers=result.layers,
        scale=scale,
        palette=p,
        selected=selected,
        bold=bold,
        row=row_height(result.layers, p),
        mono=site != "z",
        alt_text=told,
    )

    def picked(point: Mapping[str, Any]) -> None:
        if int(point["column"]) < len(result.maps[site]):
            st.session_state["cell"] = result.address(site, int(point["layer"]), int(point["column"]))

    clicks.chart(chart, key=key, picked=picked)


def column_at(result: Effects, at: At | None) -> int:
    """The column of a place in the first map; the first one where there is none."""
    if at is None:
        return 0
    rows, columns = result.samples.rows, next(iter(result.maps.values()))
    length = len(rows[0].target)
    put = position_of(at.position, rows) % length
    return next((k for k, one in enumerate(columns) if int(one.position) % length == put), 0)


def cell_at(result: Effects, at: At) -> str:
    """The address of a place's best layer in the first map."""
    return result.address(next(iter(result.maps)), at.layer, column_at(result, at))


def chosen_of(found: Mapping[str, Sequence[Cell]], *, first: str | None = None) -> Cell | None:
    """The clicked cell, or the address bar's, or the one at address `first`, or the strongest finding of the first
    map."""
    every = [cell for cells in found.values() for cell in cells if cell.state != "estimate"]
    if not every:
        return None
    for asked in (address.from_url("cell", ""), first):
        named = next((cell for cell in every if cell.patch == asked), None)
        if named is not None:
            return named
    shown = [cell for cell in every if cell.site == every[0].site]
    return max(shown, key=lambda c: (c.state == "ok", abs(c.value)))


BLANK = 6
"""Columns of a map whose tokens are not known yet."""


def blank(layers: int, p: Palette, labels: Sequence[str] = ("",) * BLANK, **told: Any) -> None:
    """Draw the axes and pale cells of a map of so many layers while nothing is known; nothing where these are not."""
    if not layers:
        pieces.note("How many layers it has is known once it is read.")
        return
    about = f"Empty map, {layers} layers"
    asked: dict[str, Any] = {"row": row_height(layers, p), "alt_text": about} | told
    chart = heatmap([], labels, layers=layers, scale=1.0, palette=p, **asked)
    st.vega_lite_chart(chart, theme=None, width="stretch")


def prompts(result: Effects | Interactions, *, other: bool = False, at: str | None = None) -> None:
    """Draw the first sample's prompts, marking where a state is taken from (the `other` task's, if so) and put: of
    several positions the one `at` a place, or else the first."""
    sample, token, request = result.samples.rows[0], checkpoints.token_of(result), result.request
    if not isinstance(request, InteractionsRequest) and request.direction != "denoise":
        pieces.chips(
            [token(i) for i in sample.target] if request.direction == "noise" else [],
            -1,
            [token(i) for i in sample.instructed],
            sample.t_inst,
            **read_by(sample, token),
            tag={"zero": "set to 0", "mean": "set to its mean", "resample": "another sample’s"}.get(
                request.direction, ""
            ),
        )
        return
    told = result.samples.control[0] if other and result.samples.control else sample
    whole = request.source_token == "all"
    tag = "each token in turn" if whole else source_token(request.source_token).label
    if request.demonstrations and request.source_token == "t_inst":
        tag = "about to answer"
    put = at or "first" if request.position == "all" else request.position
    first = position_of(put, [sample]) % len(sample.target)
    pieces.chips(
        [token(i) for i in told.source],
        -1 if whole else taken(request.source_token, told),
        [token(i) for i in sample.target],
        first,
        **read_by(sample, token),
        tag=tag,
    )
