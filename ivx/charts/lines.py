"""Lines: one curve per checkpoint over the layers, which go upward so that they line up with the maps beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.frame import CHOSEN, framed, is_chosen, layer_axis, printed_alone, spec_of
from ivx.charts.palette import LIGHT, Palette

LINES = "lines"
"""Name of a chart's data in its spec."""


class Dot(NamedTuple):
    """A curve at one layer: value and interval."""

    layer: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """One curve. `thin` is drawn dashed and without dots: a control."""

    name: str
    colour: str
    dots: tuple[Dot, ...]
    thin: bool = False


def colours_of(stages: Sequence[str], p: Palette) -> list[str]:
    """A colour for each checkpoint: base grey, SFT orange, DPO ink, a twin blue; no two alike."""
    own = {"base": p.faint, "SFT": p.orange, "DPO": p.ink, "SFT twin": p.blue}
    spare = [p.faint, p.orange, p.ink, p.blue, p.tick, p.muted]
    found: list[str] = []
    for stage in stages:
        wanted = own.get(stage)
        free = [colour for colour in spare if colour not in found and colour not in {own.get(s) for s in stages}]
        found.append(wanted if wanted and wanted not in found else (free or spare)[0])
    return found


def lines(
    found: Sequence[Line],
    *,
    layers: int,
    palette: Palette,
    domain: tuple[float, float],
    form: str = "percent",
    row: int = 30,
    marked: int | None = None,
    row_labels: bool = False,
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec.

    Args:
        domain: ends of the axis of values.
        form: `percent`, `change` (percent with a sign) or `number`.
        marked: the layer that has a band of ink behind it and a bold label.
    """
    values = [
        {
            "layer": dot.layer,
            "value": dot.value,
            "low": dot.low,
            "high": dot.high,
            "name": line.name,
            "colour": line.colour,
            "thin": line.thin,
            "told": f"{line.name}, L{dot.layer}: {shown(dot.value, form)} "
            f"[{shown(dot.low, form)}, {shown(dot.high, form)}]",
        }
        for line in found
        for dot in line.dots
    ]
    frame = _frame(layers, domain, form, palette, row, row_labels, alt_text)
    return {**frame, "datasets": {LINES: values, CHOSEN: [] if marked is None else [{"layer": marked}]}}


def lines_figure(found: Sequence[Line], *, layers: int, title: str, subtitle: str) -> dict[str, Any]:
    """The curves for print, on an axis that holds 0 and all of them."""
    ends = [end for line in found for dot in line.dots for end in (dot.low, dot.high)]
    domain = (min(ends, default=0.0) * 1.05, max(ends, default=1.0) * 1.05)
    spec = lines(
        found,
        layers=layers,
        palette=LIGHT,
        domain=(min(0.0, domain[0]), max(0.0, domain[1])),
        form="number",
        row_labels=True,
    )
    return printed_alone(spec, title, width=380, subtitle=subtitle)


def shown(value: float, form: str) -> str:
    """A value as the axis writes it."""
    if form == "number":
        return f"{value:.2f}".replace("-", "−")
    sign = "+" if form == "change" and round(100 * value) > 0 else ""
    return f"{sign}{100 * value:.0f}%".replace("-", "−")


@lru_cache(maxsize=64)
def _frame(
    layers: int, domain: tuple[float, float], form: str, p: Palette, row: int, row_labels: bool, alt_text: str
) -> dict[str, Any]:
    """All of a chart but its data and what is marked."""
    nothing = alt.Axis(labels=False, minExtent=0, maxExtent=0, title=None)
    axis = layer_axis(p, layers, strong=is_chosen("layer")) if row_labels else nothing
    y = alt.Y("layer:O", scale=alt.Scale(domain=list(range(layers))[::-1]), title=None, axis=axis)
    scale = alt.Scale(domain=list(domain), nice=False)
    number = "replace(format(datum.value, '.2~f'), '-', '−')"
    percent = "replace(format(datum.value, '.0%'), '-', '−')"
    told = {
        "number": number,
        "percent": f"datum.value == 0 ? '0' : {percent}",
        "change": f"datum.value == 0 ? '0' : (datum.value > 0 ? '+' : '') + {percent}",
    }
    x = alt.X(
        "value:Q",
        scale=scale,
        title=None,
        axis=alt.Axis(
            tickCount=4,
            labelExpr=told[form],
            labelFontSize=11.5,
            labelColor=p.muted,
            labelFlush=True,
            minExtent=22,
            maxExtent=22,
            labelPadding=7,
            grid=True,
            gridColor={"condition": {"test": "datum.value == 0", "value": p.faint}, "value": p.line},
        ),
    )
    colour = alt.Color("colour:N", scale=None, legend=None)
    base = alt.Chart(alt.NamedData(name=LINES)).encode(y=y)
    order = alt.Order("layer:Q")
    band = alt.Chart(alt.NamedData(name=CHOSEN)).mark_rect(color=p.ink, opacity=0.05)
    thick, thin = (base.transform_filter(test) for test in ("!datum.thin", "datum.thin"))
    drawn = {"x": x, "color": colour, "detail": "name:N", "order": order}
    chart = alt.layer(
        band.encode(y=y),
        thick.mark_rule(strokeWidth=3, opacity=0.22).encode(x=alt.X("low:Q", scale=scale), x2="high:Q", color=colour),
        thin.mark_line(strokeWidth=1.2, strokeDash=[3, 3]).encode(**drawn),
        thick.mark_line(strokeWidth=1.8).encode(**drawn),
        thick.mark_circle(size=40, opacity=1).encode(x=x, color=colour, tooltip=alt.Tooltip("told:N", title=" ")),
    )
    return spec_of(framed(chart, p, height=row * layers, right=6, alt_text=alt_text))
