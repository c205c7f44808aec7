"""The map: layers upward, tokens or heads across, one cell per effect. A pure function from cells to a spec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import altair as alt

from ivx.charts.frame import CHOSEN, CROWDED, framed, is_chosen, layer_axis, listed, on_its_data, spec_of
from ivx.charts.numbers import signed
from ivx.charts.palette import Palette

HATCH = "M-.9,.5 L-.1,-.9 M-.3,.8 L.5,-.6 M.3,1.1 L1.1,-.3"
"""Three strokes for a cell no better than its control: Vega-Lite has no pattern fills."""

DOTS = "".join(
    f"M{x - 0.12},{y}a.12,.12 0 1,0 .24,0a.12,.12 0 1,0 -.24,0"
    for x, y in ((-0.7, -0.7), (0.7, -0.7), (0, 0), (-0.7, 0.7), (0.7, 0.7))
)
"""Five dots for an estimate whose exact value is to come."""

SHOW_NUMBER = 0.06
"""Least share of the scale at which a cell has a number, or a hatch."""


NARROW = 25
"""Pixels of a column beneath which no number fits."""
UNDEFINED = "undefined"
"""The state of a cell none of whose samples has a finite value."""
PLAIN = ("zero", "empty", UNDEFINED)
"""States whose colour says nothing of their value."""
DATA = "tiles"
"""Name of a map's data in its spec."""
FITS = {"expr": "fits"}
"""Stands in a frame for the opacity of its numbers: whether the columns have room for them."""


@dataclass(frozen=True)
class Tile:
    """What one cell shows: `state` is ok, control, zero, estimate, undefined (its value is NaN), empty (not
    computed), or absent (no such cell).

    `glyph` is one character under the number.
    """

    layer: int
    column: int
    value: float
    state: str
    told: str = ""
    glyph: str = ""


