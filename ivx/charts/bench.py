"""The bench's curve: share that followed the instruction by strength, with intervals, controls and the chosen one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.frame import CHOSEN, framed, spec_of
from ivx.charts.palette import Palette

DATA = "points"
"""Name of a curve's data in its spec."""
HOLLOW = "hollow"
VECTOR, CONTROL, RANDOM = "vector", "control", "random"
"""Curves: the vector, another task's vector, and a random one."""
SAID = {VECTOR: "the vector", CONTROL: "another task’s", RANDOM: "random, equal norm"}


class Dose(NamedTuple):
    """One strength of one curve: the share of n samples that followed the instruction, with its 95 % interval.

    `state` is that of the verdict on the change from no vector, against both controls; empty for the controls.
    """

    role: str
    strength: float
    share: float
    low: float
    high: float
    n: int
    state: str


def strength_curve(
    points: Sequence[Dose],
    *,
    strengths: Sequence[float],
    palette: Palette,
    chosen: float,
    height: int = 252,
    labels: bool = True,
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec of the curves; without points an empty frame with the same axes.

    Strengths are evenly spaced, since their steps grow. A point is filled where the change from no vector is a
    finding, hollow where it is not.
    """
    frame = _frame(tuple(strengths), palette, height, labels, alt_text)
    values = [
        {
            "role": point.role,
            "at": strengths.index(point.strength),
            "share": point.share,
            "low": point.low,
            "high": point.high,
            "fill": point.role if point.role != VECTOR or point.state == "ok" else HOLLOW,
            "told": f"{SAID[point.role]}, strength {point.strength:g}: {point.share:.0%} "
            f"[{point.low:.0%}, {point.high:.0%}], n = {point.n}",
        }
        for point in points
        if point.strength in strengths
    ]
    return {**frame, "datasets": {DATA: values, CHOSEN: [{"at": strengths.index(chosen)}]}}


@lru_cache(maxsize=32)
def _frame(strengths: tuple[float, ...], p: Palette, height: int, labels: bool, alt_text: str) -> dict[str, Any]:
    """All of a curve but its data."""
    names = "[" + ", ".join(f"'{strength:g}'" for strength in strengths) + "]"
    x = alt.X(
        "at:Q",
        title=None,
        scale=alt.Scale(domain=[-0.25, len(strengths) - 0.75], nice=False),
        axis=alt.Axis(
            values=list(range(len(strengths))),
            labelExpr=f"{names}[datum.value]",
            labelFontSize=11.5,
            labelColor=p.muted,
            grid=False,
            minExtent=22,
            maxExtent=22,
            labelPadding=7,
        ),
    )

    def y(field: str) -> alt.Y:
        return alt.Y(
            field,
            title=None,
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(
                values=[0, 0.25, 0.5, 0.75, 1],
                format="%",
                labels=labels,
                labelFontSize=11.5,
                labelColor=p.muted,
                grid=True,
                gridColor=p.line,
                minExtent=34,
                maxExtent=34,
                labelPadding=6,
            ),
        )

    scale = alt.Scale(domain=[VECTOR, CONTROL, RANDOM, HOLLOW], range=[p.orange, p.blue, p.faint, p.background])
    colour = alt.Color("role:N", legend=None, scale=scale)
    pick = alt.selection_point(name="cell", fields=["at"], on="click", empty=False, clear=False, nearest=True)
    rule = alt.Chart(alt.NamedData(name=CHOSEN)).mark_rule(color=p.ink, opacity=0.08, strokeWidth=22).encode(x=x)
    base = alt.Chart(alt.NamedData(name=DATA)).encode(x=x)
    band = base.mark_area(opacity=0.16, interpolate="monotone").encode(y=y("low:Q"), y2="high:Q", color=colour)
    line = base.mark_line(strokeWidth=2, interpolate="monotone").encode(y=y("share:Q"), color=colour)
    dots = (
        base.mark_point(size=52, filled=True, opacity=1, cursor="pointer")
        .encode(
            y=y("share:Q"),
            stroke=alt.Stroke("role:N", legend=None, scale=scale),
            fill=alt.Fill("fill:N", legend=None, scale=scale),
            size=alt.when(alt.datum.role == VECTOR).then(alt.value(60)).otherwise(alt.value(26)),
            tooltip=alt.Tooltip("told:N", title=" "),
        )
        .add_params(pick)
    )
    return spec_of(framed(alt.layer(rule, band, line, dots), p, height=height, right=6, alt_text=alt_text))
