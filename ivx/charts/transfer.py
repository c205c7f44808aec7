"""The matrix of a circuit transfer: whose heads are kept downward, which task is asked across."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import altair as alt

from ivx.charts.frame import CHOSEN, framed, listed, on_its_data, printed_alone, spec_of
from ivx.charts.palette import Palette

ROW = 62
"""Height of a row in pixels."""
COLUMN, LABELS = 112, 110
TILES = "tiles"


class Tile(NamedTuple):
    """One cell: the share carried with its interval and random sets' mean, None where there is no whole; the overlap of
    both circuits; the cell's name, and what the task's own circuit is worth, in words."""

    row: int
    column: int
    value: float | None
    low: float | None
    high: float | None
    floor: float | None
    overlap: float
    name: str
    whole: str


def transfer_chart(
    tiles: Sequence[Tile],
    *,
    names: Sequence[str],
    palette: Palette,
    chosen: tuple[int, int] | None = None,
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec: the share carried, beneath it its interval and the cell's name; a click selects `cell`."""
    values = [_value(tile, names, palette) for tile in tiles]
    mark = [{"row": chosen[0], "column": chosen[1]}] if chosen else []
    frame = _frame(tuple(names), palette, alt_text)
    return {**frame, "data": {"name": TILES}, "datasets": {TILES: values, CHOSEN: mark}}


def printed_transfer(spec: dict[str, Any], *, title: str, names: int) -> dict[str, Any]:
    """A matrix for print."""
    subtitle = "share [95 % interval], overlap of both circuits; row: whose heads are kept; column: which task is asked"
    return printed_alone(spec, title, width=COLUMN * names + LABELS, subtitle=subtitle)


def _per(share: float) -> str:
    return f"{round(100 * share) + 0:d}%".replace("-", "−")


def _value(tile: Tile, names: Sequence[str], p: Palette) -> dict[str, Any]:
    both = f"{names[tile.row]}’s heads on {names[tile.column]}"
    if tile.value is None or tile.low is None or tile.high is None or tile.floor is None:
        text, ends = "–", "no whole"
        told = f"{both}: {names[tile.column]}’s own heads move it by {tile.whole}, so there is no share"
    else:
        text, ends = _per(tile.value), f"[{_per(tile.low)[:-1]}, {_per(tile.high)[:-1]}]"
        told = f"{both}: {text} {ends}, random sets {_per(tile.floor)}, overlap {_per(tile.overlap)}, {tile.name}"
    return {
        "row": tile.row,
        "column": tile.column,
        "value": 0.0 if tile.value is None else round(min(max(tile.value, -1.0), 1.0), 4),
        "lacking": tile.value is None,
        "text": text,
        "ends": ends,
        "below": f"overlap {_per(tile.overlap)}",
        "name": tile.name if tile.name in ("shared", "phantom", "specific") else "",
        "deep": tile.value is not None and not p.flip[0] <= tile.value <= p.flip[1],
        "told": told,
    }


@lru_cache(maxsize=64)
def _frame(names: tuple[str, ...], p: Palette, alt_text: str) -> dict[str, Any]:
    """All of a matrix but its data."""
    every = list(range(len(names)))
    short = [name.replace("/", ": ").replace("-", " ") for name in names]
    shared: dict[str, Any] = {"labelExpr": f"{listed(short)}[datum.value]", "labelFontSize": 11.5}
    shared |= {"labelColor": p.ink, "titleColor": p.muted, "titleFontSize": 11.5, "titleFontWeight": "normal"}
    across = alt.Axis(orient="top", labelAngle=0, title="task that is asked", labelLimit=COLUMN - 8, **shared)
    down = alt.Axis(title="heads of", labelLimit=LABELS - 14, labelPadding=6, **shared)
    base = alt.Chart().encode(
        x=alt.X("column:O", scale=alt.Scale(domain=every), axis=across),
        y=alt.Y("row:O", scale=alt.Scale(domain=every), axis=down),
    )
    stops = [-1 + 2 * i / (len(p.diverging) - 1) for i in range(len(p.diverging))]
    ramp = alt.Scale(domain=stops, range=list(p.diverging), interpolate="lab", clamp=True)
    fill = (
        alt.when(alt.datum.lacking).then(alt.value(p.nothing)).otherwise(alt.Color("value:Q", legend=None, scale=ramp))
    )
    picked = alt.selection_point(name="cell", fields=["row", "column"], on="click", empty=False, clear=False)
    cells = (
        base.mark_rect(cornerRadius=2, cursor="pointer")
        .encode(color=fill, tooltip=[alt.Tooltip("told:N", title=" ")])
        .add_params(picked)
    )
    ink = (
        alt.when(alt.datum.deep)
        .then(alt.value(p.on_dark))
        .when(alt.datum.lacking)
        .then(alt.value(p.muted))
        .otherwise(alt.value(p.on_light))
    )
    texts = [
        base.encode(text=f"{name}:N", color=ink).mark_text(cursor="pointer", **style)
        for name, style in (
            ("text", {"fontSize": 14, "fontWeight": 700, "dy": -18}),
            ("ends", {"fontSize": 10.5, "dy": -3}),
            ("below", {"fontSize": 10.5, "dy": 10}),
            ("name", {"fontSize": 10.5, "fontWeight": 700, "dy": 23}),
        )
    ]
    outline = (
        alt.Chart(alt.NamedData(name=CHOSEN))
        .mark_rect(filled=False, stroke=p.ink, strokeWidth=2, cornerRadius=2)
        .encode(x="column:O", y="row:O")
    )
    height = ROW * len(names)
    spec = spec_of(framed(alt.layer(cells, *texts, outline), p, height=height, right=2, alt_text=alt_text))
    return on_its_data(spec)
