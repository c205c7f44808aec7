"""Curves of several rankings of heads: how much of the answer the n strongest keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.frame import framed, spec_of, with_axes
from ivx.charts.palette import Palette

POINTS = "ranked"
NAMES = {"pathways": "pathways", "eap": "EAP", "eap-ig": "EAP-IG", "random": "random"}


class Ranked(NamedTuple):
    """One ranking: its name, the sizes, and the share of the answer that each keeps."""

    name: str
    sizes: tuple[int, ...]
    kept: tuple[float, ...]


def areas_chart(
    rankings: Sequence[Ranked], *, palette: Palette, height: int = 190, alt_text: str = ""
) -> dict[str, Any]:
    """The Vega-Lite spec: sizes across (log), share of the model's answer up, one line for each ranking."""
    p = palette
    values = [
        {"name": NAMES[one.name], "n": n, "kept": kept, "told": f"{NAMES[one.name]}, {n} heads: {kept:.2f}"}
        for one in rankings
        for n, kept in zip(one.sizes, one.kept, strict=True)
    ]
    ends = [kept for one in rankings for kept in one.kept]
    ticks = list(rankings[0].sizes)
    x = alt.X(
        "n:Q",
        scale=alt.Scale(type="log", domain=[ticks[0], ticks[-1]], nice=False),
        title="heads kept",
        axis=alt.Axis(values=ticks[:: max(1, -(-len(ticks) // 7))], format=",d", grid=False, labelOverlap=True),
    )
    y = alt.Y(
        "kept:Q",
        scale=alt.Scale(domain=[round(min(0.0, *ends), 2), round(max(1.0, *ends), 2)], nice=False),
        title=None,
        axis=alt.Axis(values=[0, 0.5, 1], format="%", grid=True, gridColor=p.line, minExtent=40, maxExtent=40),
    )
    names = [NAMES[one.name] for one in rankings]
    colours = {"pathways": p.blue, "EAP": p.orange, "EAP-IG": p.ink, "random": p.faint}
    dashes = {"random": [3, 3], "EAP-IG": [6, 2]}
    colour = alt.Color(
        "name:N",
        scale=alt.Scale(domain=names, range=[colours[name] for name in names]),
        legend=alt.Legend(title=None, orient="top", labelColor=p.ink),
    )
    dash = alt.StrokeDash(
        "name:N", scale=alt.Scale(domain=names, range=[dashes.get(name, [1, 0]) for name in names]), legend=None
    )
    base = alt.Chart(alt.NamedData(name=POINTS)).encode(x=x, y=y, color=colour)
    chart = alt.layer(
        base.mark_line(strokeWidth=1.8).encode(strokeDash=dash),
        base.mark_point(filled=True, size=34, opacity=1).encode(tooltip=alt.Tooltip("told:N", title=" ")),
    )
    spec = spec_of(with_axes(framed(chart, p, height=height, right=12, alt_text=alt_text), p))
    return {**spec, "datasets": {POINTS: values}}
