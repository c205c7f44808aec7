"""The losses: a vector's effect at each layer, whole, without its readable part, and without as much at random."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.frame import CHOSEN, framed, is_chosen, layer_axis, spec_of
from ivx.charts.numbers import signed
from ivx.charts.palette import LIGHT, Palette

LOSSES, ROWS = "losses", "rows"
"""Names of the chart's data in its spec."""
LEAST = 0.5
"""The axis reaches so far at least, so that tiny effects are not drawn large."""
KINDS = ("whole", "random", "erased")


class Loss(NamedTuple):
    """One layer's effects in the metric's unit: whole, without its readable part, and without as much at random."""

    layer: int
    whole: float
    erased: float
    random: float


def losses(
    found: Sequence[Loss],
    *,
    layers: int,
    palette: Palette,
    row: int = 42,
    selected: int | None = None,
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec: orange is the whole vector, blue without its readable part, grey without as much at random.

    The bar from orange to blue is what is lost with the readable part; rows line up with those of a map.
    """
    ends = [0.0, LEAST, *(value for loss in found for value in loss[1:])]
    margin = 0.06 * (max(ends) - min(ends))
    low, high = round(min(ends) - margin, 2), round(max(ends) + margin, 2)
    values = [
        {
            **loss._asdict(),
            "told": f"L{loss.layer}: whole {signed(loss.whole, 2)}, without what is read {signed(loss.erased, 2)}, "
            f"without as much at random {signed(loss.random, 2)}",
        }
        for loss in found
    ]
    frame = _frame(layers, low, high, palette, row, alt_text)
    rows = [{"layer": layer} for layer in range(layers)]
    chosen = [] if selected is None else [{"layer": selected}]
    return {**frame, "datasets": {LOSSES: values, ROWS: rows, CHOSEN: chosen}}


@lru_cache(maxsize=64)
def _frame(layers: int, low: float, high: float, p: Palette, row: int, alt_text: str) -> dict[str, Any]:
    """All of the chart but its data and what is marked."""
    axis = layer_axis(p, layers, strong=is_chosen("layer"))
    y = alt.Y("layer:O", scale=alt.Scale(domain=list(range(layers))[::-1]), title=None, axis=axis)
    scale = alt.Scale(domain=[low, high])
    ticks = alt.Axis(
        tickCount=5,
        labelExpr="datum.value > 0 ? '+' + datum.label : datum.label",
        labelFontSize=11.5,
        labelColor=p.muted,
        minExtent=22,
        maxExtent=22,
        labelPadding=7,
        grid=True,
        gridColor=p.line,
    )
    pick = alt.selection_point(name="cell", fields=["layer"], on="click", empty=False, clear=False)
    rows = alt.Chart(alt.NamedData(name=ROWS)).encode(y=y)
    base = alt.Chart(alt.NamedData(name=LOSSES)).encode(y=y, tooltip=alt.Tooltip("told:N", title=" "))
    colours = {"whole": p.orange, "erased": p.blue, "random": p.faint}
    zero = alt.Chart(alt.Data(values=[{"x": 0}])).mark_rule(color=p.faint).encode(x=alt.X("x:Q", scale=scale))
    chart = alt.layer(
        alt.Chart(alt.NamedData(name=CHOSEN)).mark_rect(color=p.ink, opacity=0.05).encode(y=y),
        rows.mark_rect(opacity=0, cursor="pointer").add_params(pick),
        zero,
        base.mark_bar(size=min(8, row * 0.3), color=p.diverging[2], opacity=0.45).encode(
            x=alt.X("erased:Q", scale=scale), x2="whole:Q"
        ),
        *(
            base.mark_circle(size=60 if row >= 20 else 26, color=colours[kind], opacity=1).encode(
                x=alt.X(f"{kind}:Q", scale=scale, title=None, axis=ticks)
            )
            for kind in KINDS
        ),
    )
    return spec_of(framed(chart, p, height=row * layers, right=2, alt_text=alt_text))


def losses_figure(found: Sequence[Loss], *, layers: int, title: str, subtitle: str) -> dict[str, Any]:
    """The chart for print: light, of fixed width, titled, nothing to click."""
    spec = losses(found, layers=layers, palette=LIGHT, row=32)
    shown = {"text": title, "subtitle": subtitle, "anchor": "start"}
    return {key: value for key, value in {**spec, "width": 380, "title": shown}.items() if key != "params"}
