"""The curves under the maps: what can be read of the vector, what is used, how alike vectors are, what is answered."""

from __future__ import annotations

from html import escape

import streamlit as st

from ivx.analyses.compare.differences import accuracies_of as told_of
from ivx.analyses.effects.result import Effects
from ivx.analyses.separability.result import WORDS, ProbeCell, Separability
from ivx.analyses.vectors.result import Alike, Vectors
from ivx.charts.lines import Dot, Line, lines, shown
from ivx.charts.palette import Palette
from ivx.engine.address import STREAM
from ivx.errors import IvxError
from ivx.patching.cells import Cell
from ivx.ui.kit import checkpoints, glossary, pieces
from ivx.ui.training import stages, table
from ivx.ui.training.stages import ROW, Comparing, Views, key, stage

READ = "accuracy of a probe beyond that on shuffled labels"
USED = "change in the share of samples that follow the instruction"
ALIKE = "cosine with the vector of the stage before"


def draw(asked: Comparing, views: Views, where: tuple[int, int] | None, p: Palette) -> None:
    """Three charts of lines and the accuracies, with the marked layer behind them."""
    read, used, alike, answers = st.columns(4, gap="medium")
    layer = None if where is None else where[0]
    with read:
        pieces.head("Can it be read?", _pending(asked, views, "separability", "beyond shuffled"), more=READ)
        _read(asked, views, layer, p)
    with used:
        pieces.head("Is it used?", _pending(asked, views, "effects", "more that follow"), more=USED)
        _used(asked, views, where, p)
    with alike:
        pieces.head("Is it the same vector?", _pending(asked, views, "vectors", "cosine"), more=ALIKE)
        _alike(asked, views, layer, p)
    with answers:
        pieces.head("Does it follow?", "when told")
        _answers(asked, views, p)
    stages.line_legend(asked, p)


def _pending(asked: Comparing, views: Views, part: str, done: str) -> str:
    """What a panel measures, or how many checkpoints it waits for."""
    live = sum(now is not None and now.live for now in (views.get(key(part, name)) for name in asked.names))
    return f"{len(asked.names) - live} of {len(asked.names)} done" if live else done


def _layers(asked: Comparing, views: Views) -> int:
    found = [r.layers for name in asked.names if (r := stages.result(views, "effects", name)) is not None]
    return max(found, default=0) or checkpoints.rows_of(*asked.names)


def _chart(
    asked: Comparing,
    views: Views,
    found: list[Line],
    *,
    domain: tuple[float, float],
    form: str,
    layer: int | None,
    p: Palette,
    about: str,
    first: bool = False,
) -> None:
    layers = _layers(asked, views)
    chart = lines(
        found,
        layers=layers,
        palette=p,
        domain=domain,
        form=form,
        row=ROW if layers <= 16 else 12,
        marked=layer,
        row_labels=first,
        alt_text=about,
    )
    st.vega_lite_chart(chart, theme=None, width="stretch")


def _read(asked: Comparing, views: Views, layer: int | None, p: Palette) -> None:
    colours, found, words = asked.colours(p), [], []
    for name in asked.names:
        result = stages.result(views, "separability", name)
        cells = [] if result is None else _probes(result)
        if result is not None and cells:
            dots = tuple(Dot(c.layer, *(getattr(c.selectivity, b) for b in ("value", "low", "high"))) for c in cells)
            found.append(Line(stage(name), colours[name], dots))
            words.append(result.baseline(WORDS).accuracy.value)
    about = "Probe accuracy minus that on shuffled labels, by layer and checkpoint"
    _chart(asked, views, found, domain=(0, 1), form="percent", layer=layer, p=p, about=about, first=True)
    bag = f"A bag of words: {shown(max(words), 'percent')}." if words else ""
    _told(found, layer, "percent", bag)


@st.cache_data(max_entries=50, show_spinner=False, hash_funcs={Separability: lambda r: (r.run_id, r.table.num_rows)})
def _probes(result: Separability) -> list[ProbeCell]:
    return result.cells(STREAM)


