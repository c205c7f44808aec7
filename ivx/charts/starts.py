"""Starts: by token, the share of paths that begin there, a dot a checkpoint, beside that of all paths."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.frame import framed, listed, spec_of
from ivx.charts.palette import Palette

DATA = "starts"
"""Name of a chart's data in its spec."""
ROW = 26


class Began(NamedTuple):
    """One checkpoint at one slot, `row` counted from the top: value with its interval, and `reference`, a tick."""

    row: int
    name: str
    colour: str
    value: float
    low: float
    high: float
    reference: float


def starts_chart(
    found: Sequence[Began],
    labels: Sequence[str],
    *,
    palette: Palette,
    form: str = "percent",
    row_labels: bool = True,
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec: tokens in reading order downward, values across; the grey tick is what chance gives.

    Args:
        form: `percent`, or `times` for ratios.
    """
    names = list(dict.fromkeys(one.name for one in found))
    frame = _frame(tuple(labels), tuple(names), palette, form, row_labels, alt_text)
    rows = [
        {
            **one._asdict(),
            "told": f"{labels[one.row]}, {one.name}: {_shown(one.value, form)} "
            f"[{_shown(one.low, form)}, {_shown(one.high, form)}]; by chance {_shown(one.reference, form)}",
        }
        for one in found
    ]
    return {**frame, "datasets": {DATA: rows}}


def _shown(value: float, form: str) -> str:
    return f"{value:.1%}" if form == "percent" else f"{value:.3g} times"


@lru_cache(maxsize=64)
def _frame(
    labels: tuple[str, ...], names: tuple[str, ...], p: Palette, form: str, row_labels: bool, alt_text: str
) -> dict[str, Any]:
    axis = alt.Axis(
        labelExpr=f"{listed(labels)}[datum.value]",
        labels=row_labels,
        labelFontSize=11.5,
        labelColor=p.muted,
        labelPadding=6,
        minExtent=84 if row_labels else 0,
        maxExtent=84 if row_labels else 0,
        labelLimit=78,
    )
    y = alt.Y("row:O", scale=alt.Scale(domain=list(range(len(labels)))), title=None, axis=axis)
    told = "format(datum.value, '.0%')" if form == "percent" else "format(datum.value, '~g') + '×'"
    ticks = alt.Axis(
        tickCount=4,
        labelExpr=told,
        labelFontSize=11.5,
        labelColor=p.muted,
        grid=True,
        gridColor=p.line,
        labelFlush=True,
    )
    scale = alt.Scale(zero=True)
    if form == "times":  # ratios of many sizes, 0 among them
        scale = alt.Scale(type="symlog", constant=0.1)
        ticks = alt.Axis(**{**ticks.to_dict(), "values": [0, 1, 10, 100, 1_000, 10_000, 100_000]})
    x = alt.X("value:Q", title=None, axis=ticks, scale=scale)
    side = alt.YOffset("name:N", scale=alt.Scale(domain=list(names)))
    colour = alt.Color("colour:N", scale=None, legend=None)
    base = alt.Chart(alt.NamedData(name=DATA)).encode(y=y, yOffset=side, tooltip=alt.Tooltip("told:N", title=" "))
    chart = alt.layer(
        base.mark_rule(strokeWidth=2.5, opacity=0.35).encode(x=alt.X("low:Q", title=None), x2="high:Q", color=colour),
        base.mark_tick(thickness=2, size=9, color=p.faint).encode(x="reference:Q"),
        base.mark_circle(size=42, opacity=1).encode(x=x, color=colour),
    )
    return spec_of(framed(chart, p, height=ROW * len(labels), right=8, alt_text=alt_text))
