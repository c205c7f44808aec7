"""Figures: maps as they are printed, of one fixed width, light, and titled, since no page stands around them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from copy import deepcopy
from textwrap import wrap
from typing import Any, Protocol

import altair as alt

from ivx.charts.frame import CROWDED, marked
from ivx.charts.heatmap import Tile, heatmap
from ivx.charts.numbers import Judged, scale_of, signed
from ivx.charts.palette import LIGHT

WRAPPED = 60
"""Least characters of a line of a note."""
COLUMN = 70
"""Width of a printed map's column."""


class JudgedCell(Judged, Protocol):
    """What is drawn of a cell: its place, and its value with interval, control and verdict.

    `state` is `ok`, `control`, `zero` or `estimate`; an estimate has no interval.
    """

    @property
    def layer(self) -> int: ...
    @property
    def column(self) -> int: ...


def tile(cell: JudgedCell, labels: Sequence[str]) -> Tile:
    """The tile that shows a cell, with its tooltip."""
    if cell.state == "estimate":
        return Tile(cell.layer, cell.column, cell.value, cell.state, "an estimate; the exact value is being computed")
    control = "" if cell.control is None else f", control {signed(cell.control, 2)}"
    told = (
        f"L{cell.layer} {labels[cell.column]}: {signed(cell.value, 2)} [{signed(cell.low, 2)}, {signed(cell.high, 2)}]"
    )
    return Tile(cell.layer, cell.column, cell.value, cell.state, told + control)


def figure(
    cells: Sequence[JudgedCell],
    labels: Sequence[str],
    *,
    layers: int,
    site: str,
    what: str,
    unit: str,
    scale: float | None = None,
    name: str = "",
) -> dict[str, Any]:
    """The Vega-Lite spec of one map for print: its title says where and `what`; nothing can be clicked.

    `scale` is shared by maps that are compared (default: the map's own); `name` stands in the title before the site.
    """
    scale = scale or scale_of([cell.value for cell in cells if cell.state != "zero"])
    tiles = [tile(cell, labels) for cell in cells]
    row = 42 if layers <= CROWDED else 14
    spec = heatmap(tiles, labels, layers=layers, scale=scale, palette=LIGHT, row=row, mono=site != "z")
    return printed(spec, title=f"{name}{', ' if name else ''}{site}: {what}", unit=unit, width=COLUMN * len(labels))


def printed(spec: dict[str, Any], *, title: str, unit: str, width: int, marks: Sequence[str] = ()) -> dict[str, Any]:
    """A map's spec for print: titled, with a legend of its colours and a line on its other marks."""
    tiles = deepcopy(spec["layer"][0])
    end = tiles["encoding"]["color"]["scale"]["domain"][-1]
    tiles["encoding"]["color"]["legend"] = {
        "title": unit,
        "titleFontWeight": 400,
        "gradientLength": 120,
        "gradientThickness": 9,
        "values": [-end, 0, end],
        "labelExpr": "datum.value == 0 ? '0' : format(datum.value, '+~g')",
    }
    subtitle = ["hatched: no better than a control; grey: not different from 0", *marks]
    told = {"text": title, "subtitle": subtitle, "anchor": "start", "subtitleColor": LIGHT.muted}
    whole = {**spec, "layer": [tiles, *spec["layer"][1:]], "width": width, "title": told}
    return {key: value for key, value in whole.items() if key not in ("params", "usermeta")}


def noted(spec: dict[str, Any], note: str) -> dict[str, Any]:
    """A printed figure with a note under its title, in lines of its width; the same figure where there is none."""
    if not note:
        return spec
    told = spec["title"] if isinstance(spec["title"], dict) else {"text": spec["title"]}
    under = told.get("subtitle", [])
    lines = wrap(note, max(WRAPPED, spec["width"] // 6)) + ([under] if isinstance(under, str) else list(under))
    return {**spec, "title": {**told, "subtitle": lines}}


def beside(figures: Sequence[dict[str, Any]]) -> alt.HConcatChart:
    """Figures side by side as one Altair chart."""
    parts = [part(spec) for spec in figures]
    shared = {key: figures[0][key] for key in ("config", "background", "$schema")}
    named = {param["name"]: param for spec in figures for param in spec.get("params", [])}
    own = {"scale": {"color": "independent"}}  # else each would be drawn on the scale of the first
    return alt.HConcatChart.from_dict({**shared, "params": list(named.values()), "hconcat": parts, "resolve": own})


def part(spec: dict[str, Any]) -> dict[str, Any]:
    """A figure of fixed width without what belongs to a whole chart, and with its data in place of their names."""
    whole = ("config", "background", "$schema", "padding", "autosize", "datasets", "params", "usermeta")
    own = _measured(marked({key: value for key, value in spec.items() if key not in whole}, spec["datasets"]))

    def filled(one: dict[str, Any]) -> dict[str, Any]:
        name = one.get("data", {}).get("name")
        return {**one, "data": {"values": spec["datasets"][name]}} if name in spec["datasets"] else one

    # Layers of one name would share the marks of the last figure.
    layers = [{key: value for key, value in layer.items() if key != "name"} for layer in own["layer"]]
    return filled({**own, "layer": [filled(layer) for layer in layers]})


def _measured(spec: dict[str, Any]) -> dict[str, Any]:
    """The figure with its width, and that of a column, in place of their names: a whole chart has neither."""
    scales = (layer.get("encoding", {}).get("x", {}).get("scale") or {} for layer in spec["layer"])
    columns = max((len(scale.get("domain", ())) for scale in scales), default=0)
    written = json.dumps(spec)
    written = written.replace("bandwidth('x')", f"{spec['width'] / max(1, columns):.1f}")
    measured: dict[str, Any] = json.loads(re.sub(r"\bwidth /", f"{spec['width']} /", written))
    return measured
