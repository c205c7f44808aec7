"""The confusion matrix: each task's held-out wordings, by the task that a probe took them for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import altair as alt

from ivx.charts.frame import framed, on_its_data, spec_of
from ivx.charts.palette import Palette
from ivx.charts.plane import short

SHARES = "shares"
"""Name of a matrix's data in its spec."""
SHOWN = 0.005
"""Least share that is written as a number."""
DEEP = {"light": 0.914, "dark": 0.472}
"""Share from which a number is written in the other ink, since that contrasts more there."""
CROWDED = 16
"""Tasks beyond which cells hold no numbers."""


def confusion(
    shares: Sequence[Sequence[float]],
    tasks: Sequence[str],
    *,
    palette: Palette,
    height: int = 300,
    bold: Sequence[str] = (),
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec of `[tasks, tasks]` shares: a row per task, a column per predicted task; blue is more.

    Args:
        bold: tasks whose labels are bold.
    """
    values = [
        {
            "truth": i,
            "told": j,
            "share": round(float(share), 4),
            "text": f"{100 * share:.0f}" if share >= SHOWN and len(tasks) <= CROWDED else "",
            "says": f"{tasks[i]}: {share:.1%} told to be {tasks[j]}",
        }
        for i, row in enumerate(shares)
        for j, share in enumerate(row)
    ]
    frame = _frame(tuple(tasks), tuple(tasks.index(task) for task in bold if task in tasks), palette, height, alt_text)
    return {**frame, "data": {"name": SHARES}, "datasets": {SHARES: values}}


@lru_cache(maxsize=64)
def _frame(tasks: tuple[str, ...], bold: tuple[int, ...], p: Palette, height: int, alt_text: str) -> dict[str, Any]:
    """All of a matrix but its data."""
    test = f"indexof({list(bold)}, datum.value) >= 0"
    names = json.dumps([short(task) for task in tasks])
    says = alt.Axis(
        labelExpr=f"{names}[datum.value]",
        labelFontSize=11,
        labelColor={"condition": {"test": test, "value": p.ink}, "value": p.muted},
        labelFontWeight={"condition": {"test": test, "value": 700}, "value": 400},
        labelOverlap=False,
        labelLimit=84,
        minExtent=76,
        labelPadding=5,
        title=None,
    )
    across = alt.Axis(labels=False, minExtent=2, maxExtent=2, title=None)
    domain = alt.Scale(domain=list(range(len(tasks))))
    base = alt.Chart().encode(x=alt.X("told:O", scale=domain, axis=across), y=alt.Y("truth:O", scale=domain, axis=says))
    cells = base.mark_rect(cornerRadius=2).encode(
        color=alt.Color(
            "share:Q",
            legend=None,
            scale=alt.Scale(domain=[0, 0.02, 1], range=[p.nothing, p.diverging[3], p.blue], clamp=True),
        ),
        tooltip=alt.Tooltip("says:N", title=" "),
    )
    numbers = (
        base.transform_filter("datum.text != ''")
        .mark_text(fontSize=alt.ExprRef("clamp(bandwidth('x') / 1.8, 7, 10)"))
        .encode(
            text="text:N",
            color=alt.when(alt.datum.share > DEEP[p.name]).then(alt.value(p.on_dark)).otherwise(alt.value(p.on_light)),
        )
    )
    spec = spec_of(framed(alt.layer(cells, numbers), p, height=height, right=2, alt_text=alt_text))
    return on_its_data(spec)
