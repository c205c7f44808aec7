"""The headline: a dot per layer and component, of one model or several: selectivity across, effect upward."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import altair as alt

from ivx.charts.frame import CHOSEN, framed, spec_of, with_axes
from ivx.charts.numbers import signed
from ivx.charts.palette import LIGHT, Palette

PLACES = "places"
"""Name of a headline's data in its spec."""
SHAPES = {"resid_post": "circle", "attn_out": "square", "mlp_out": "triangle-up"}
"""Marks of the components; others are diamonds."""
ROOM = 0.05
"""Share of the axis upward that a name takes."""
SIDES: tuple[tuple[str, Literal["left", "right"], int], ...] = (("left", "right", -8), ("right", "left", 8))
"""Where a name stands beside its dot, how its text is aligned, and how far off it is in pixels."""
FLOOR = 0.5
"""Least reach of the axis upward, in the metric's unit: what is smaller is drawn small."""


class Place(NamedTuple):
    """One layer and component: selectivity with its interval, and the effect in excess of its control.

    `series` names the model, `found` is whether the effect beats its control, `told` is the tooltip.
    """

    series: str
    component: str
    layer: int
    selectivity: float
    excess: float
    found: bool
    told: str = ""


def headline(
    places: Sequence[Place],
    *,
    series: Sequence[tuple[str, str]],
    palette: Palette,
    unit: str = "logits",
    component: str | None = None,
    selected: tuple[str, int] | None = None,
    height: int = 300,
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec. Filled dots are findings, hollow ones are not; a click selects component and layer.

    Args:
        series: (name, colour) of each, in the order they are drawn; all share one scale.
        component: the one whose dots are drawn large, with their layers' names for the first series; None for all.
        selected: (component, layer) whose dots are ringed.
    """
    named = (series[0][0], component or "resid_post")
    values = [
        {
            "series": place.series,
            "component": place.component,
            "layer": place.layer,
            "selectivity": round(place.selectivity, 4),
            "excess": round(place.excess, 4),
            "found": place.found,
            "main": component in (None, place.component),
            "side": "left",
            "told": place.told or _tooltip(place, unit),
            "name": f"L{place.layer}" if place.found and (place.series, place.component) == named else "",
        }
        for place in places
    ]
    ends = [place.excess for place in places]
    _part([v for v in values if v["name"]], room=ROOM * (max([*ends, FLOOR]) - min([*ends, 0.0])))
    top, bottom = max([*ends, FLOOR]), min([*ends, -FLOOR / 2])
    frame = _frame(tuple(series), palette, unit, round(bottom * 1.1, 2), round(top * 1.12, 2), height, alt_text)
    rings = [] if selected is None else [v for v in values if (v["component"], v["layer"]) == selected]
    return {**frame, "datasets": {PLACES: values, CHOSEN: rings}}


def _tooltip(place: Place, unit: str) -> str:
    return (
        f"{place.series}, {place.component} L{place.layer}: selectivity {place.selectivity:.0%}, "
        f"effect beyond its control {signed(place.excess, 2)} {unit}"
    )


def _part(named: list[dict[str, Any]], *, room: float) -> None:
    """Where two names would overlap, move that of the layer with more selectivity to the right of its dot."""
    named.sort(key=lambda v: v["excess"])
    for one, other in pairwise(named):
        if other["excess"] - one["excess"] < room and one["side"] == "left":
            max(one, other, key=lambda v: float(v["selectivity"]))["side"] = "right"


@lru_cache(maxsize=64)
def _frame(
    series: tuple[tuple[str, str], ...],
    p: Palette,
    unit: str,
    bottom: float,
    top: float,
    height: int,
    alt_text: str,
) -> dict[str, Any]:
    """All of a headline but its data."""
    across = alt.X(
        "selectivity:Q",
        scale=alt.Scale(domain=[0, 1]),
        title="can be read: probe accuracy − shuffled",
        axis=alt.Axis(format=".0%", tickCount=5, grid=True),
    )
    up = alt.Y(
        "excess:Q",
        scale=alt.Scale(domain=[bottom, top]),
        title=f"acts: effect beyond its control, {unit}",
        axis=alt.Axis(tickCount=5, grid=True, labelExpr="datum.value > 0 ? '+' + datum.label : datum.label"),
    )
    names, colours = [name for name, _ in series], [colour for _, colour in series]
    colour = alt.Color("series:N", legend=None, scale=alt.Scale(domain=names, range=colours))
    shape = alt.Shape("component:N", legend=None, scale=alt.Scale(domain=list(SHAPES), range=list(SHAPES.values())))
    pale = alt.FieldOneOfPredicate(field="series", oneOf=[name for name, hue in series if hue == p.faint])
    written = alt.when(pale).then(alt.value(p.muted)).otherwise(colour)  # a dot may be faint, its name may not
    pick = alt.selection_point(
        name="dot", fields=["component", "layer", "series"], on="click", empty=False, clear=False
    )
    base = alt.Chart(alt.NamedData(name=PLACES)).encode(x=across, y=up)
    size = alt.when(alt.datum.main).then(alt.value(70)).otherwise(alt.value(30))
    fill = alt.when(alt.datum.found).then(colour).otherwise(alt.value(p.background))
    zero = alt.Chart(alt.Data(values=[{"y": 0}])).mark_rule(color=p.faint, strokeWidth=1).encode(y="y:Q")
    dots = (
        base.mark_point(strokeWidth=1.5, cursor="pointer")
        .encode(
            stroke=alt.Stroke("series:N", legend=None, scale=alt.Scale(domain=names, range=colours)),
            fill=fill,
            shape=shape,
            size=size,
            opacity=alt.when(alt.datum.main).then(alt.value(1)).otherwise(alt.value(0.55)),
            tooltip=alt.Tooltip("told:N", title=" "),
        )
        .add_params(pick)
    )
    rings = (
        alt.Chart(alt.NamedData(name=CHOSEN))
        .mark_point(filled=False, stroke=p.ink, strokeWidth=2, size=190, opacity=1)
        .encode(x=across, y=up)
    )
    layers = [
        base.transform_filter(f"datum.name != '' && datum.side == '{side}'")
        .mark_text(align=align, dx=dx, fontSize=10.5)
        .encode(text="name:N", color=written)
        for side, align, dx in SIDES
    ]
    chart = alt.layer(zero, dots, rings, *layers)
    return spec_of(with_axes(framed(chart, p, height=height, right=8, alt_text=alt_text), p))


MARKS = "circle: stream, square: attention, triangle: MLP; filled: beats its control"
"""What a printed headline says of its marks; on the page the legend does."""


def headline_figure(
    places: Sequence[Place], *, series: Sequence[tuple[str, str]], title: str, subtitle: str, unit: str = "logits"
) -> dict[str, Any]:
    """The headline for print: light, of fixed width, titled, nothing to click."""
    spec = headline(places, series=series, palette=LIGHT, unit=unit, height=320)
    colours = {LIGHT.orange: "orange", LIGHT.blue: "blue", LIGHT.ink: "black"}
    told = "; ".join(f"{colours.get(colour, colour)}: {name}" for name, colour in series)
    shown = {"text": title, "subtitle": [subtitle, told, MARKS], "anchor": "start"}
    return {key: value for key, value in {**spec, "width": 460, "title": shown}.items() if key != "params"}
