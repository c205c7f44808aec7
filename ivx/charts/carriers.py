"""The curve of sets of carriers: what passes through the strongest together, beside random sets of equal size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.frame import framed, spec_of, with_axes
from ivx.charts.numbers import signed
from ivx.charts.palette import Palette

POINTS, WHOLE = "points", "whole"
"""Names of the chart's data in its spec."""


class Together(NamedTuple):
    """So many carriers together: what passes through them with its 95 % interval, and through random sets as large."""

    size: int
    value: float
    low: float
    high: float
    random: float
    random_low: float
    random_high: float


def carried_curve(
    points: Sequence[Together],
    *,
    whole: float,
    unit: str,
    what: str,
    palette: Palette,
    height: int = 220,
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec: how many across (log), what passes up; the line is the whole effect."""
    values = [
        {
            **one._asdict(),
            "told": f"{one.size} {what}: {signed(one.value, 2)} [{signed(one.low, 2)}, {signed(one.high, 2)}], random "
            f"sets {signed(one.random, 2)} [{signed(one.random_low, 2)}, {signed(one.random_high, 2)}]",
        }
        for one in points
    ]
    ends = [0.0, whole, *(end for one in points for end in one[1:])]
    reach = (round(min(ends), 2), round(max(ends) * 1.04 or 1.0, 2))
    frame = _frame(tuple(one.size for one in points), reach, unit, what, palette, height, alt_text)
    line = [{"value": whole, "told": f"the whole effect: {signed(whole, 2)} {unit}"}]
    return {**frame, "datasets": {POINTS: values, WHOLE: line}}


@lru_cache(maxsize=64)
def _frame(
    sizes: tuple[int, ...],
    reach: tuple[float, float],
    unit: str,
    what: str,
    p: Palette,
    height: int,
    alt_text: str,
) -> dict[str, Any]:
    ends = [sizes[0] / 1.2, sizes[-1] * 1.2]
    x = alt.X(
        "size:Q",
        scale=alt.Scale(type="log", domain=ends, nice=False),
        title=f"{what} set back together",
        axis=alt.Axis(values=list(sizes), format=",d", grid=False, labelOverlap=True),
    )
    up, axis = alt.Scale(domain=list(reach), nice=False), alt.Axis(tickCount=4, grid=True, gridColor=p.line)
    base = alt.Chart(alt.NamedData(name=POINTS)).encode(x=x)

    def at(name: str) -> alt.Y:
        return alt.Y(f"{name}:Q", scale=up, title=unit, axis=axis)

    told = alt.Tooltip("told:N", title=" ")
    chart = alt.layer(
        base.mark_rule(color=p.faint, strokeWidth=5, opacity=0.4).encode(y=at("random_low"), y2="random_high:Q"),
        base.mark_line(color=p.faint, strokeDash=[3, 3], strokeWidth=1.4).encode(y=at("random")),
        base.mark_line(color=p.blue, strokeWidth=1.8).encode(y=at("value")),
        base.mark_rule(color=p.blue, strokeWidth=1.4).encode(y=at("low"), y2="high:Q"),
        base.mark_point(color=p.blue, filled=True, size=40, opacity=1).encode(y=at("value"), tooltip=told),
        alt.Chart(alt.NamedData(name=WHOLE))
        .mark_rule(color=p.ink, strokeWidth=1.2, strokeDash=[5, 3])
        .encode(y=at("value"), tooltip=told),
    )
    return spec_of(with_axes(framed(chart, p, height=height, right=12, alt_text=alt_text), p))
