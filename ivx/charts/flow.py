"""The flow: tokens across, layers up from the embeddings, one ribbon per edge; behind them what stays on its token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import altair as alt

from ivx.charts.frame import CHOSEN, framed, labelled, layer_axis, listed, spec_of
from ivx.charts.palette import Palette

RIBBONS, STAYS, NAMES = "ribbons", "stays", "names"
"""Names of a flow's data in its spec."""
SHOWN = "shown"
"""The parameter that holds a flow's labelled columns."""
STEPS = 22
"""Points of a ribbon; they are made in the browser, so that a redraw sends one row per edge."""
WIDEST = 12.0
"""Pixels of the widest ribbon."""
DENSE = 30
"""Columns beyond which only those that a ribbon touches have a label and a line."""
TIGHT = 18
"""Columns beyond which labels stand upright: aslant they would lie over each other."""
TOP, BOTTOM = 0.75, 1.35
"""Room over the last layer for the name of T_inst, and under the first, in layers."""
KINDS = ("shared", "toward", "away")
LABELS = 54
"""Pixels under a flow for its tokens."""
LABELLED = 4
"""Ribbons of a flow that are named in it."""


@dataclass(frozen=True)
class Ribbon:
    """Edges of one layer between the same two columns; `name` is the strongest one's.

    `kind` is shared (the other instruction has it too), toward or away from the answer; `width` is relative to the
    widest drawn.
    """

    name: str
    layer: int
    start: int
    end: int
    kind: str
    width: float
    label: str
    told: str


@dataclass(frozen=True)
class Stay:
    """What stays at one column through one block; `width` is relative to the widest ribbon."""

    layer: int
    column: int
    width: float


