"""A head's attention row: the attention of one token to each earlier one, coloured by what that contributes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.flow import kind_colours
from ivx.charts.frame import framed, listed, spec_of
from ivx.charts.palette import Palette

GIVEN = "given"
"""Name of the data in its spec."""
MOST = 24
"""Tokens in a row; of more, those with the most attention."""
NOTHING = 0.01
"""Share of the whole below which a contribution counts as nothing; logits, where there are no shares."""


class Given(NamedTuple):
    """One token: its place, its label, the attention it is given, and what that is worth, in logits and as a share of
    the whole where there is one."""

    place: int
    label: str
    attention: float
    value: float
    share: float | None


def attention_row(
    given: Sequence[Given], *, palette: Palette, chosen: int | None = None, height: int = 150, alt_text: str = ""
) -> dict[str, Any]:
    """The Vega-Lite spec; `chosen` is the outlined token's place."""
    top = sorted(sorted(given, key=lambda one: -one.attention)[:MOST])
    values = [
        {
            "at": i,
            "attention": one.attention,
            "kind": _kind(one),
            "told": f"{one.label}: attention {one.attention:.0%}, worth {one.value:+.2f}"
            + ("" if one.share is None else f" ({one.share:.0%})"),
            "text": f"{one.attention:.0%}" if one.attention >= 0.05 else "",
            "chosen": one.place == chosen,
        }
        for i, one in enumerate(top)
    ]
    return {**_frame(tuple(one.label for one in top), palette, height, alt_text), "datasets": {GIVEN: values}}


def _kind(one: Given) -> str:
    if abs(one.value if one.share is None else one.share) < NOTHING:
        return "none"
    return "toward" if one.value > 0 else "away"


@lru_cache(maxsize=64)
def _frame(labels: tuple[str, ...], p: Palette, height: int, alt_text: str) -> dict[str, Any]:
    names = listed(labels)
    x = alt.X(
        "at:O",
        scale=alt.Scale(domain=list(range(len(labels)))),
        title=None,
        axis=alt.Axis(
            labelExpr=f"{names}[datum.value]",
            labelAngle=-38,
            labelAlign="right",
            labelFont="Source Code Pro, monospace",
            labelFontSize=10.5,
            labelColor=p.muted,
            labelLimit=72,
            labelOverlap=False,
            minExtent=58,
            maxExtent=58,
        ),
    )
    y = alt.Y("attention:Q", scale=alt.Scale(domain=[0, 1.12], nice=False), title=None, axis=None)
    base = alt.Chart(alt.NamedData(name=GIVEN)).encode(x=x, y=y)
    _, toward, away = kind_colours(p)
    bars = base.mark_bar(cornerRadius=1).encode(
        color=alt.Color(
            "kind:N", legend=None, scale=alt.Scale(domain=["none", "toward", "away"], range=[p.faint, toward, away])
        ),
        stroke=alt.when(alt.datum.chosen).then(alt.value(p.ink)).otherwise(alt.value(None)),
        strokeWidth=alt.value(1.6),
        tooltip=alt.Tooltip("told:N", title=" "),
    )
    text = base.mark_text(dy=-7, fontSize=11, color=p.muted).encode(text="text:N")
    return spec_of(framed(alt.layer(bars, text), p, height=height, right=2, alt_text=alt_text))
