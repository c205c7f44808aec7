"""The atlas: tasks downward, checkpoints across, in each cell the best place of that pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.figure import printed
from ivx.charts.frame import framed, listed, on_its_data, spec_of
from ivx.charts.heatmap import HATCH
from ivx.charts.numbers import signed
from ivx.charts.palette import Palette

ROW, COLUMN, LABELS = 46, 128, 150
"""Pixels: a row's height, a printed column's width, the names of rows."""
CELLS = "atlas"
"""Name of the chart's data in its spec."""


class Spot(NamedTuple):
    """What one pair shows: the effect of its best cell, where that is, and the share followed bare, patched and told;
    `state` is ok, control, zero, undefined, or missing."""

    row: int
    column: int
    value: float
    state: str
    place: str
    followed: tuple[float, float, float]
    told: str


def atlas_chart(
    spots: Sequence[Spot],
    *,
    tasks: Sequence[str],
    names: Sequence[str],
    scale: float,
    palette: Palette,
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec: the effect over its place and the share followed; the colours run over ± scale. Its selection
    `spot` has the fields `row` and `column`."""
    p = palette
    values = [_value(spot, scale, p) for spot in spots]
    shared: dict[str, Any] = {"labelFontSize": 12, "labelColor": p.ink, "title": None}
    across = alt.Axis(
        orient="top", labelAngle=0, labelLimit=COLUMN, labelExpr=f"{listed(names)}[datum.value]", **shared
    )
    down = alt.Axis(labelLimit=LABELS, labelPadding=6, labelExpr=f"{listed(tasks)}[datum.value]", **shared)
    x = alt.X("column:O", scale=alt.Scale(domain=list(range(len(names)))), axis=across)
    y = alt.Y("row:O", scale=alt.Scale(domain=list(range(len(tasks)))), axis=down)
    base = alt.Chart().encode(x=x, y=y)
    stops = [-scale + 2 * scale * i / (len(p.diverging) - 1) for i in range(len(p.diverging))]
    ramp = alt.Scale(domain=stops, range=list(p.diverging), interpolate="lab", clamp=True)
    fill = alt.when(alt.datum.plain).then(alt.value(p.nothing)).otherwise(alt.Color("value:Q", legend=None, scale=ramp))
    pick = alt.selection_point(name="spot", fields=["row", "column"], on="click", empty=False, clear=False)
    cells = (
        base.mark_rect(cornerRadius=2, cursor="pointer")
        .encode(
            color=fill,
            tooltip=[alt.Tooltip("told:N", title=" ")],
        )
        .add_params(pick)
    )
    ink = (
        alt.when(alt.datum.deep)
        .then(alt.value(p.on_dark))
        .when(alt.datum.plain)
        .then(alt.value(p.muted))
        .otherwise(alt.value(p.on_light))
    )
    hatch = (
        base.transform_filter("datum.hatch")
        .mark_point(shape=HATCH, size=130, filled=False, strokeWidth=1, opacity=0.6, yOffset=-9, xOffset=-42)
        .encode(stroke=ink)
    )
    texts = [
        base.encode(text=f"{name}:N", color=ink).mark_text(**style)
        for name, style in (
            ("text", {"fontSize": 13, "fontWeight": 700, "dy": -8}),
            ("below", {"fontSize": 10.5, "dy": 9}),
        )
    ]
    chart = alt.layer(cells, hatch, *texts)
    frame = spec_of(framed(chart, p, height=ROW * len(tasks), right=2, alt_text=alt_text))
    return {**on_its_data(frame), "data": {"name": CELLS}, "datasets": {CELLS: values}}


def printed_atlas(spec: dict[str, Any], *, title: str, unit: str, columns: int) -> dict[str, Any]:
    """The chart for print."""
    marks = ["row: task; column: checkpoint", "best cell: layer and token, share followed patched"]
    return printed(spec, title=title, unit=unit, width=COLUMN * columns + LABELS, marks=marks)


def _value(spot: Spot, scale: float, p: Palette) -> dict[str, Any]:
    missing = spot.state == "missing"
    plain = spot.state not in ("ok", "control")
    return {
        "row": spot.row,
        "column": spot.column,
        "value": None if plain else round(spot.value, 4),
        "text": "" if missing else "undefined" if spot.state == "undefined" else signed(spot.value),
        "below": "not measured" if missing else f"{spot.place}, {spot.followed[1]:.0%} follow",
        "hatch": spot.state == "control",
        "plain": plain,
        "deep": not plain and not p.flip[0] <= spot.value / scale <= p.flip[1],
        "told": spot.told,
    }
