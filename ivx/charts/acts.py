"""Where a vector acts: one bar for each layer, with its interval, and the strongest control as a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.frame import framed, spec_of, with_axes
from ivx.charts.numbers import signed
from ivx.charts.palette import Palette

BARS, SAID, CHOSEN = "bars", "said", "chosen"
"""Names of the chart's data in its spec."""


class Acting(NamedTuple):
    """One layer: mean and interval, the strongest control's mean, and the verdict: ok, control or zero."""

    layer: int
    value: float
    low: float
    high: float
    control: float
    state: str


def acting_chart(
    bars: Sequence[Acting],
    *,
    unit: str,
    palette: Palette,
    said: str = "",
    best: int | None = None,
    chosen: int | None = None,
    height: int = 300,
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec; its selection `cell` has the field `layer`.

    Args:
        said: what stands over the bar of the layer `best`.
        chosen: the layer that is marked.
    """
    p, layers = palette, [bar.layer for bar in bars]
    last, top = max(layers, default=1), max((bar.high for bar in bars), default=1.0)
    pick = alt.selection_point(name="cell", fields=["layer"], on="click", empty=False, clear=False)
    x = alt.X(
        "layer:Q",
        scale=alt.Scale(domain=[-0.7, last + 0.7], nice=False, zero=False),
        title="layer that is patched",
        axis=alt.Axis(
            values=list(range(0, last + 1, max(1, -(-(last + 1) // 8)))), labelExpr="'L' + datum.value", grid=False
        ),
    )
    y = alt.Y("low:Q", title=f"effect on the answer, {unit}", axis=alt.Axis(tickCount=5))
    base = alt.Chart(alt.NamedData(name=BARS)).encode(x=x)
    ink = alt.when(alt.datum.state == "ok").then(alt.value(p.orange)).otherwise(alt.value(p.faint))
    told = alt.Tooltip("told:N", title=" ")
    marked = alt.Chart(alt.NamedData(name=CHOSEN)).mark_rect(color=p.ink, opacity=0.07)
    text = alt.Chart(alt.NamedData(name=SAID)).mark_text(
        fontSize=12.5, fontWeight=700, color=p.ink, baseline="bottom", dy=-4
    )
    chart = alt.layer(
        marked.encode(x=alt.X("left:Q"), x2="right:Q"),
        base.mark_rect(cursor="pointer")
        .encode(x=alt.X("left:Q"), x2="right:Q", y=alt.Y("zero:Q"), y2="value:Q", color=ink, tooltip=told)
        .add_params(pick),
        base.mark_rule(color=p.ink, strokeWidth=1.2, opacity=0.55).encode(y=y, y2="high:Q", tooltip=told),
        base.mark_line(color=p.muted, strokeWidth=1.6).encode(y="control:Q"),
        text.encode(x=alt.X("layer:Q"), y=alt.Y("value:Q"), text="text:N"),
    )
    spec = spec_of(with_axes(framed(chart, p, height=height, right=8, alt_text=alt_text), p))
    values = [
        {
            **bar._asdict(),
            "left": bar.layer - 0.36,
            "right": bar.layer + 0.36,
            "zero": 0.0,
            "told": _told(bar, unit),
        }
        for bar in bars
    ]
    over = [] if best is None or not said else [{"layer": max(best, 0.3 * last), "value": top, "text": said}]
    band = [] if chosen is None else [{"left": chosen - 0.5, "right": chosen + 0.5}]
    return {**spec, "datasets": {BARS: values, SAID: over, CHOSEN: band}}


def _told(bar: Acting, unit: str) -> str:
    said = {"control": ", no better than its controls", "zero": ", not different from 0"}.get(bar.state, "")
    return (
        f"L{bar.layer}: {signed(bar.value, 2)} {unit} [{signed(bar.low, 2)}, {signed(bar.high, 2)}], strongest control "
        f"{signed(bar.control, 2)}{said}"
    )
