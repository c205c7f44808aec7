"""The place: source tokens by patched tokens, each pair a small strip of layers with its strongest control as a line.

All strips share one scale and stand in one coordinate system, so that a layer is at one place in every strip of a
column, and a value at one height in every strip of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.frame import CHOSEN, fitting, framed, spec_of
from ivx.charts.numbers import scale_of, signed
from ivx.charts.palette import Palette

BARS, STRIPS, LINES, HEADS, ROWS = "bars", "strips", "lines", "heads", "rows"
"""Names of the chart's data in its spec."""
WIDE, HIGH, GAP = 1.0, 1.0, 0.08
"""Size of a strip and the gap between two, in the chart's own units."""
UNDER = 0.18
"""Share of a strip below 0."""
PIXELS = 96
"""Height of a row."""
LEFT = 1.25
"""Room for the names of the rows, in strips."""
FOLLOWED = 0.1
"""A share that follows is written from here on."""


class Bar(NamedTuple):
    """One layer of a strip: its mean effect, the strongest control's, and whether it stands out from that."""

    layer: int
    effect: float
    control: float
    found: bool


class Strip(NamedTuple):
    """One pair of tokens: its layers, the share that follows at the best, and whether it is the best pair."""

    source: str
    column: int
    bars: tuple[Bar, ...]
    followed: float
    chosen: bool
    told: str