def heatmap(
    tiles: Sequence[Tile],
    labels: Sequence[str],
    *,
    layers: int,
    scale: float,
    palette: Palette,
    selected: tuple[int, int] | None = None,
    bold: int | None = None,
    row_labels: bool = True,
    row: int = 42,
    names: Sequence[str] = (),
    mono: bool = True,
    digits: int = 1,
    alt_text: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec of a map of `layers` rows and `len(labels)` columns; missing tiles are drawn empty.

    Args:
        scale: the colours run over [−scale, scale]; equal on all maps that are compared.
        selected: (layer, column) of the outlined cell; its layer's label is bold.
        bold: the column whose label is bold (the first patched token).
        row, names: height of a row, and what the rows are called where they are not layers.
    """
    frame = _frame(layers, palette=palette, row_labels=row_labels, row=row, names=tuple(names), mono=mono)
    have = {(tile.layer, tile.column): tile for tile in tiles}
    values = []
    for layer in range(layers):
        for column in range(len(labels)):
            tile = have.get((layer, column), Tile(layer, column, 0.0, "empty"))
            share = 0.0 if tile.state == UNDEFINED else tile.value / scale
            strong, roomy = abs(share) >= SHOW_NUMBER, layers <= CROWDED
            values.append(
                {
                    "layer": layer,
                    "column": column,
                    "token": labels[column],
                    "value": None if tile.state == UNDEFINED else round(tile.value, 4),
                    "state": tile.state,
                    "text": signed(tile.value, digits) if strong and roomy and tile.state == "ok" else "",
                    "hatch": strong and tile.state == "control",
                    "deep": tile.state not in PLAIN and not palette.flip[0] <= share <= palette.flip[1],
                    "glyph": ("×" if tile.state == UNDEFINED else tile.glyph) if roomy else "",
                    "told": tile.told or ("not computed" if tile.state == "empty" else ""),
                }
            )
    here: tuple[int, int] | tuple[None, None] = selected or (None, None)
    chosen = [{"layer": here[0], "column": here[1], "bold": bold, "selected": selected is not None}]
    told = {"description": alt_text, "data": {"name": DATA}, "datasets": {DATA: values, CHOSEN: chosen}}
    return {**_filled(frame, labels, scale=scale, palette=palette), **told}


def _filled(frame: dict[str, Any], labels: Sequence[str], *, scale: float, palette: Palette) -> dict[str, Any]:
    """A frame with its columns, their labels, and the values that its colours run over."""
    across = {"domain": list(range(len(labels)))}
    stops = [-scale + 2 * scale * i / (len(palette.diverging) - 1) for i in range(len(palette.diverging))]
    # The plot's width, which the page decides.
    fits = {"expr": f"width / {len(labels)} < {NARROW * palette.letters:g} ? 0 : 1"}

    def layer(one: dict[str, Any]) -> dict[str, Any]:
        told = dict(one["encoding"])
        told["x"] = {**told["x"], "scale": across, "axis": {**told["x"]["axis"], "labelExpr": named_by(labels)}}
        if "scale" in told.get("color", {}):
            told["color"] = {**told["color"], "scale": {**told["color"]["scale"], "domain": stops}}
        mark = {**one["mark"], "opacity": fits} if one["mark"].get("opacity") == FITS else one["mark"]
        return {**one, "mark": mark, "encoding": told}

    return {**frame, "layer": [layer(one) for one in frame["layer"]]}


@lru_cache(maxsize=256)
def _frame(
    layers: int, *, palette: Palette, row_labels: bool, row: int, names: tuple[str, ...], mono: bool
) -> dict[str, Any]:
    """All of a map but its data, its columns and its scale, which every result has its own of. Building it takes a
    hundred times as long as filling it, so it is kept."""
    p = palette
    pick = alt.selection_point(name="cell", fields=["layer", "column"], on="click", empty=False, clear=False)
    # Explicit domains: a layer without data, such as a selection that is not there, must not add to the axes.
    up = alt.Scale(domain=list(range(layers))[::-1])
    y = alt.Y("layer:O", scale=up, title=None, axis=_layer_axis(p, layers, row_labels, names))
    x = alt.X("column:O", title=None, axis=column_axis(p, (), is_chosen("bold"), mono))
    base = alt.Chart().encode(x=x, y=y)
    plain = alt.FieldOneOfPredicate(field="state", oneOf=list(PLAIN))
    base = base.transform_filter("datum.state != 'absent'")
    tiles_mark = (
        base.mark_rect(cornerRadius=2, cursor="pointer")
        .encode(
            color=alt.when(plain)
            .then(alt.value(p.nothing))
            .otherwise(
                alt.Color(
                    "value:Q",
                    legend=None,
                    scale=alt.Scale(range=list(p.diverging), interpolate="lab", clamp=True),
                )
            ),
            opacity=alt.when(alt.datum.state == "empty")
            .then(alt.value(0.55))
            .when(alt.datum.state == "estimate")
            .then(alt.value(0.45))
            .otherwise(alt.value(1)),
            tooltip=[alt.Tooltip("told:N", title=" ")],
        )
        .add_params(pick)
    )
    small = max(0.06, min(1.0, (row / 42) ** 2))
    ink = alt.when(alt.datum.deep).then(alt.value(p.on_dark)).otherwise(alt.value(p.on_light))
    hatch = (
        base.transform_filter("datum.hatch")
        .mark_point(shape=HATCH, size=220 * small, filled=False, strokeWidth=1, opacity=0.75)
        .encode(stroke=ink)
    )
    dots = (
        base.transform_filter("datum.state == 'estimate'")
        .mark_point(shape=DOTS, size=110 * small, filled=True, color=p.muted, opacity=0.7)
        .encode()
    )
    numbers = base.transform_filter("datum.text != ''").encode(text="text:N", color=ink)
    fits = alt.ExprRef(**FITS)
    text = numbers.transform_filter("datum.glyph == ''").mark_text(fontSize=11, opacity=fits)
    raised = numbers.transform_filter("datum.glyph != ''").mark_text(fontSize=11, dy=-6, opacity=fits)
    marks = base.transform_filter("datum.glyph != ''").encode(text="glyph:N", color=ink)
    glyphs = [
        marks.transform_filter(where).mark_text(fontSize=10, dy=dy)
        for where, dy in (("datum.text != ''", 9), ("datum.hatch", 15), ("datum.text == '' && !datum.hatch", 0))
    ]
    chosen = alt.Chart(alt.NamedData(name=CHOSEN)).encode(x=x, y=y).transform_filter("datum.selected")
    under = chosen.mark_rect(cornerRadius=2, fillOpacity=0, stroke=p.background, strokeWidth=5)
    over = chosen.mark_rect(cornerRadius=2, fillOpacity=0, stroke=p.ink, strokeWidth=2.2)
    chart = framed(
        alt.layer(tiles_mark, hatch, dots, text, raised, *glyphs, under, over),
        p,
        height=row * layers,
        right=2,
        alt_text="",
    )
    return on_its_data(spec_of(chart))


def _layer_axis(p: Palette, layers: int, shown: bool, names: Sequence[str]) -> alt.Axis:
    if not shown:
        return alt.Axis(labels=False, minExtent=0, maxExtent=0, title=None)
    return layer_axis(p, layers, strong=is_chosen("layer"), names=names)


def column_axis(p: Palette, labels: Sequence[str], test: str, mono: bool) -> alt.Axis:
    """The axis of columns, labelled by tokens, or by other names that are not `mono`; in ink where the Vega expression
    `test` holds."""
    return alt.Axis(
        orient="bottom",
        labelAngle=0,
        labelExpr=named_by(labels),
        labelFont="Source Code Pro, monospace" if mono else "Source Sans, sans-serif",
        labelFontSize=alt.ExprRef(f"clamp(bandwidth('x') / {4.4 / p.letters:.3g}, 9, 11.5)"),
        labelColor={"condition": {"test": test, "value": p.ink}, "value": p.muted},
        labelFontWeight={"condition": {"test": test, "value": 700}, "value": 400},
        labelOverlap=True,
        # A long token is cut to its column, not into the next one's; where columns are narrow some are left out.
        labelLimit=alt.ExprRef("max(bandwidth('x'), 24)"),
        minExtent=22,
        maxExtent=22,
        labelPadding=7,
    )


def named_by(labels: Sequence[str]) -> str:
    """The Vega expression of a column's label."""
    return f"{listed(labels)}[datum.value]"