def flow(
    ribbons: Sequence[Ribbon],
    stays: Sequence[Stay],
    labels: Sequence[str],
    *,
    layers: int,
    marked: int | None,
    palette: Palette,
    chosen: str = "",
    row_labels: bool = True,
    row: int = 42,
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec of one run's flow.

    Args:
        labels: one for each column.
        marked: the column of T_inst, which is shaded.
        chosen: name of the outlined ribbon.
    """
    touched = {column for ribbon in ribbons for column in (ribbon.start, ribbon.end)}
    shown = sorted(touched) if len(labels) > DENSE else list(range(len(labels)))
    if marked is not None and marked not in shown:
        shown = sorted([*shown, marked])
    frame = _frame(tuple(labels), layers=layers, marked=marked, palette=palette, row_labels=row_labels, row=row)
    # The widest first: thin ones lie over them, and can be clicked.
    order = sorted(ribbons, key=lambda ribbon: (ribbon.name == chosen, -ribbon.width))
    rows = [
        {"name": ribbon.name, "y0": ribbon.layer - 1, "x0": ribbon.start, "x1": ribbon.end, "kind": ribbon.kind,
         "w": round(max(0.9, WIDEST * ribbon.width), 2), "told": ribbon.told, "chosen": ribbon.name == chosen}
        for ribbon in order
    ]  # fmt: skip
    standing = [
        {"x": stay.column, "y": stay.layer - 1, "y2": stay.layer, "w": round(max(0.6, WIDEST * stay.width), 2)}
        for stay in stays
    ]
    named = [
        {"x": x, "y": y, "text": text, "name": name.partition("@")[0]}
        for x, y, text, name in _placed(order, columns=len(labels), layers=layers, chosen=chosen)
    ]
    told = {"description": alt_text, "params": [*frame["params"], {"name": SHOWN, "value": shown}]}
    here = [{"name": name} for name in (chosen, chosen.partition("@")[0])] if chosen else []  # an edge, and its head
    return {**frame, **told, "datasets": {RIBBONS: rows, STAYS: standing, NAMES: named, CHOSEN: here}}


def _placed(
    ribbons: Sequence[Ribbon], *, columns: int, layers: int, chosen: str
) -> list[tuple[float, float, str, str]]:
    """Where the strongest ribbons' names stand: on the ribbon, and clear of one another."""
    wide, high = columns * 0.1, layers * 0.06
    wanted = sorted(ribbons, key=lambda ribbon: (ribbon.name != chosen, -ribbon.width))
    found: list[tuple[float, float, str, str]] = []
    for ribbon in wanted:
        if any(ribbon.label == text for *_, text, _ in found):
            continue
        for t in (0.45, 0.3, 0.6, 0.75):
            x = ribbon.start + (ribbon.end - ribbon.start) * t
            y = ribbon.layer - 1 + smooth(t)
            if all(abs(x - a) > wide or abs(y - b) > high for a, b, *_ in found):
                found.append((x, y, ribbon.label, ribbon.name))
                break
        if len(found) == LABELLED:
            break
    return found


def smooth(t: float) -> float:
    """The smoothstep: from 0 to 1 with level ends."""
    return t * t * (3 - 2 * t)


@lru_cache(maxsize=128)
def _frame(
    labels: tuple[str, ...],
    *,
    layers: int,
    marked: int | None,
    palette: Palette,
    row_labels: bool,
    row: int,
) -> dict[str, Any]:
    """All of a flow but its data and labelled columns. Building it takes a hundred times as long as filling it."""
    p, n = palette, len(labels)
    upright = n > TIGHT
    across = alt.Scale(domain=[-0.6, n - 0.4], nice=False, zero=False)
    up = level_scale(layers)
    names = listed(labels)
    named = f"indexof({SHOWN}, datum.value) >= 0"
    x_axis = alt.Axis(
        values=list(range(n)),
        labelExpr=f"{named} ? {names}[datum.value] : ''",
        labelAngle=-90 if upright else -38,
        labelAlign="right",
        labelBaseline="middle" if upright else "top",
        labelFont="Source Code Pro, monospace",
        labelFontSize=9.5 if upright else 11,
        labelColor=p.muted,
        labelLimit=72,
        labelOverlap=False,
        labelPadding=4,
        minExtent=LABELS,
        maxExtent=LABELS,
        grid=True,
        gridColor={"condition": {"test": named, "value": p.line}, "value": p.background},
        gridOpacity=0.7,
        title=None,
    )
    y_axis = level_axis(p, layers) if row_labels else alt.Axis(labels=False, minExtent=0, maxExtent=0, grid=False)
    x, y = alt.X("x:Q", scale=across, title=None, axis=x_axis), alt.Y("y:Q", scale=up, title=None, axis=y_axis)
    width = alt.StrokeWidth("w:Q", scale=None, legend=None)
    # A click on any mark that has a selection reaches all of them: a ribbon gives its edge's name, a name its head's.
    pick, pick_head = (
        alt.selection_point(name=name, fields=["name"], on="click", empty=False, clear=False)
        for name in ("edge", "head")
    )
    shade = _shade(p, marked, (across, x_axis), (up, y_axis), layers)
    stays = (
        alt.Chart(alt.NamedData(name=STAYS))
        .mark_rule(color=p.line, strokeCap="round")
        .encode(x=x, y=y, y2="y2:Q", strokeWidth=width)
    )
    base = (
        alt.Chart(alt.NamedData(name=RIBBONS))
        .transform_calculate(t=f"sequence({STEPS})")
        .transform_flatten(["t"])
        .transform_calculate(
            u=f"datum.t / {STEPS - 1}",
            x="datum.x0 + (datum.x1 - datum.x0) * datum.u",
            y="datum.y0 + datum.u * datum.u * (3 - 2 * datum.u)",
        )
        .encode(x=x, y=y, detail="name:N", order="t:Q", strokeWidth=width)
    )
    under = [
        base.transform_filter("datum.chosen")
        .transform_calculate(w=f"datum.w + {more}")
        .mark_line(strokeCap="round", color=colour)
        for more, colour in ((8, p.background), (5, p.ink))
    ]
    lines = base.mark_line(strokeCap="round", opacity=0.92).encode(
        color=alt.Color("kind:N", legend=None, scale=alt.Scale(domain=list(KINDS), range=list(kind_colours(p))))
    )
    hit = (
        base.transform_calculate(w="datum.w + 5")
        .mark_line(strokeCap="round", opacity=0.001, color=p.ink, cursor="pointer")
        .encode(tooltip=alt.Tooltip("told:N", title=" "), description="told:N")
        .add_params(pick)
    )
    text = alt.Chart(alt.NamedData(name=NAMES)).encode(x=x, y=y, text="text:N")
    halo = text.mark_text(fontSize=11, fontWeight=600, dy=-9, stroke=p.background, strokeWidth=3, strokeJoin="round")
    over = text.mark_text(fontSize=11, fontWeight=600, dy=-9, color=p.ink, cursor="pointer").add_params(pick_head)
    chart = framed(
        alt.layer(*shade, stays, *under, lines, hit, halo, over),
        p,
        height=height_of(layers, row),
        right=4,
        alt_text="",
    )
    return spec_of(chart)


def _shade(
    p: Palette, marked: int | None, across: tuple[alt.Scale, alt.Axis], up: tuple[alt.Scale, alt.Axis], layers: int
) -> list[alt.Chart]:
    """The shaded column of T_inst, and its name; with the flow's own axes, since those drawn first would win."""
    if marked is None:
        return []
    top, low = layers - 1 + TOP, -BOTTOM

    def at(channel: type, field: str, scale: alt.Scale, axis: alt.Axis) -> Any:
        return channel(f"{field}:Q", scale=scale, axis=axis, title=None)

    place = alt.Chart(alt.Data(values=[{"l": marked - 0.5, "r": marked + 0.5, "x": marked, "low": low, "top": top}]))
    band = place.mark_rect(color=p.orange, opacity=0.11).encode(
        x=at(alt.X, "l", *across), x2="r:Q", y=at(alt.Y, "low", *up), y2="top:Q"
    )
    name = place.mark_text(text="T_inst", fontSize=11.5, fontWeight=600, color=p.ink, dy=7).encode(
        x=at(alt.X, "x", *across), y=at(alt.Y, "top", *up)
    )
    return [band, name]


def kind_colours(p: Palette) -> tuple[str, str, str]:
    """Colours of shared ribbons, and of those only here that raise, or lower, the answer."""
    return "#8793A3" if p.name == "light" else "#7B8796", p.diverging[6], p.diverging[2]


def height_of(layers: int, row: int) -> int:
    """Pixels of a plot with a row for each layer and the embeddings."""
    return round(row * (layers - 1 + TOP + BOTTOM))


def level_scale(layers: int) -> alt.Scale:
    """Layers upward from the embeddings at −1."""
    return alt.Scale(domain=[-BOTTOM, layers - 1 + TOP], nice=False, zero=False)


def level_axis(p: Palette, layers: int) -> alt.Axis:
    """The axis of layers, with the embeddings under them."""
    axis = layer_axis(p, layers, strong="false")
    axis["labelExpr"] = "datum.value < 0 ? 'emb' : 'L' + datum.value"
    axis["values"] = [-1, *labelled(layers)]
    axis["grid"] = False
    return axis