def place_chart(
    strips: Sequence[Strip],
    *,
    sources: Sequence[tuple[str, str]],
    columns: Sequence[tuple[str, str]],
    layers: int,
    palette: Palette,
    unit: str,
    opened: tuple[str, int] | None = None,
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec; its selection `pair` has the fields `source` and `column`.

    Args:
        sources: name and label of each row, from the top.
        columns: token and role of each column.
        opened: source and column of the pair that is outlined.
    """
    p = palette
    scale = scale_of([bar.effect for strip in strips for bar in strip.bars])
    rows = {name: k for k, (name, _) in enumerate(sources)}
    bars: list[dict[str, Any]] = []
    frames: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    for strip in strips:
        row, key = rows[strip.source], f"{strip.source} {strip.column}"
        left, floor = strip.column * (WIDE + GAP), -row * (HIGH + GAP)
        zero = floor - HIGH * (1 - UNDER)
        unitary = HIGH * (1 - UNDER) / scale

        def height(value: float, zero: float = zero, unitary: float = unitary, floor: float = floor) -> float:
            return max(floor - HIGH, min(floor, zero + value * unitary))

        about = {"source": strip.source, "column": strip.column}
        shown = strip.followed == strip.followed and strip.followed >= FOLLOWED
        frames.append({
            **about, "x": left, "x2": left + WIDE, "y": floor, "y2": floor - HIGH, "zero": zero,
            "chosen": strip.chosen, "share": f"{100 * strip.followed:.0f}%" if shown else "",
            "text": f"{100 * strip.followed:.0f}% follow" if shown else "",
            "strong": any(bar.found for bar in strip.bars), "told": strip.told,
        })  # fmt: skip
        for bar in strip.bars:
            if bar.effect != bar.effect:
                continue
            x = left + WIDE * (0.03 + 0.94 * bar.layer / layers)
            bars.append({
                **about, "x": x, "x2": x + 0.8 * 0.94 * WIDE * _step(strip, layers) / layers, "y": zero,
                "y2": height(bar.effect), "found": bar.found,
                "told": f"{strip.told}, L{bar.layer}: {signed(bar.effect, 2)} {unit}, control {signed(bar.control, 2)}",
            })  # fmt: skip
            lines.append({"key": key, "layer": bar.layer, "x": x + 0.4 * WIDE / layers, "y": height(bar.control)})
    heads = [
        {"x": k * (WIDE + GAP) + WIDE / 2, "y": 0.12, "token": token, "role": role}
        for k, (token, role) in enumerate(columns)
    ]
    names = [{"x": -0.1, "y": -row * (HIGH + GAP) - HIGH / 2, "text": label} for row, (_, label) in enumerate(sources)]
    across = (-LEFT, len(columns) * (WIDE + GAP))
    up = (-len(sources) * (HIGH + GAP), 0.45)
    spec = _drawn(across, up, len(sources), p, alt_text)
    here = [frame for frame in frames if (frame["source"], frame["column"]) == opened]
    return {**spec, "datasets": {BARS: bars, STRIPS: frames, LINES: lines, HEADS: heads, ROWS: names, CHOSEN: here}}


def _step(strip: Strip, layers: int) -> float:
    """Layers from one bar of a strip to the next, drawn as wide as a third of that: a coarse strip looks coarse."""
    return 1.0 if len(strip.bars) * 2 > layers else 1.6


def _drawn(
    across: tuple[float, float], up: tuple[float, float], rows: int, p: Palette, alt_text: str
) -> dict[str, Any]:
    pick = alt.selection_point(name="pair", fields=["source", "column"], on="click", empty=False, clear=False)
    x_scale, y_scale = (alt.Scale(domain=list(ends), nice=False, zero=False) for ends in (across, up))
    x, y = alt.X("x:Q", scale=x_scale, axis=None), alt.Y("y:Q", scale=y_scale, axis=None)

    def of(name: str) -> alt.Chart:
        return alt.Chart(alt.NamedData(name=name)).encode(x=x, y=y)

    box = of(STRIPS).encode(x2="x2:Q", y2="y2:Q", tooltip=alt.Tooltip("told:N", title=" "))
    frame = box.mark_rect(fill=p.background, stroke=p.line, strokeWidth=1, cursor="pointer").add_params(pick)
    zero = of(STRIPS).mark_rule(color=p.line).encode(y=alt.Y("zero:Q", scale=y_scale, axis=None), x2="x2:Q")
    bars = (
        of(BARS)
        .mark_rect(cursor="pointer")
        .encode(
            x2="x2:Q",
            y2="y2:Q",
            color=alt.when(alt.datum.found).then(alt.value(p.orange)).otherwise(alt.value(p.faint)),
            opacity=alt.when(alt.datum.found).then(alt.value(1)).otherwise(alt.value(0.55)),
            tooltip=alt.Tooltip("told:N", title=" "),
        )
    )
    line = of(LINES).mark_line(color=p.muted, strokeWidth=1.1).encode(detail="key:N", order="layer:Q")
    best = of(STRIPS).transform_filter("datum.chosen").mark_rect(fillOpacity=0, stroke=p.orange, strokeWidth=2.2)
    opened = of(CHOSEN).mark_rect(fillOpacity=0, stroke=p.ink, strokeWidth=5)  # seen beside the frame of the best
    text = fitting(f"width / {(across[1] - across[0]) / WIDE:.3f}", ("text", 72), ("share", 30), p=p)
    share = (
        of(STRIPS)
        .mark_text(text=text, align="right", baseline="top", fontSize=11, dx=-4, dy=4)
        .encode(
            x=alt.X("x2:Q", scale=x_scale, axis=None),
            color=alt.when(alt.datum.strong).then(alt.value(p.ink)).otherwise(alt.value(p.muted)),
        )
    )
    mono, limit = "Source Code Pro, monospace", alt.ExprRef(f"min(90, width * {WIDE / (across[1] - across[0]):.4f})")
    token = of(HEADS).mark_text(font=mono, fontSize=12, fontWeight=700, color=p.ink, dy=-14, limit=limit)
    role = of(HEADS).mark_text(fontSize=10.5, color=p.muted, limit=limit, dy=2 * (p.letters - 1))
    name = of(ROWS).mark_text(align="right", fontSize=12.5, fontWeight=600, color=p.ink, limit=130)
    chart = alt.layer(
        frame, zero, bars, line, opened.encode(x2="x2:Q", y2="y2:Q"), best.encode(x2="x2:Q", y2="y2:Q"), share,
        token.encode(text="token:N"), role.encode(text="role:N"), name.encode(text="text:N"),
    )  # fmt: skip
    return spec_of(framed(chart, p, height=rows * PIXELS + round(40 * p.letters), right=4, alt_text=alt_text))


def printed(spec: dict[str, Any], *, title: str, subtitle: str) -> dict[str, Any]:
    """The chart for print: titled, of fixed width, nothing to click."""
    lines = [subtitle, "orange: at least twice the strongest control (line); grey: the rest"]
    told = {"text": title, "subtitle": lines, "anchor": "start", "fontSize": 13}
    columns = max((head["x"] for head in spec["datasets"][HEADS]), default=1.0)
    whole = {key: value for key, value in spec.items() if key != "params"}
    return {**whole, "width": round(130 * (columns + LEFT)), "title": told}
