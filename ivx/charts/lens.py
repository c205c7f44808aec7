"""The lens grid: layers upward, tokens across, each cell the word that the stream reads there. A pure function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import altair as alt

from ivx.charts.frame import CHOSEN, CROWDED, framed, is_chosen, layer_axis, on_its_data, spec_of
from ivx.charts.heatmap import column_axis
from ivx.charts.palette import Palette

DATA = "words"
"""Name of a grid's data in its spec."""
NARROW = 26
"""Pixels below which a cell holds no word."""
SHADES = {"probability": (4, 3, 2, 1), "change": (4, 5, 6, 7)}
"""What a grid is shaded by, and its stops of the palette from 0 to 1: blue for probability, orange for change."""
DEEP = {"light": {"probability": 0.949, "change": 2.0}, "dark": {"probability": 0.641, "change": 0.676}}
"""Shade from which a word is written in the other ink, since that contrasts more there."""


@dataclass(frozen=True)
class LensCell:
    """One read-out: the most probable tokens with their probabilities, the most probable first.

    `change` is the total variation from the same cell of the unpatched run, and `reached` whether a patch can change
    the cell at all; without a patch they are 0 and True.
    """

    layer: int
    position: int
    token: str
    top: tuple[tuple[str, float], ...]
    change: float = 0.0
    reached: bool = True


def lens_grid(
    cells: Sequence[LensCell],
    tokens: Sequence[str],
    *,
    layers: int,
    palette: Palette,
    by: str = "probability",
    before: Sequence[LensCell] = (),
    chosen: tuple[int, int] | None = None,
    taken: bool = False,
    row_labels: bool = True,
    row: int = 38,
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec of a grid of `layers` rows and `len(tokens)` columns; missing cells are drawn empty.

    Args:
        by: `probability` of the top token, or `change` of the whole distribution, 0 to 1; cells that a patch cannot
            reach are grey then.
        before: the cells of the unpatched run; words that differ from them are bold.
        chosen: the outlined cell (layer, position): orange where a state is `taken` from it, ink where one is put.
    """
    frame = _frame(
        tuple(tokens),
        layers=layers,
        p=palette,
        by=by,
        taken=taken,
        row_labels=row_labels,
        row=row,
        alt_text=alt_text,
    )
    have = {(cell.layer, cell.position): cell for cell in cells}
    was = {(cell.layer, cell.position): cell for cell in before}
    deep = DEEP[palette.name][by]
    values = []
    for layer in range(layers):
        for position, token in enumerate(tokens):
            place = (layer, position)
            point = {"layer": layer, "column": position}
            cell, old = have.get(place), was.get(place)
            if cell is None:
                values.append({**point, "state": "empty", "shade": 0.0, "word": "", "bold": False, "deep": False})
                continue
            word, share = cell.top[0]
            shade = cell.change if by == "change" else share
            values.append(
                {
                    **point,
                    "state": "ok" if cell.reached else "beyond",
                    "shade": round(shade, 4),
                    "word": word,
                    "bold": old is not None and old.top[0][0] != word,
                    "deep": cell.reached and shade >= deep,
                    "told": _tooltip(cell, token, old),
                }
            )
    here = [] if chosen is None else [{"layer": chosen[0], "column": chosen[1], "selected": True}]
    return {**frame, "data": {"name": DATA}, "datasets": {DATA: values, CHOSEN: here}}


def _tooltip(cell: LensCell, token: str, old: LensCell | None) -> str:
    read = ", ".join(f"{word} {share:.0%}" for word, share in cell.top)
    if not cell.reached:
        return f"L{cell.layer} at {token}: {read}; the patch cannot reach it"
    changed = "" if old is None else f"; was {old.top[0][0]} {old.top[0][1]:.0%}, changed by {cell.change:.0%}"
    return f"L{cell.layer} at {token}: {read}{changed}"


@lru_cache(maxsize=128)
def _frame(
    tokens: tuple[str, ...],
    *,
    layers: int,
    p: Palette,
    by: str,
    taken: bool,
    row_labels: bool,
    row: int,
    alt_text: str,
) -> dict[str, Any]:
    """All of a grid but its data."""
    pick = alt.selection_point(name="cell", fields=["layer", "column"], on="click", empty=False, clear=False)
    y = alt.Y(
        "layer:O",
        scale=alt.Scale(domain=list(range(layers))[::-1]),
        title=None,
        axis=layer_axis(p, layers, strong=is_chosen("layer"))
        if row_labels
        else alt.Axis(labels=False, minExtent=0, maxExtent=0, title=None),
    )
    x = alt.X(
        "column:O",
        scale=alt.Scale(domain=list(range(len(tokens)))),
        title=None,
        axis=column_axis(p, tokens, is_chosen("column"), True),
    )
    base = alt.Chart().encode(x=x, y=y)
    stops = SHADES[by]
    colour = alt.Color(
        "shade:Q",
        legend=None,
        scale=alt.Scale(
            domain=[i / (len(stops) - 1) for i in range(len(stops))],
            range=[p.diverging[i] for i in stops],
            interpolate="lab",
            clamp=True,
        ),
    )
    plain = alt.FieldOneOfPredicate(field="state", oneOf=["empty", "beyond"])
    fill = (
        base.mark_rect(cornerRadius=2, cursor="pointer")
        .encode(
            color=alt.when(plain).then(alt.value(p.nothing)).otherwise(colour),
            opacity=alt.when(alt.datum.state == "empty").then(alt.value(0.55)).otherwise(alt.value(1)),
            tooltip=[alt.Tooltip("told:N", title=" ")],
        )
        .add_params(pick)
    )
    ink = (
        alt.when(alt.datum.state == "beyond")
        .then(alt.value(p.muted))
        .when(alt.datum.deep)
        .then(alt.value(p.on_dark))
        .otherwise(alt.value(p.on_light))
    )
    named = base.transform_filter("datum.word != ''").encode(text="word:N", color=ink)
    room: dict[str, Any] = {
        "limit": alt.ExprRef("bandwidth('x') - 3"),
        "opacity": alt.ExprRef(f"bandwidth('x') < {NARROW} ? 0 : 1"),
        "font": "Source Code Pro, monospace",
        "fontSize": alt.ExprRef(f"bandwidth('x') < 46 ? 9 : {10.5 if layers <= CROWDED else 9}"),
    }
    words = [
        named.transform_filter("!datum.bold").mark_text(**room),
        named.transform_filter("datum.bold").mark_text(fontWeight=700, **room),
    ]
    picked = alt.Chart(alt.NamedData(name=CHOSEN)).encode(x=x, y=y)
    under = picked.mark_rect(cornerRadius=2, fillOpacity=0, stroke=p.background, strokeWidth=5)
    over = picked.mark_rect(cornerRadius=2, fillOpacity=0, stroke=p.orange if taken else p.ink, strokeWidth=2.2)
    chart = framed(alt.layer(fill, *words, under, over), p, height=row * layers, right=2, alt_text=alt_text)
    spec = spec_of(chart)
    return on_its_data(spec)
