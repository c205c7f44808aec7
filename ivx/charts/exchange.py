"""The matrix of an exchange: whose vector downward, in which checkpoint across, in each cell its effect."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.figure import printed
from ivx.charts.frame import framed, listed, on_its_data, spec_of
from ivx.charts.heatmap import HATCH
from ivx.charts.numbers import signed
from ivx.charts.palette import Palette

ROW = 62
"""Height of a row in pixels."""
COLUMN = 120
"""Width of a printed column."""
LABELS = 92
"""Pixels of the names of rows."""
SQUARES = "exchanged"
"""Name of a matrix's data in its spec."""


class Square(NamedTuple):
    """What one cell shows: the effect of the vector of checkpoint `row` in checkpoint `column`, with its interval and
    its control's mean, and the share followed with both ends of its interval.

    `state` is ok, control or zero.
    """

    row: int
    column: int
    value: float
    low: float
    high: float
    state: str
    control: float | None
    followed: tuple[float, float, float]


def exchange_chart(
    squares: Sequence[Square],
    *,
    names: Sequence[str],
    scale: float,
    palette: Palette,
    row_labels: bool = True,
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec: the effect, beneath it its interval and the share followed; the colours run over ± scale."""
    frame = _frame(tuple(names), scale, palette, row_labels, alt_text)
    values = [_value(square, names, scale, palette) for square in squares]
    return {**frame, "data": {"name": SQUARES}, "datasets": {SQUARES: values}}


def printed_exchange(spec: dict[str, Any], *, title: str, unit: str, names: int) -> dict[str, Any]:
    """A matrix for print."""
    return printed(
        spec,
        title=title,
        unit=unit,
        width=COLUMN * names + LABELS,
        marks=["row: whose vector; column: in which checkpoint", "[95 % interval], share followed"],
    )


def _value(square: Square, names: Sequence[str], scale: float, p: Palette) -> dict[str, Any]:
    share = square.value / scale
    followed = "{:.0f}% [{:.0f}, {:.0f}]".format(*(100 * end for end in square.followed))
    ends = f"[{signed(square.low)}, {signed(square.high)}]"
    control = "" if square.control is None else f", another task’s {signed(square.control, 2)}"
    said = {"control": ", no better than its control", "zero": ", not different from 0"}.get(square.state, "")
    return {
        "row": square.row,
        "column": square.column,
        "value": round(square.value, 4),
        "state": square.state,
        "text": signed(square.value),
        "ends": ends,
        "below": f"{100 * square.followed[0]:.0f}% follow",
        "hatch": square.state == "control",
        "deep": square.state != "zero" and not p.flip[0] <= share <= p.flip[1],
        "told": f"{names[square.row]}’s vector in {names[square.column]}: {signed(square.value, 2)} "
        f"[{signed(square.low, 2)}, {signed(square.high, 2)}]{control}{said}; followed {followed}",
    }


@lru_cache(maxsize=64)
def _frame(names: tuple[str, ...], scale: float, p: Palette, row_labels: bool, alt_text: str) -> dict[str, Any]:
    """All of a matrix but its data."""
    every = list(range(len(names)))
    label = f"{listed(names)}[datum.value]"
    shared: dict[str, Any] = {"labelExpr": label, "labelFontSize": 12, "labelColor": p.ink, "titleColor": p.muted}
    shared |= {"titleFontSize": 11.5, "titleFontWeight": "normal"}
    across = alt.Axis(orient="top", labelAngle=0, title="in the model", labelLimit=110, **shared)
    down = alt.Axis(
        labels=row_labels, title="vector of" if row_labels else None, labelLimit=LABELS - 22, labelPadding=6, **shared
    )
    x = alt.X("column:O", scale=alt.Scale(domain=every), axis=across)
    y = alt.Y("row:O", scale=alt.Scale(domain=every), axis=down)
    base = alt.Chart().encode(x=x, y=y)
    stops = [-scale + 2 * scale * i / (len(p.diverging) - 1) for i in range(len(p.diverging))]
    ramp = alt.Scale(domain=stops, range=list(p.diverging), interpolate="lab", clamp=True)
    fill = (
        alt.when(alt.datum.state == "zero")
        .then(alt.value(p.nothing))
        .otherwise(alt.Color("value:Q", legend=None, scale=ramp))
    )
    cells = base.mark_rect(cornerRadius=2).encode(color=fill, tooltip=[alt.Tooltip("told:N", title=" ")])
    ink = (
        alt.when(alt.datum.deep)
        .then(alt.value(p.on_dark))
        .when(alt.datum.state == "zero")
        .then(alt.value(p.muted))
        .otherwise(alt.value(p.on_light))
    )
    hatch = (
        base.transform_filter("datum.hatch")
        .mark_point(shape=HATCH, size=160, filled=False, strokeWidth=1, opacity=0.6, yOffset=-20, xOffset=-34)
        .encode(stroke=ink)
    )
    texts = [
        base.encode(text=f"{name}:N", color=ink).mark_text(**style)
        for name, style in (
            ("text", {"fontSize": 14, "fontWeight": 700, "dy": -15}),
            ("ends", {"fontSize": 10.5, "dy": 2}),
            ("below", {"fontSize": 10.5, "dy": 17}),
        )
    ]
    height = ROW * len(names)
    spec = spec_of(framed(alt.layer(cells, hatch, *texts), p, height=height, right=2, alt_text=alt_text))
    return on_its_data(spec)
