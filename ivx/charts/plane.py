"""The plane: the wordings of a projection as points; two tasks in colour, all of them named where their points lie."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.frame import framed, spec_of
from ivx.charts.palette import Palette

POINTS, NAMES = "points", "names"
"""Names of a plane's data in its spec."""
LASSO = "lasso"
"""The selection: an interval of `x` and of `y`."""
MARGIN = 0.06
ROOM = (0.2, 0.06)
"""What a name takes of an axis, across and up."""


class Dot(NamedTuple):
    """One wording: where it lies, its task, its text, and its number in the result."""

    x: float
    y: float
    task: str
    text: str
    number: int


Box = tuple[float, float, float, float]
"""What a plane's axes span: left, right, bottom, top."""


def box_of(planes: Sequence[Sequence[Dot]]) -> Box:
    """What holds the points of all layers and a margin, so that all are drawn on the same axes."""
    ends: list[float] = []
    for axis in ("x", "y"):
        values = [getattr(dot, axis) for dots in planes for dot in dots] or [-1.0, 1.0]
        margin = MARGIN * (max(values) - min(values) or 1.0)
        ends += [round(min(values) - margin, 3), round(max(values) + margin, 3)]
    return (ends[0], ends[1], ends[2], ends[3])


def plane(
    dots: Sequence[Dot],
    *,
    box: Box,
    palette: Palette,
    pair: tuple[str, str] | None = None,
    chosen: Sequence[int] = (),
    height: int = 300,
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec; a drag selects the points within a rectangle.

    Args:
        box: what the axes span; equal for all layers.
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
    names = _names(dots, first=pair or (), box=box)
    named = [{"x": x, "y": y, "name": short(task), "kind": kind.get(task, "other")} for task, (x, y) in names.items()]
    return {**_frame(box, palette, height, alt_text), "datasets": {POINTS: points, NAMES: named}}


def short(task: str) -> str:
    """A task's name without its domain, as charts write it."""
    return task.partition("/")[2].replace("-", " ") or task


def _names(dots: Sequence[Dot], *, first: Sequence[str], box: Box) -> dict[str, tuple[float, float]]:
    """Where tasks are named: over their points, those of `first` always, others where there is room."""
    own = defaultdict(list)
    for dot in dots:
        own[dot.task].append(dot)
    wide, high = ROOM[0] * (box[1] - box[0]), ROOM[1] * (box[3] - box[2])
    found: dict[str, tuple[float, float]] = {}
    for task in sorted(own, key=lambda task: task not in first):
        group = own[task]
        x, y = sum(dot.x for dot in group) / len(group), max(dot.y for dot in group)
        near = [b for a, b in found.values() if abs(x - a) < wide and abs(y - b) < high]
        if task in first or not near:
            found[task] = (x, max([y, *(b + high for b in near)]))
    return found


@lru_cache(maxsize=64)
def _frame(box: Box, p: Palette, height: int, alt_text: str) -> dict[str, Any]:
    """All of a plane but its data."""
    across, up = (alt.Scale(domain=list(ends), nice=False) for ends in (box[:2], box[2:]))
    axis = alt.Axis(labels=False, values=[0], grid=True, gridColor=p.line, title=None)
    x, y = alt.X("x:Q", scale=across, axis=axis), alt.Y("y:Q", scale=up, axis=axis)
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
    halo = named.mark_text(dy=-9, fontSize=11.5, fontWeight=600, stroke=p.background, strokeWidth=3, strokeOpacity=0.85)
    text = named.mark_text(dy=-9, fontSize=11.5, fontWeight=600).encode(
        color=alt.Color(
            "kind:N",
            legend=None,
            scale=alt.Scale(domain=["task", "contrast", "other"], range=[p.orange, p.blue, p.muted]),
        )
    )
    chart = alt.layer(dots, rings, halo, text).resolve_scale(color="independent")
    return spec_of(framed(chart, p, height=height, right=2, alt_text=alt_text))
