"""Bars by layer of one pair of tokens, with their intervals, and the strongest control as a line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.frame import CHOSEN, framed, spec_of, with_axes
from ivx.charts.numbers import signed
from ivx.charts.palette import Palette

BARS, SAID, BAND = "bars", "said", "band"
"""Names of the chart's data in its spec."""
HALF = 0.36
"""Half of a bar's width, in layers."""
LABELLED = 8
"""Most layers that have a label."""


class Layer(NamedTuple):
    """One layer: its mean effect with a 95 % interval (NaN where none is told), the strongest control's mean, whether
    it is a finding, and what else is `said` of it."""

    layer: int
    value: float
    low: float
    high: float
    control: float
    found: bool
    said: str = ""


def layer_bars(
    found: Sequence[Layer],
    *,
    layers: int,
    unit: str,
    palette: Palette,
    said: str = "",
    best: int | None = None,
    selected: int | None = None,
    band: tuple[int, int] | None = None,
    height: int = 260,
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec; its selection `cell` has the field `layer`.

    Args:
        said: what stands over the bar of the layer `best`.
        selected: the layer that is outlined.
        band: the first and last layer of a place.
    """
    p, last, step = palette, max(1, layers - 1), max(1, -(-layers // LABELLED))
    values = [_value(one, unit) for one in found if math.isfinite(one.value)]
    top = max((value["high"] or value["value"] for value in values), default=1.0)
    pick = alt.selection_point(name="cell", fields=["layer"], on="click", empty=False, clear=False)
    x = alt.X(
        "layer:Q",
        scale=alt.Scale(domain=[-0.7, last + 0.7], nice=False, zero=False),
        title="layer that is patched",
        axis=alt.Axis(values=list(range(0, layers, step)), labelExpr="'L' + datum.value", grid=False),
    )
    told = alt.Axis(tickCount=5, labels=bool(values))
    scale = alt.Undefined if values else alt.Scale(domain=[0, 1])
    y = alt.Y("zero:Q", title=f"effect on the answer, {unit}" if unit else None, axis=told, scale=scale)

    def wide(name: str) -> alt.Chart:
        return alt.Chart(alt.NamedData(name=name)).encode(x=alt.X("left:Q"), x2="right:Q")

    base = alt.Chart(alt.NamedData(name=BARS)).encode(x=x)
    tip = alt.Tooltip("told:N", title=" ")
    away = alt.datum.found & (alt.datum.value < 0)
    ink = alt.when(away).then(alt.value(p.blue)).when(alt.datum.found).then(alt.value(p.orange))
    over = alt.Chart(alt.NamedData(name=SAID)).encode(x=alt.X("layer:Q"), y=alt.Y("value:Q"), text="text:N")
    chart = alt.layer(
        base.mark_point(opacity=0).encode(y=y),  # the axes, which what is drawn first decides
        wide(BAND).mark_rect(color=p.ink, opacity=0.05),
        wide(BARS)
        .mark_rect(cursor="pointer")
        .encode(y=y, y2="value:Q", color=ink.otherwise(alt.value(p.faint)), tooltip=tip)
        .add_params(pick),
        wide(CHOSEN).mark_rect(fillOpacity=0, stroke=p.ink, strokeWidth=2.2).encode(y=alt.Y("zero:Q"), y2="value:Q"),
        base.transform_filter("isValid(datum.low)")
        .mark_rule(color=p.ink, strokeWidth=1.2, opacity=0.55)
        .encode(y="low:Q", y2="high:Q", tooltip=tip),
        base.transform_filter("isValid(datum.control)").mark_line(color=p.muted, strokeWidth=1.6).encode(y="control:Q"),
        over.mark_text(fontSize=12.5, fontWeight=700, color=p.ink, baseline="bottom", dy=-4),
    )
    spec = spec_of(with_axes(framed(chart, p, height=height, right=8, alt_text=alt_text), p))
    named = [] if best is None or not said else [{"layer": max(best, 0.3 * last), "value": top, "text": said}]
    inside = [] if band is None else [{"left": band[0] - 0.5, "right": band[1] + 0.5}]
    here = [value for value in values if value["layer"] == selected]
    return {**spec, "datasets": {BARS: values, SAID: named, BAND: inside, CHOSEN: here}}


def _value(one: Layer, unit: str) -> dict[str, Any]:
    ends = f" [{signed(one.low, 2)}, {signed(one.high, 2)}]" if math.isfinite(one.low) else ""
    control = f", strongest control {signed(one.control, 2)}" if math.isfinite(one.control) else ""
    return {
        "layer": one.layer,
        "left": one.layer - HALF,
        "right": one.layer + HALF,
        "zero": 0.0,
        "value": one.value,
        "low": one.low if math.isfinite(one.low) else None,
        "high": one.high if math.isfinite(one.high) else None,
        "control": one.control if math.isfinite(one.control) else None,
        "found": one.found,
        "told": f"L{one.layer}: {signed(one.value, 2)} {unit}{ends}{control}{one.said}",
    }