def _used(asked: Comparing, views: Views, where: tuple[int, int] | None, p: Palette) -> None:
    colours, found = asked.colours(p), []
    column = where[1] if where else 0
    ends: list[float] = []
    for name in asked.names:
        result = stages.result(views, "effects", name)
        there = [] if result is None else [c for c in _followed(result) if c.n]
        ends += [end for c in there for end in (c.low, c.high)]  # of every column: a click is not to move the axis
        cells = [c for c in there if c.column == column]
        if cells:
            found.append(Line(stage(name), colours[name], tuple(Dot(c.layer, c.value, c.low, c.high) for c in cells)))
    domain = max(-1.0, min([-0.1, *ends])), min(1.0, max([0.1, *ends]))
    about = "Change of the share of samples that follow, by layer and checkpoint"
    layer = where[0] if where else None
    _chart(asked, views, found, domain=domain, form="change", layer=layer, p=p, about=about)
    _told(found, layer, "change")


@st.cache_data(max_entries=50, show_spinner=False, hash_funcs={Effects: lambda r: (r.run_id, r.table.num_rows)})
def _followed(result: Effects) -> list[Cell]:
    return result.cells(STREAM, "followed")


def _alike(asked: Comparing, views: Views, layer: int | None, p: Palette) -> None:
    colours, found = asked.colours(p), []
    for before, after in asked.steps:
        one, other = (stages.result(views, "vectors", name) for name in (before, after))
        if one is None or other is None:
            continue
        try:
            cells = _cosines(one, other)
        except IvxError as error:
            pieces.refusal("These vectors cannot be compared", str(error), "Compare checkpoints of one family.")
            return
        name = f"{stage(after)} with {stage(before)}"
        found.append(Line(name, colours[after], tuple(Dot(c.layer, c.whole, c.low, c.high) for c in cells)))
        if cells[0].control is not None:
            dots = tuple(Dot(c.layer, *((c.control or 0.0,) * 3)) for c in cells)
            found.append(Line(f"{name}, another task’s", colours[after], dots, thin=True))
    ends = [end for line in found for dot in line.dots for end in (dot.low, dot.high)]
    about = "Cosine of the instruction vectors of two checkpoints, by layer"
    low = -1.0 if min(ends, default=0.0) < -0.25 else min(0.0, *ends, 0.0)
    _chart(asked, views, found, domain=(low, 1), form="number", layer=layer, p=p, about=about)
    _told(found, layer, "number", "Dashed: another task’s.")


@st.cache_data(max_entries=50, show_spinner=False, hash_funcs={Vectors: lambda r: (r.run_id, r.table.num_rows)})
def _cosines(before: Vectors, after: Vectors) -> list[Alike]:
    return after.alike(before)


def _answers(asked: Comparing, views: Views, p: Palette) -> None:
    """Bars: shares of right answers and of answers of the right kind; a tick for right answers when untold."""
    colours, rows = asked.colours(p), []
    for name in asked.names:
        effects: Effects | None = stages.result(views, "effects", name)
        if effects is not None:
            found = told_of(effects, stages.result(views, "vectors", name))
            rows.append((stage(name), found, colours[name]))
    table.accuracies(rows)
    n = rows[0][1].n if rows else 0
    pieces.reading(f"Pale: of the right kind. Tick: untold. n = {n}." if rows else "")


def _told(found: list[Line], layer: int | None, form: str, more: str = "") -> None:
    """What is said under a chart, and every line at the marked layer, which opens on a click."""
    at = _at(found, layer, form)
    opens = f"<details><summary>At L{layer}</summary>{at}</details>" if at else ""
    st.html(f'<div class="ivx-reading">{glossary.marked(more) if found else ""}{opens}</div>')


def _at(found: list[Line], layer: int | None, form: str) -> str:
    """Every line at the marked layer, in words."""
    told = []
    for line in found:
        dot = next((dot for dot in line.dots if dot.layer == layer), None)
        if dot is not None and not line.thin:
            told.append(f"{escape(line.name)} <b>{shown(dot.value, form)}</b>")
    return f"{', '.join(told)}." if told else ""
