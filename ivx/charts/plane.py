"""The plane: the wordings of a projection as points; two tasks in colour, all of them named where their points lie."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.frame import framed
from ivx.charts.palette import Palette

POINTS, NAMES = "points", "names"
"""Names of a plane's data in its spec."""
LASSO = "lasso"
"""The selection: an interval of `x` and of `y`."""
MARGIN = 1.06


class Dot(NamedTuple):
    """One wording: where it lies, its task, its text, and its number in the result."""

    x: float
    y: float
    task: str
    text: str
    number: int


def reach_of(planes: Sequence[Sequence[Dot]]) -> float:
    """Half the width of the square that holds the points of all layers, so that all are drawn on the same axes."""
    return MARGIN * max((abs(end) for dots in planes for dot in dots for end in (dot.x, dot.y)), default=1.0)


def plane(
    dots: Sequence[Dot],
    *,
    reach: float,
    palette: Palette,
    pair: tuple[str, str] | None = None,
    chosen: Sequence[int] = (),
    height: int = 300,
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec; a drag selects the points within a rectangle.

    Args:
        reach: both axes run over [−reach, reach]; equal for all layers.
        pair: a task in orange and its contrast in blue; the others are grey.
        chosen: numbers of the wordings that are ringed.
    """
    kind = {} if pair is None else {pair[0]: "task", pair[1]: "contrast"}
    ringed = set(chosen)
    points = [
        {
            "x": round(dot.x, 4),
            "y": round(dot.y, 4),
            "number": dot.number,
            "told": f"{dot.text}  ({dot.task})",
            "kind": kind.get(dot.task, "other"),
            "chosen": dot.number in ringed,
        }
        for dot in dots
    ]
    own = defaultdict(list)
    for dot in dots:
        own[dot.task].append(dot)
    names = [
        {
            "x": sum(d.x for d in group) / len(group),
            "y": sum(d.y for d in group) / len(group),
            "name": task.partition("/")[2].replace("-", " ") or task,
            "kind": kind.get(task, "other"),
        }
        for task, group in own.items()
    ]
    return {**_frame(reach, palette, height, alt_text), "datasets": {POINTS: points, NAMES: names}}


@lru_cache(maxsize=64)
def _frame(reach: float, p: Palette, height: int, alt_text: str) -> dict[str, Any]:
    """All of a plane but its data."""
    scale = alt.Scale(domain=[-reach, reach], nice=False)
    axis = alt.Axis(labels=False, values=[0], grid=True, gridColor=p.line, title=None)
    x, y = alt.X("x:Q", scale=scale, axis=axis), alt.Y("y:Q", scale=scale, axis=axis)
    colour = alt.Color(
        "kind:N",
        legend=None,
        scale=alt.Scale(domain=["task", "contrast", "other"], range=[p.orange, p.blue, p.faint]),
    )
    base = alt.Chart(alt.NamedData(name=POINTS)).encode(x=x, y=y)
    brush = alt.selection_interval(
        name=LASSO, encodings=["x", "y"], mark=alt.BrushConfig(fill=p.ink, fillOpacity=0.06, stroke=p.ink)
    )
    dots = (
        base.mark_circle(size=26)
        .encode(
            color=colour,
            opacity=alt.when(alt.datum.kind == "other").then(alt.value(0.55)).otherwise(alt.value(0.85)),
            tooltip=alt.Tooltip("told:N", title=" "),
            order=alt.Order("kind:N", sort="ascending"),
        )
        .add_params(brush)
    )
    rings = base.transform_filter("datum.chosen").mark_point(
        size=70, filled=False, stroke=p.ink, strokeWidth=1.6, opacity=1
    )
    named = alt.Chart(alt.NamedData(name=NAMES)).encode(x=x, y=y, text="name:N")
    halo = named.mark_text(fontSize=11.5, fontWeight=600, stroke=p.background, strokeWidth=3, strokeOpacity=0.85)
    text = named.mark_text(fontSize=11.5, fontWeight=600).encode(
        color=alt.Color(
            "kind:N",
            legend=None,
            scale=alt.Scale(domain=["task", "contrast", "other"], range=[p.orange, p.blue, p.muted]),
        )
    )
    chart = alt.layer(dots, rings, halo, text).resolve_scale(color="independent")
    return framed(chart, p, height=height, right=2, alt_text=alt_text).to_dict()
