"""The dumbbell: a probe's accuracy at each layer, and its accuracy on shuffled labels; rows line up with the maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.frame import CHOSEN, framed, is_chosen, layer_axis, spec_of
from ivx.charts.palette import LIGHT, Palette

BELLS, ROWS, BASELINES = "bells", "rows", "baselines"
"""Names of a dumbbell's data in its spec."""
REACH = 1.025
"""End of the axis: room for half a dot beyond 100 %."""
DASHES = ((5, 3), (1.5, 2.5))
"""Dashes of the baselines' lines, in their order."""


class Bell(NamedTuple):
    """One layer's accuracies: the probe's mean with its interval over folds, and its mean on shuffled labels."""

    layer: int
    value: float
    low: float
    high: float
    control: float


def tooltip(bell: Bell) -> str:
    """The tooltip of a layer."""
    return (
        f"L{bell.layer}: probe {bell.value:.1%} [{bell.low:.1%}, {bell.high:.1%}], shuffled {bell.control:.1%}, "
        f"selectivity {bell.value - bell.control:.1%}"
    )


def dumbbell(
    bells: Sequence[Bell],
    *,
    layers: int,
    palette: Palette,
    row: int = 42,
    selected: int | None = None,
    baselines: Mapping[str, float] = MappingProxyType({}),
    row_labels: bool = True,
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec: grey dots are shuffled labels, blue ones the probe, the bar between them its selectivity.

    Its plot is as high as that of a map of equal `layers` and `row`, and a click anywhere in a row selects its layer.

    Args:
        selected: the layer with a bold label and a band of ink behind it.
        baselines: up to two accuracies by name, drawn as lines through all layers.
    """
    frame = _frame(layers, palette, row, row_labels, alt_text)
    lines = [{"name": name, "value": value, "told": f"{name}: {value:.1%}"} for name, value in baselines.items()]
    return {
        **frame,
        "datasets": {
            BELLS: [{**bell._asdict(), "told": tooltip(bell)} for bell in bells],
            ROWS: [{"layer": layer} for layer in range(layers)],
            CHOSEN: [] if selected is None else [{"layer": selected}],
            BASELINES: [{**line, "kind": k} for k, line in enumerate(lines)],
        },
    }


@lru_cache(maxsize=64)
def _frame(layers: int, p: Palette, row: int, row_labels: bool, alt_text: str) -> dict[str, Any]:
    """All of a dumbbell but its data and what is marked."""
    strong = is_chosen("layer")
    axis = layer_axis(p, layers, strong=strong) if row_labels else alt.Axis(labels=False, minExtent=0, maxExtent=0)
    y = alt.Y("layer:O", scale=alt.Scale(domain=list(range(layers))[::-1]), title=None, axis=axis)
    scale = alt.Scale(domain=[0, REACH])
    ticks = alt.Axis(
        values=[0, 0.25, 0.5, 0.75, 1],
        format=".0%",
        labelFontSize=11.5,
        labelColor=p.muted,
        labelAlign={"condition": {"test": "datum.value == 0", "value": "left"}, "value": "center"},
        labelFlush=False,
        minExtent=22,
        maxExtent=22,
        labelPadding=7,
        grid=True,
        gridColor=p.line,
    )
    across = alt.X("value:Q", scale=scale, title=None, axis=ticks)
    pick = alt.selection_point(name="cell", fields=["layer"], on="click", empty=False, clear=False)
    rows = alt.Chart(alt.NamedData(name=ROWS)).encode(y=y)
    bells = alt.Chart(alt.NamedData(name=BELLS)).encode(y=y, tooltip=alt.Tooltip("told:N", title=" "))
    lines = alt.Chart(alt.NamedData(name=BASELINES)).encode(x=across, tooltip=alt.Tooltip("told:N", title=" "))
    small, large = (36, 66) if row >= 20 else (16, 28)
    chart = alt.layer(
        alt.Chart(alt.NamedData(name=CHOSEN)).mark_rect(color=p.ink, opacity=0.05).encode(y=y),
        # Every row can be clicked, and not its dots alone.
        rows.mark_rect(opacity=0, cursor="pointer").add_params(pick),
        *(
            lines.transform_filter(alt.datum.kind == k).mark_rule(color=p.muted, strokeWidth=1.2, strokeDash=list(dash))
            for k, dash in enumerate(DASHES)
        ),
        bells.mark_bar(size=min(8, row * 0.3), color=p.diverging[2], opacity=0.45).encode(
            x=alt.X("control:Q", scale=scale), x2="value:Q"
        ),
        bells.mark_rule(color=p.blue, strokeWidth=2).encode(x=alt.X("low:Q", scale=scale), x2="high:Q"),
        bells.mark_circle(size=small, color=p.faint, opacity=1).encode(x=alt.X("control:Q", scale=scale)),
        bells.mark_circle(size=large, color=p.blue, opacity=1).encode(x=across),
    )
    return spec_of(framed(chart, p, height=row * layers, right=2, alt_text=alt_text))


def dumbbell_figure(
    bells: Sequence[Bell],
    *,
    layers: int,
    title: str,
    subtitle: Sequence[str],
    baselines: Mapping[str, float],
    row: int = 32,
) -> dict[str, Any]:
    """The dumbbell for print: light, of fixed width, titled, nothing to click."""
    spec = dumbbell(bells, layers=layers, palette=LIGHT, row=row, baselines=baselines)
    shown = {"text": title, "subtitle": list(subtitle), "anchor": "start"}
    return {key: value for key, value in {**spec, "width": 380, "title": shown}.items() if key != "params"}
