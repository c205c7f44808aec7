"""The matrix of an exchange as what it makes a model do: in each cell the share that follows, small beneath its effect.

Logits of two checkpoints have no common scale; the share that follows has, so it is what the colour means here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import altair as alt

from ivx.charts.exchange import LABELS, SQUARES, Square
from ivx.charts.frame import framed, listed, on_its_data, spec_of
from ivx.charts.heatmap import HATCH
from ivx.charts.numbers import signed
from ivx.charts.palette import Palette


def shares_chart(
    squares: Sequence[Square],
    *,
    names: Sequence[str],
    unit: str,
    palette: Palette,
    height: int = 300,
    hidden: bool = False,
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec: rows are whose vector, columns who reads it; `hidden` leaves the cells empty."""
    values = [_value(square, names, unit, hidden=hidden) for square in squares]
    frame = _frame(tuple(names), palette, height, alt_text)
    return {**frame, "data": {"name": SQUARES}, "datasets": {SQUARES: values}}


def _value(square: Square, names: Sequence[str], unit: str, *, hidden: bool) -> dict[str, Any]:
    about = {"row": square.row, "column": square.column}
    if hidden:
        return {**about, "share": 0.0, "state": "zero", "text": "", "below": "", "ends": "", "told": "not revealed yet"}
    share, low, high = square.followed
    control = "" if square.control is None else f", another task’s {signed(square.control, 2)}"
    said = {"control": ", no better than its control", "zero": ", not different from 0"}.get(square.state, "")
    return {
        **about,
        "share": round(share, 4),
        "state": square.state,
        "text": f"{100 * share:.0f}% follow",
        "below": signed(square.value),
        "ends": f"[{signed(square.low)}, {signed(square.high)}]",
        "told": f"{names[square.row]}’s vector in {names[square.column]}: {100 * share:.0f}% follow [{100 * low:.0f}, "
        f"{100 * high:.0f}]; {signed(square.value, 2)} {unit} [{signed(square.low, 2)}, {signed(square.high, 2)}]"
        f"{control}{said}",
    }


@lru_cache(maxsize=32)
def _frame(names: tuple[str, ...], p: Palette, height: int, alt_text: str) -> dict[str, Any]:
    """All of a matrix but its data."""
    every = list(range(len(names)))
    shared: dict[str, Any] = {
        "labelExpr": f"{listed(names)}[datum.value]",
        "labelFontSize": 12,
        "labelFontWeight": 700,
        "labelColor": p.ink,
        "titleColor": p.muted,
        "titleFontSize": 11.5,
        "titleFontWeight": "normal",
    }
    x = alt.X(
        "column:O",
        scale=alt.Scale(domain=every),
        axis=alt.Axis(orient="top", labelAngle=0, title="… read by", labelLimit=110, **shared),
    )
    y = alt.Y(
        "row:O",
        scale=alt.Scale(domain=every),
        axis=alt.Axis(title="vector of …", labelLimit=LABELS - 22, labelPadding=6, **shared),
    )
    ramp = alt.Scale(domain=[0, 0.25, 0.5, 0.75, 1], range=[p.nothing, *p.diverging[5:]], interpolate="lab", clamp=True)
    base = alt.Chart().encode(x=x, y=y)
    fill = (
        alt.when(alt.datum.state == "zero")
        .then(alt.value(p.nothing))
        .otherwise(alt.Color("share:Q", legend=None, scale=ramp))
    )
    cells = base.mark_rect(cornerRadius=3).encode(color=fill, tooltip=[alt.Tooltip("told:N", title=" ")])
    ink = (
        alt.when((alt.datum.share > p.flip[1]) & (alt.datum.state != "zero"))
        .then(alt.value(p.on_dark))
        .otherwise(alt.value(p.on_light))
    )
    hatch = (
        base.transform_filter("datum.state == 'control'")
        .mark_point(shape=HATCH, size=150, filled=False, strokeWidth=1, opacity=0.6, yOffset=-26)
        .encode(stroke=ink)
    )
    texts = [
        base.mark_text(fontSize=14.5, fontWeight=700, dy=-15).encode(text="text:N", color=ink),
        base.mark_text(fontSize=11, dy=5).encode(text="below:N", color=ink),
        base.mark_text(fontSize=10, dy=20).encode(text="ends:N", color=ink),  # its own line: cells are narrow
    ]
    spec = spec_of(framed(alt.layer(cells, hatch, *texts), p, height=height, right=2, alt_text=alt_text))
    return on_its_data(spec)


def printed_shares(spec: dict[str, Any], *, title: str, subtitle: str, width: int) -> dict[str, Any]:
    """The matrix for print: titled, of fixed width."""
    lines = [subtitle, "hatched: no better than another task’s vector; grey: not different from 0"]
    return {**spec, "width": width, "title": {"text": title, "subtitle": lines, "anchor": "start", "fontSize": 13}}
