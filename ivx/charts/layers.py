"""Bars by layer of one pair of tokens, with their intervals and the strongest control's line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.frame import CROWDED, framed, spec_of, with_axes
from ivx.charts.numbers import signed
from ivx.charts.palette import Palette

BARS, BAND = "bars", "band"
"""Names of the chart's data in its spec."""


class Layer(NamedTuple):
    """One layer: its mean effect with a 95 % interval (NaN where none is told), the strongest control's mean, and
    whether it is a finding."""

    layer: int
    value: float
    low: float
    high: float
    control: float
    found: bool


def layer_bars(
    found: Sequence[Layer],
    *,
    layers: int,
    unit: str,
    palette: Palette,
    selected: int | None = None,
    band: tuple[int, int] | None = None,
    height: int = 260,
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec; its selection `bar` has the field `layer`. `band` are the first and last layer of a place."""
    p = palette
    values = [
        {
            **one._asdict(),
            "low": one.low if math.isfinite(one.low) else None,
            "high": one.high if math.isfinite(one.high) else None,
            "selected": one.layer == selected,
            "told": f"L{one.layer}: {signed(one.value, 2)} {unit}"
            + (f" [{signed(one.low, 2)}, {signed(one.high, 2)}]" if math.isfinite(one.low) else "")
            + f", strongest control {signed(one.control, 2)}",
        }
        for one in found
        if math.isfinite(one.value)
    ]
    pick = alt.selection_point(name="bar", fields=["layer"], on="click", empty=False, clear=False)
    step = 4 if layers > CROWDED else 1
    x = alt.X(
        "layer:O",
        scale=alt.Scale(domain=list(range(layers))),
        title=None,
        axis=alt.Axis(values=list(range(0, layers, step)), labelExpr="'L' + datum.value", labelAngle=0, grid=False),
    )
    told = alt.Axis(tickCount=5, grid=True, labels=bool(values))
    y = alt.Y("value:Q", title=unit, axis=told, scale=alt.Undefined if values else alt.Scale(domain=[0, 1]))
    base = alt.Chart(alt.NamedData(name=BARS)).encode(x=x)
    ink = alt.when(alt.datum.found).then(alt.value(p.orange)).otherwise(alt.value(p.faint))
    inside = list(range(band[0], band[1] + 1)) if band is not None else []
    chart = alt.layer(
        alt.Chart(alt.NamedData(name=BAND)).mark_rect(color=p.ink, opacity=0.05).encode(x=x),
        base.mark_bar(cursor="pointer")
        .encode(
            y=y,
            color=ink,
            opacity=alt.when(alt.datum.found).then(alt.value(1)).otherwise(alt.value(0.55)),
            stroke=alt.when(alt.datum.selected).then(alt.value(p.ink)).otherwise(alt.value("transparent")),
            strokeWidth=alt.value(2.2),
            tooltip=alt.Tooltip("told:N", title=" "),
        )
        .add_params(pick),
        base.transform_filter("isValid(datum.low)")
        .mark_rule(color=p.ink, strokeWidth=1, opacity=0.6)
        .encode(y="low:Q", y2="high:Q"),
        base.mark_line(color=p.muted, strokeWidth=1.3).encode(y="control:Q"),
    )
    spec = spec_of(with_axes(framed(chart, p, height=height, right=6, alt_text=alt_text), p))
    return {**spec, "datasets": {BARS: values, BAND: [{"layer": layer} for layer in inside]}}
