"""Overlap by layer, and faithfulness by size: two curves, each beside the level that it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.flow import LABELS, height_of, level_scale
from ivx.charts.frame import framed, spec_of, with_axes
from ivx.charts.palette import Palette

LEVELS, POINTS = "levels", "points"
"""Names of the data in the specs."""
ALPHA = 0.05


EITHER = ": means or spread"


class Level(NamedTuple):
    """One layer: overlap with its range, one kind of run's with itself, and the adjusted p of their difference.

    `apart` is `means` where the kinds take other routes, `either` where they differ in these or in spread, or empty.
    """

    layer: int
    value: float
    low: float
    high: float
    reference: float
    p: float | None
    apart: str = ""


class Size(NamedTuple):
    """A circuit of `n` parts: the share it keeps with its interval, and the mean and range of random sets."""

    n: int
    kept: float
    low: float
    high: float
    random: float
    random_low: float
    random_high: float


def overlap_chart(
    levels: Sequence[Level], *, layers: int, palette: Palette, row: int = 42, alt_text: str = ""
) -> dict[str, Any]:
    """The Vega-Lite spec; its layers stand at the height of a flow's of the same `row`."""
    values = [
        {
            **level._asdict(),
            "apart": level.apart == "means",
            "told": f"L{level.layer}: {level.value:.0%} [{level.low:.0%}, {level.high:.0%}], with itself "
            f"{level.reference:.0%}"
            + ("" if level.p is None else f", adjusted p {level.p:.3f}{EITHER * (level.apart == 'either')}"),
        }
        for level in levels
    ]
    return {**_levels(layers, palette, row, alt_text), "datasets": {LEVELS: values}}


@lru_cache(maxsize=32)
def _levels(layers: int, p: Palette, row: int, alt_text: str) -> dict[str, Any]:
    axis = alt.Axis(
        values=[0, 0.5, 1],
        format="%",
        labelFontSize=11.5,
        labelColor=p.muted,
        labelAlign={"condition": {"test": "datum.value == 0", "value": "left"}, "value": "right"},
        minExtent=LABELS,
        maxExtent=LABELS,
        labelPadding=7,
        grid=True,
        gridColor=p.line,
    )
    across = alt.Scale(domain=[0, 1])
    y = alt.Y("layer:Q", scale=level_scale(layers), title=None, axis=alt.Axis(labels=False, maxExtent=0, grid=False))
    base = alt.Chart(alt.NamedData(name=LEVELS)).encode(y=y, order="layer:Q")

    def at(name: str) -> alt.X:
        return alt.X(f"{name}:Q", scale=across, title=None, axis=axis)

    told = alt.Tooltip("told:N", title=" ")
    size = 46 if row > 20 else 22
    chart = alt.layer(
        base.mark_rule(color=p.line, strokeWidth=3).encode(x=at("value"), x2="reference:Q"),
        base.mark_line(color=p.faint, strokeDash=[3, 3], strokeWidth=1.4).encode(x=at("reference")),
        base.mark_point(color=p.faint, filled=True, size=size * 0.7, opacity=1).encode(x=at("reference"), tooltip=told),
        base.mark_line(color=p.ink, strokeWidth=1.6).encode(x=at("value")),
        base.mark_rule(color=p.ink, strokeWidth=1.4).encode(x=at("low"), x2="high:Q"),
        base.mark_point(stroke=p.ink, filled=True, size=size, opacity=1, strokeWidth=1.6).encode(
            x=at("value"),
            fill=alt.when(alt.datum.apart).then(alt.value(p.ink)).otherwise(alt.value(p.background)),
            tooltip=told,
        ),
    )
    return spec_of(framed(chart, p, height=height_of(layers, row), right=14, alt_text=alt_text))


def faithfulness_chart(
    sizes: Sequence[Size], *, unit: str, palette: Palette, height: int = 190, alt_text: str = ""
) -> dict[str, Any]:
    """The Vega-Lite spec of one circuit's curve: sizes across (log), share of the model's answer up."""
    ends = [end for size in sizes for end in (size.low, size.high, size.random_low, size.random_high)]
    low, high = min(0.0, *ends), max(1.0, *ends)
    values = [
        {
            **size._asdict(),
            "told": f"{size.n} {unit}: {size.kept:.2f} [{size.low:.2f}, {size.high:.2f}], random sets "
            f"{size.random:.2f} [{size.random_low:.2f}, {size.random_high:.2f}]",
        }
        for size in sizes
    ]
    frame = _sizes(tuple(size.n for size in sizes), unit, (round(low, 2), round(high, 2)), palette, height, alt_text)
    return {**frame, "datasets": {POINTS: values}}


@lru_cache(maxsize=32)
def _sizes(
    ticks: tuple[int, ...], unit: str, reach: tuple[float, float], p: Palette, height: int, alt_text: str
) -> dict[str, Any]:
    every = max(1, -(-len(ticks) // 7))
    x = alt.X(
        "n:Q",
        scale=alt.Scale(type="log", domain=[ticks[0], ticks[-1]], nice=False),
        title=f"{unit} kept",
        axis=alt.Axis(values=list(ticks[::every]), format=",d", grid=False, labelOverlap=True),
    )
    up = alt.Scale(domain=list(reach), nice=False)
    wide = reach[1] - reach[0] > 3  # where hardly anything is there to be kept, shares are of any size
    steps = {"tickCount": 4} if wide else {"values": [0, 0.5, 1]}
    axis = alt.Axis(**steps, format="%", grid=True, gridColor=p.line, minExtent=40, maxExtent=40)
    base = alt.Chart(alt.NamedData(name=POINTS)).encode(x=x)

    def at(name: str) -> alt.Y:
        return alt.Y(f"{name}:Q", scale=up, title=None, axis=axis)

    told = alt.Tooltip("told:N", title=" ")
    chart = alt.layer(
        base.mark_area(color=p.faint, opacity=0.2).encode(y=at("random_low"), y2="random_high:Q"),
        base.mark_line(color=p.faint, strokeDash=[3, 3], strokeWidth=1.4).encode(y=at("random")),
        base.mark_line(color=p.blue, strokeWidth=1.8).encode(y=at("kept")),
        base.mark_rule(color=p.blue, strokeWidth=1.4).encode(y=at("low"), y2="high:Q"),
        base.mark_point(color=p.blue, filled=True, size=40, opacity=1).encode(y=at("kept"), tooltip=told),
    )
    return spec_of(with_axes(framed(chart, p, height=height, right=12, alt_text=alt_text), p))
