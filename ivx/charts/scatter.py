"""The scatter of an estimate against what it estimates."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.frame import framed, spec_of, with_axes
from ivx.charts.numbers import signed
from ivx.charts.palette import Palette


class Dot(NamedTuple):
    """One cell: its estimate, its exact value, its name, and whether it is a finding."""

    estimate: float
    exact: float
    name: str
    found: bool


def scatter(points: Sequence[Dot], *, palette: Palette, unit: str, height: int = 150) -> dict[str, Any]:
    """The Vega-Lite spec: estimates across, exact values up, the line on which both agree, the largest named."""
    return _spec(tuple(points), palette, unit, height)


@lru_cache(maxsize=64)
def _spec(points: tuple[Dot, ...], p: Palette, unit: str, height: int) -> dict[str, Any]:
    every = [value for point in points for value in (point.estimate, point.exact)]
    low, high = min([*every, 0.0]), max([*every, 0.0])
    margin = 0.08 * ((high - low) or 1.0)
    low, high = low - margin, high + margin
    named = sorted(points, key=lambda point: -abs(point.exact))[:4]
    values = [
        {"estimate": point.estimate, "exact": point.exact, "name": point.name if point in named else "",
         "told": f"{point.name}: estimated {signed(point.estimate, 2)}, exact {signed(point.exact, 2)}",
         "found": point.found}
        for point in points
    ]  # fmt: skip
    ends = [min(v.estimate for v in points), max(v.estimate for v in points)]
    pad = 0.1 * ((ends[1] - ends[0]) or 1.0)
    across = alt.Scale(domain=[ends[0] - pad, ends[1] + 2.5 * pad], nice=True)
    up = alt.Scale(domain=[low, high], nice=True)
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("estimate:Q", scale=across, title=f"estimated, {unit}", axis=alt.Axis(tickCount=4)),
        y=alt.Y("exact:Q", scale=up, title=f"exact, {unit}", axis=alt.Axis(tickCount=4)),
    )
    line = (
        alt.Chart(alt.Data(values=[{"v": low}, {"v": high}]))
        .mark_line(strokeDash=[3, 3], strokeWidth=1, color=p.faint, clip=True)
        .encode(x=alt.X("v:Q", scale=across), y=alt.Y("v:Q", scale=up))
    )
    dots = base.mark_circle(size=46, opacity=1).encode(
        color=alt.when(alt.datum.found).then(alt.value(p.orange)).otherwise(alt.value(p.faint)),
        tooltip=alt.Tooltip("told:N", title=" "),
    )
    names = base.mark_text(align="left", dx=7, fontSize=11, color=p.muted).encode(text="name:N")
    chart = framed(alt.layer(line, dots, names), p, height=height, right=6, alt_text="Estimated against exact values")
    return spec_of(with_axes(chart, p))
