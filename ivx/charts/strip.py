"""The strip: one horizontal bar with its interval per layer, beside a map whose rows it shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.frame import CHOSEN, framed, is_chosen, layer_axis, spec_of
from ivx.charts.numbers import scale_of, signed
from ivx.charts.palette import Palette

BARS = "bars"
"""Name of a strip's data in its spec."""


class Bar(NamedTuple):
    """One layer: mean and interval; `found` where it differs from 0."""

    layer: int
    value: float
    low: float
    high: float
    found: bool


def strip(
    bars: Sequence[Bar],
    *,
    layers: int,
    palette: Palette,
    row: int = 42,
    names: Sequence[str] = (),
    marked: Sequence[int] = (),
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec of a strip; `marked` layers have bold labels and a band of ink behind them.

    `names` are what its rows are called where they are not layers.
    """
    called = names or [f"L{layer}" for layer in range(layers)]
    values = [
        {"layer": bar.layer, "value": bar.value, "low": bar.low, "high": bar.high,
         "told": f"{called[bar.layer]} alone: {signed(bar.value, 2)} [{signed(bar.low, 2)}, {signed(bar.high, 2)}]",
         "kind": "none" if not bar.found else "toward" if bar.value > 0 else "away"}
        for bar in bars if math.isfinite(bar.value)
    ]  # fmt: skip
    reach = scale_of([end for bar in bars for end in (bar.low, bar.high)])
    frame = _frame(layers, reach, palette, row, tuple(names), alt_text)
    return {**frame, "datasets": {BARS: values, CHOSEN: [{"layer": layer} for layer in marked]}}


@lru_cache(maxsize=64)
def _frame(layers: int, reach: float, p: Palette, row: int, names: tuple[str, ...], alt_text: str) -> dict[str, Any]:
    """All of a strip but its data and what is marked."""
    y = alt.Y(
        "layer:O",
        scale=alt.Scale(domain=list(range(layers))[::-1]),
        title=None,
        axis=layer_axis(p, layers, strong=is_chosen("layer"), names=names),
    )
    x = alt.X(
        "value:Q",
        scale=alt.Scale(domain=[-reach, reach]),
        title=None,
        axis=alt.Axis(
            values=[-reach, 0, reach],
            labelExpr="datum.value == 0 ? '0' : (datum.value > 0 ? '+' : '−') + abs(datum.value)",
            labelFontSize=11.5,
            labelColor=p.muted,
            labelAlign={"condition": {"test": "datum.value < 0", "value": "left"}, "value": "center"},
            minExtent=22,
            maxExtent=22,
            labelPadding=7,
            grid=True,
            gridColor=p.line,
        ),
    )
    colour = alt.Color(
        "kind:N",
        legend=None,
        scale=alt.Scale(domain=["none", "toward", "away"], range=[p.faint, p.diverging[6], p.diverging[2]]),
    )
    base = alt.Chart(alt.NamedData(name=BARS)).encode(y=y)
    band = alt.Chart(alt.NamedData(name=CHOSEN)).mark_rect(color=p.ink, opacity=0.05)
    chart = alt.layer(
        band.encode(y=y),
        base.mark_bar(size=row * 0.4, cornerRadius=1).encode(
            x=x, color=colour, tooltip=alt.Tooltip("told:N", title=" ")
        ),
        base.mark_rule(color=p.ink, strokeWidth=1.4).encode(
            x=alt.X("low:Q", scale=alt.Scale(domain=[-reach, reach])), x2="high:Q"
        ),
    )
    return spec_of(framed(chart, p, height=row * layers, right=6, alt_text=alt_text))
