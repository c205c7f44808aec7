"""The matrix of behaviour: tasks downward, ways of asking across, in each cell the share that follows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.frame import CHOSEN, fitting, framed, is_chosen, listed, on_its_data, printed_alone, spec_of
from ivx.charts.palette import Palette

ROW, PRESENTED_ROW = 34, 33
"""Height of a row in pixels."""
COLUMN = 118
"""Width of a printed column."""
LABELS = 150
"""Pixels of the tasks' names."""
LEAST = 460
"""Least width of a printed matrix, whose title needs it."""
SQUARES = "squares"
"""Name of a matrix's data in its spec."""
RECOMMENDED = "◆"

Interval = tuple[float, float, float]
"""A share with both ends of its interval."""


WHOLE, SHARE = 104, 34
"""Pixels that a share takes with its interval, and by itself."""


class Square(NamedTuple):
    """What one cell shows.

    Attributes:
        state: `follows`, `not`, `empty` (not asked yet) or `refused`.
        told, bare: share that follows when told, and when not.
        best: whether this is the recommended way of its task.
        says: why it was refused.
    """

    task: str
    way: str
    state: str = "empty"
    told: Interval | None = None
    bare: Interval | None = None
    n: int = 0
    best: bool = False
    says: str = ""


def ways_chart(
    squares: Sequence[Square],
    *,
    tasks: Sequence[str],
    ways: Sequence[str],
    palette: Palette,
    selected: tuple[str, str] | None = None,
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec: colour is the share told, where it follows; beneath it stands the share untold.

    Args:
        selected: (task, way) of the outlined cell; its task's label is bold.
    """
    frame = _frame(tuple(tasks), tuple(ways), palette, alt_text)
    values = [_value(square, tasks, ways, palette) for square in squares]
    chosen = [
        {"task": value["task"], "way": value["way"], "selected": True}
        for square, value in zip(squares, values, strict=True)
        if (square.task, square.way) == selected
    ]
    return {**frame, "data": {"name": SQUARES}, "datasets": {SQUARES: values, CHOSEN: chosen}}


def printed_ways(spec: dict[str, Any], *, title: str, ways: int) -> dict[str, Any]:
    """A matrix for print."""
    told = f"orange: follows; grey: does not; below: untold; {RECOMMENDED}: the recommended way"
    return printed_alone(spec, title, width=max(LEAST, LABELS + COLUMN * ways), subtitle=told)


def _value(square: Square, tasks: Sequence[str], ways: Sequence[str], p: Palette) -> dict[str, Any]:
    text = short = below = bare = ""
    says = square.says or "not asked yet"
    share = 0.0
    if square.told is not None and square.bare is not None:
        share = square.told[0]
        text = _percent(square.told) + f" {RECOMMENDED}" * square.best
        short, bare = f"{100 * share:.0f}%", f"{100 * square.bare[0]:.0f}"
        below = f"untold {bare}"
        verdict = "follows" if square.state == "follows" else "does not follow"
        says = f"{verdict}: told {_percent(square.told)}, untold {_percent(square.bare)}, n = {square.n}"
    elif square.state == "refused":
        text = short = "–"  # noqa: RUF001  (a dash, as elsewhere where there is no number)
    return {
        "task": tasks.index(square.task),
        "way": ways.index(square.way),
        "state": square.state,
        "share": round(share, 4),
        "text": text,
        "short": short,
        "below": below,
        "bare": bare,
        "deep": square.state == "follows" and share > p.flip[1],
        "best": square.best,
        "told": f"{square.task} by {square.way}: {says}",
    }


def _percent(share: Interval) -> str:
    return f"{100 * share[0]:.0f}% [{100 * share[1]:.0f}, {100 * share[2]:.0f}]"


@lru_cache(maxsize=64)
def _frame(tasks: tuple[str, ...], ways: tuple[str, ...], p: Palette, alt_text: str) -> dict[str, Any]:
    """All of a matrix but its data."""
    row = ROW if p.letters == 1 else PRESENTED_ROW
    pick = alt.selection_point(name="cell", fields=["task", "way"], on="click", empty=False, clear=False)
    test = is_chosen("task")
    across = alt.Axis(
        orient="top",
        labelAngle=0,
        labelExpr=f"{listed(ways)}[datum.value]",
        labelFontSize=12,
        labelColor=p.muted,
        labelLimit=alt.ExprRef("max(bandwidth('x'), 24)"),
        minExtent=22,
        maxExtent=22,
    )
    down = alt.Axis(
        labelExpr=f"{listed(tasks)}[datum.value]",
        labelFontSize=12,
        labelColor={"condition": {"test": test, "value": p.ink}, "value": p.muted},
        labelFontWeight={"condition": {"test": test, "value": 700}, "value": 400},
        labelLimit=LABELS - 6,
        minExtent=LABELS,
        maxExtent=LABELS,
        labelPadding=6,
    )
    x = alt.X("way:O", scale=alt.Scale(domain=list(range(len(ways)))), title=None, axis=across)
    y = alt.Y("task:O", scale=alt.Scale(domain=list(range(len(tasks)))), title=None, axis=down)
    base = alt.Chart().encode(x=x, y=y)
    middle = len(p.diverging) // 2
    stops = [k / (len(p.diverging) - 1 - middle) for k in range(len(p.diverging) - middle)]
    ramp = alt.Scale(domain=stops, range=list(p.diverging[middle:]), interpolate="lab", clamp=True)
    fill = (
        alt.when(alt.datum.state == "follows")
        .then(alt.Color("share:Q", legend=None, scale=ramp))
        .otherwise(alt.value(p.nothing))
    )
    opacity = alt.when(alt.FieldOneOfPredicate(field="state", oneOf=["empty", "refused"]))
    cells = (
        base.mark_rect(cornerRadius=2, cursor="pointer")
        .encode(
            color=fill,
            opacity=opacity.then(alt.value(0.55)).otherwise(alt.value(1)),
            tooltip=[alt.Tooltip("told:N", title=" ")],
        )
        .add_params(pick)
    )
    ink = (
        alt.when(alt.datum.deep)
        .then(alt.value(p.on_dark))
        .when(alt.datum.state == "follows")
        .then(alt.value(p.on_light))
        .otherwise(alt.value(p.muted))
    )
    room = "bandwidth('x')"
    text = fitting(room, ("text", WHOLE), ("short", SHARE), p=p)
    below = fitting(room, ("below", WHOLE / 2), ("bare", SHARE), p=p)
    texts = base.encode(color=ink)
    marks = [
        texts.transform_filter("!datum.best").mark_text(
            text=text, fontSize=11.5, dy=alt.ExprRef("datum.below == '' ? 0 : -6")
        ),
        texts.transform_filter("datum.best").mark_text(text=text, fontSize=11.5, dy=-6, fontWeight=700),
        texts.mark_text(text=below, fontSize=10, dy=8),
    ]
    chosen = alt.Chart(alt.NamedData(name=CHOSEN)).encode(x=x, y=y)
    outline = [
        chosen.mark_rect(cornerRadius=2, fillOpacity=0, stroke=p.background, strokeWidth=5),
        chosen.mark_rect(cornerRadius=2, fillOpacity=0, stroke=p.ink, strokeWidth=2.2),
    ]
    chart = framed(alt.layer(cells, *marks, *outline), p, height=row * len(tasks), right=2, alt_text=alt_text)
    spec = spec_of(chart)
    return on_its_data(spec)
