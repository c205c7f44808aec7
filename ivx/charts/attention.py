"""An attention map: what each token of a prompt takes from each one before it, tokens on both axes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import altair as alt

from ivx.charts.frame import framed, listed, spec_of
from ivx.charts.palette import Palette

SEEN, LAST = "seen", "last"
"""Names of the chart's data in its spec."""
CROWDED = 28
"""Tokens beyond which not every one is labelled."""
FAINT = 0.005
"""Weights below are not drawn."""


def attention_map(
    rows: Sequence[Sequence[float]],
    labels: Sequence[str],
    *,
    palette: Palette,
    colour: str,
    height: int = 300,
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec: tokens that look downward, tokens that are looked at across; the last row is outlined.

    Args:
        rows: each over the tokens up to its own; the last token's alone where there is one.
        colour: of a weight of 1.
    """
    first = len(labels) - len(rows)
    values = [
        {
            "to": first + i,
            "from": j,
            "weight": weight,
            "told": f"{labels[first + i]} looks at {labels[j]}: {weight:.0%}",
        }
        for i, row in enumerate(rows)
        for j, weight in enumerate(row)
        if weight >= FAINT
    ]
    frame = _frame(tuple(labels), first, palette, colour, height if len(rows) > 1 else 60, alt_text)
    return {**frame, "datasets": {SEEN: values, LAST: [{"to": len(labels) - 1}]}}


@lru_cache(maxsize=64)
def _frame(labels: tuple[str, ...], first: int, p: Palette, colour: str, height: int, alt_text: str) -> dict[str, Any]:
    names, count = f"{listed(labels)}[datum.value]", len(labels)
    told: dict[str, Any] = {
        "labelExpr": names,
        "labelFont": "Source Code Pro, monospace",
        "labelFontSize": 10.5,
        "labelOverlap": len(labels) > CROWDED,
        "labelLimit": 76,
        "labelPadding": 5,
    }
    strong = {"condition": {"test": f"datum.value == {count - 1}", "value": p.ink}, "value": p.muted}
    x = alt.X(
        "from:O",
        scale=alt.Scale(domain=list(range(count))),
        title=None,
        axis=alt.Axis(**told, labelColor=p.muted, labelAngle=-45, labelAlign="right", minExtent=62, maxExtent=62),
    )
    y = alt.Y(
        "to:O",
        scale=alt.Scale(domain=list(range(first, count))),
        title=None,
        axis=alt.Axis(**told, labelColor=strong, minExtent=76, maxExtent=76),
    )
    tiles = (
        alt.Chart(alt.NamedData(name=SEEN))
        .mark_rect(cornerRadius=1)
        .encode(
            x=x,
            y=y,
            color=alt.Color("weight:Q", legend=None, scale=alt.Scale(domain=[0, 1], range=[p.nothing, colour])),
            tooltip=alt.Tooltip("told:N", title=" "),
        )
    )
    last = (
        alt.Chart(alt.NamedData(name=LAST))
        .mark_rect(fillOpacity=0, stroke=p.ink, strokeWidth=1.4, cornerRadius=2)
        .encode(y=y)
    )
    return spec_of(framed(alt.layer(tiles, last), p, height=height, right=2, alt_text=alt_text))
