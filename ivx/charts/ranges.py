"""Ranges: a row for each name, with a mean and its interval, all on one axis with 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.frame import framed, listed, printed_alone, spec_of, with_axes
from ivx.charts.numbers import signed
from ivx.charts.palette import LIGHT, Palette

RANGES = "ranges"
"""Name of the chart's data in its spec."""
ROW = 24
LABEL = 150


class Range(NamedTuple):
    """A row: its name, mean, ends of the interval, of how many; `strong` rows are in ink."""

    name: str
    mean: float
    low: float
    high: float
    of: str = ""
    strong: bool = False


def ranges_chart(
    found: Sequence[Range], *, unit: str, palette: Palette, row: int = ROW, alt_text: str = ""
) -> dict[str, Any]:
    """The Vega-Lite spec, rows downward."""
    p = palette
    axis = alt.Axis(labelExpr=f"{listed([one.name for one in found])}[datum.value]", labelLimit=LABEL, grid=False)
    y = alt.Y("row:O", scale=alt.Scale(domain=list(range(len(found)))), title=None, axis=axis)
    ends = [0.0, *(end for one in found for end in (one.low, one.high))]
    room = 0.04 * ((max(ends) - min(ends)) or 1.0)
    scale = alt.Scale(domain=[min(ends) - room, max(ends) + room], nice=False, zero=False)
    x = alt.X("mean:Q", scale=scale, title=f"effect on the answer, {unit}", axis=alt.Axis(tickCount=6))
    base = alt.Chart(alt.NamedData(name=RANGES)).encode(
        y=y,
        color=alt.when(alt.datum.strong).then(alt.value(p.ink)).otherwise(alt.value(p.blue)),
        tooltip=alt.Tooltip("told:N", title=" "),
    )
    chart = alt.layer(
        alt.Chart(alt.NamedData(name=RANGES)).mark_rule(color=p.muted, strokeWidth=1.2).encode(x=alt.datum(0)),
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", scale=scale), x2="high:Q"),
        base.mark_circle(size=60, opacity=1).encode(x=x),
    )
    spec = spec_of(with_axes(framed(chart, p, height=row * max(1, len(found)), right=8, alt_text=alt_text), p))
    return {
        **spec,
        "datasets": {RANGES: [{**one._asdict(), "row": k, "told": _told(one)} for k, one in enumerate(found)]},
    }


def _told(one: Range) -> str:
    of = f", {one.of}" if one.of else ""
    return f"{one.name}: {signed(one.mean, 2)} [{signed(one.low, 2)}, {signed(one.high, 2)}]{of}"


def ranges_figure(found: Sequence[Range], *, title: str, subtitle: str, unit: str) -> dict[str, Any]:
    """The chart for print: light, of fixed width, titled."""
    return printed_alone(ranges_chart(found, unit=unit, palette=LIGHT), title, width=420, subtitle=subtitle)
