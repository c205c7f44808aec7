"""The learning curve: held-out accuracy by the number of wordings of each task that a probe was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.frame import framed, spec_of, with_axes
from ivx.charts.palette import Palette

STEPS, CHANCE = "steps", "chance"
"""Names of a curve's data in its spec."""


class Step(NamedTuple):
    """Accuracy with its interval after training on so many wordings of each task."""

    wordings: int
    value: float
    low: float
    high: float


def curve(
    steps: Sequence[Step], *, chance: float, palette: Palette, height: int = 300, alt_text: str = ""
) -> dict[str, Any]:
    """The Vega-Lite spec: wordings across (doubling), accuracy up; the dashed line is chance."""
    values = [
        {**step._asdict(), "told": f"{step.wordings} of each task: {step.value:.1%} [{step.low:.1%}, {step.high:.1%}]"}
        for step in steps
    ]
    frame = _frame(tuple(step.wordings for step in steps), palette, height, alt_text)
    return {**frame, "datasets": {STEPS: values, CHANCE: [{"value": chance, "told": f"a guess: {chance:.1%}"}]}}


@lru_cache(maxsize=64)
def _frame(sizes: tuple[int, ...], p: Palette, height: int, alt_text: str) -> dict[str, Any]:
    """All of a curve but its data."""
    across = alt.X(
        "wordings:Q",
        scale=alt.Scale(type="log", base=2, domain=[min(sizes, default=1), max(sizes, default=1) * 1.06], nice=False),
        title="wordings of each task learnt from",
        axis=alt.Axis(values=list(sizes), grid=False, format="d"),
    )
    scale = alt.Scale(domain=[0, 1.025], nice=False)
    up = alt.Y(
        "value:Q", scale=scale, title=None, axis=alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1], grid=True)
    )
    base = alt.Chart(alt.NamedData(name=STEPS)).encode(x=across)
    tooltip = alt.Tooltip("told:N", title=" ")
    guess = (
        alt.Chart(alt.NamedData(name=CHANCE))
        .mark_rule(color=p.muted, strokeDash=[3, 3], strokeWidth=1.2)
        .encode(y=alt.Y("value:Q", scale=scale), tooltip=tooltip)
    )
    chart = alt.layer(
        guess,
        base.mark_area(color=p.blue, opacity=0.14).encode(y=alt.Y("low:Q", scale=scale), y2="high:Q"),
        base.mark_line(color=p.blue, strokeWidth=2).encode(y=up),
        base.mark_circle(color=p.blue, size=44, opacity=1).encode(y=up, tooltip=tooltip),
    )
    return spec_of(with_axes(framed(chart, p, height=height, right=6, alt_text=alt_text), p))
