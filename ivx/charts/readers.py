"""The reader curve: what the blocks up to each have read of a vector, with the steps that are reading blocks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.frame import CHOSEN, framed, spec_of, with_axes
from ivx.charts.numbers import signed
from ivx.charts.palette import Palette

READ, BANDS, WHOLE = "read", "bands", "whole"
"""Names of the chart's data in its spec."""


class Read(NamedTuple):
    """What is read up to a block, with its interval, the control's, and whether this block reads."""

    block: int
    value: float
    low: float
    high: float
    control: float
    reads: bool


def reader_curve(
    found: Sequence[Read],
    *,
    layer: int,
    whole: float,
    unit: str,
    palette: Palette,
    chosen: int | None = None,
    height: int = 260,
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec: blocks across, what is read so far up; a band of ink is a block that reads.

    Its selection `step` has the field `block`. `whole` is the effect where nothing is given back, `chosen` the block
    that is marked.
    """
    p = palette
    start = {"block": layer, "value": 0.0, "low": 0.0, "high": 0.0, "control": 0.0, "reads": False, "told": "put here"}
    values = [start] + [
        {**dot._asdict(), "told": f"up to block {dot.block}: {signed(dot.value, 2)} {unit} "
         f"[{signed(dot.low, 2)}, {signed(dot.high, 2)}], control {signed(dot.control, 2)}"
         + (" · this block reads" if dot.reads else "")}
        for dot in found
    ]  # fmt: skip
    last = found[-1].block if found else layer + 1
    step = max(1, -(-(last - layer + 1) // 16))
    x = alt.X(
        "block:Q",
        scale=alt.Scale(domain=[layer - 0.6, last + 0.6], nice=False, zero=False),
        title="own value back after block",
        axis=alt.Axis(values=list(range(layer, last + 1, step)), labelExpr="'L' + datum.value", grid=False),
    )
    y = alt.Y("value:Q", title=f"read so far ({unit})", axis=alt.Axis(tickCount=5))
    pick = alt.selection_point(name="step", fields=["block"], on="click", empty=False, clear=False)
    base = alt.Chart(alt.NamedData(name=READ)).encode(x=x)
    bands = (
        alt.Chart(alt.NamedData(name=BANDS))
        .mark_rect(color=p.orange, opacity=0.16, cursor="pointer")
        .encode(x=alt.X("left:Q"), x2="right:Q", tooltip=alt.Tooltip("told:N", title=" "))
    )
    ink = alt.when(alt.datum.reads).then(alt.value(p.orange)).otherwise(alt.value(p.muted))
    numbers = (
        alt.Chart(alt.NamedData(name=BANDS))
        .mark_text(color=p.ink, fontWeight=700, fontSize=12, baseline="top", dy=3)
        .encode(x=x, y=alt.value(0), text="block:Q")
    )
    opened = alt.Chart(alt.NamedData(name=CHOSEN)).mark_rect(color=p.ink, opacity=0.08)
    chart = alt.layer(
        opened.encode(x=alt.X("left:Q"), x2="right:Q"),
        bands,
        numbers,
        alt.Chart(alt.NamedData(name=WHOLE)).mark_rule(color=p.faint, strokeDash=[4, 3]).encode(y="value:Q"),
        base.mark_line(color=p.muted, strokeWidth=1.2, strokeDash=[3, 3]).encode(y="control:Q"),
        base.mark_area(color=p.orange, opacity=0.18, interpolate="linear").encode(y="low:Q", y2="high:Q"),
        base.mark_line(color=p.orange, strokeWidth=1.8).encode(y=y),
        base.mark_circle(size=56, opacity=1, cursor="pointer")
        .encode(y=y, color=ink, tooltip=alt.Tooltip("told:N", title=" "))
        .add_params(pick),
    )
    spec = spec_of(with_axes(framed(chart, p, height=height, right=8, alt_text=alt_text), p))
    marked = [
        {"left": dot.block - 0.5, "right": dot.block + 0.5, "block": dot.block, "told": f"block {dot.block} reads"}
        for dot in found
        if dot.reads
    ]
    here = [] if chosen is None else [{"left": chosen - 0.5, "right": chosen + 0.5, "block": chosen}]
    return {**spec, "datasets": {READ: values, BANDS: marked, WHOLE: [{"value": whole}], CHOSEN: here}}


def printed_curve(spec: dict[str, Any], *, title: str, subtitle: str) -> dict[str, Any]:
    """The curve for print: titled, of fixed width, nothing to click."""
    told = {"text": title, "subtitle": [subtitle, "dashed: another task's vector; bands: blocks that read"],
            "anchor": "start", "fontSize": 13}  # fmt: skip
    whole = json.loads(json.dumps({key: value for key, value in spec.items() if key != "params"}))
    return {**whole, "width": 420, "title": told}
