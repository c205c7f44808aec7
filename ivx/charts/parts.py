"""A head's parts: of each head a row of dots with intervals: all of it, where it looks, what it reads, and the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.frame import CHOSEN, framed, is_chosen, listed, spec_of, with_axes
from ivx.charts.numbers import signed
from ivx.charts.palette import LIGHT, Palette

DOTS, ROWS = "dots", "rows"
"""Names of the chart's data in its spec."""
KINDS = 4
SHAPES = ("diamond", "circle", "square", "triangle-up")


class Part(NamedTuple):
    """One part of one head: its row and kind, the kind's name, mean and interval, and the verdict."""

    row: int
    kind: int
    name: str
    value: float
    low: float
    high: float
    state: str


def colours(p: Palette) -> tuple[str, ...]:
    """The colour of each kind: the whole, where it looks, what it reads, and the rest."""
    return p.ink, p.blue, p.orange, p.faint


def parts_chart(
    parts: Sequence[Part],
    *,
    names: Sequence[str],
    unit: str,
    palette: Palette,
    selected: int | None = None,
    row: int = 62,
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec: a row for each of `names`, downward; its selection `cell` has the field `row`."""
    p, count = palette, len(names)
    pick = alt.selection_point(name="cell", fields=["row"], on="click", empty=False, clear=False)
    y = alt.Y(
        "row:O",
        scale=alt.Scale(domain=list(range(count)), paddingInner=0, paddingOuter=0),
        title=None,
        axis=alt.Axis(
            labelExpr=f"{listed(names)}[datum.value]",
            labelFontSize=12,
            labelColor={"condition": {"test": is_chosen("row"), "value": p.ink}, "value": p.muted},
            labelFontWeight={"condition": {"test": is_chosen("row"), "value": 700}, "value": 400},
            labelPadding=8,
            grid=False,
        ),
    )
    low = min([0.0, *(part.low for part in parts)])
    high = max([0.0, *(part.high for part in parts)])
    room = 0.04 * ((high - low) or 1.0)
    scale = alt.Scale(domain=[low - room, high + room], nice=False, zero=False)
    x = alt.X("value:Q", scale=scale, title=f"effect on the answer, {unit}", axis=alt.Axis(tickCount=6))
    offset = alt.YOffset("kind:O", scale=alt.Scale(domain=list(range(KINDS)), paddingOuter=0.6))
    ink = alt.Color("kind:O", scale=alt.Scale(domain=list(range(KINDS)), range=list(colours(p))), legend=None)
    dots = alt.Chart(alt.NamedData(name=DOTS)).encode(y=y, yOffset=offset, color=ink)
    rows = alt.Chart(alt.NamedData(name=ROWS)).encode(y=y)
    shape = alt.Shape("kind:O", scale=alt.Scale(domain=list(range(KINDS)), range=list(SHAPES)), legend=None)
    told = alt.Tooltip("told:N", title=" ")
    chart = alt.layer(
        alt.Chart(alt.NamedData(name=CHOSEN)).mark_rect(color=p.ink, opacity=0.06).encode(y=y),
        rows.mark_rect(opacity=0, cursor="pointer").add_params(pick),
        rows.mark_rule(color=p.line).encode(y=alt.Y("row:O", bandPosition=1)),
        alt.Chart(alt.NamedData(name=ROWS)).mark_rule(color=p.muted, strokeWidth=1.2).encode(x=alt.datum(0)),
        dots.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", scale=scale), x2="high:Q", tooltip=told),
        dots.mark_point(size=70, filled=True, opacity=1, strokeWidth=1.8).encode(
            x=x,
            shape=shape,
            fill=alt.when(alt.datum.state == "ok").then(ink).otherwise(alt.value(p.background)),
            stroke=ink,
            tooltip=told,
        ),
    )
    spec = spec_of(with_axes(framed(chart, p, height=row * max(1, count), right=8, alt_text=alt_text), p))
    values = [{**part._asdict(), "told": _told(part, names, unit)} for part in parts]
    chosen = [] if selected is None else [{"row": selected}]
    return {**spec, "datasets": {DOTS: values, ROWS: [{"row": k} for k in range(count)], CHOSEN: chosen}}


def _told(part: Part, names: Sequence[str], unit: str) -> str:
    said = {"control": ", no better than a control", "zero": ", not different from 0"}.get(part.state, "")
    return (
        f"{names[part.row]}, {part.name}: {signed(part.value, 2)} {unit} [{signed(part.low, 2)}, "
        f"{signed(part.high, 2)}]{said}"
    )


def parts_figure(parts: Sequence[Part], *, names: Sequence[str], title: str, unit: str) -> dict[str, Any]:
    """The chart for print: light, of fixed width, titled, nothing to click."""
    spec = parts_chart(parts, names=names, unit=unit, palette=LIGHT)
    under = [
        "black diamond: all of the head; blue circle: where it looks; orange square: what it reads; grey: both beyond",
        "their sum; hollow: not different from 0, or no better than a control",
    ]
    shown = {"text": title, "subtitle": under, "anchor": "start"}
    return {key: value for key, value in {**spec, "width": 460, "title": shown}.items() if key != "params"}
