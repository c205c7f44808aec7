"""The Post-training page: its strip, and the view of effects: maps, differences, and curves of all checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import streamlit as st

from ivx.analyses.compare.differences import effect_differences
from ivx.analyses.compare.request import FEWEST, Compared
from ivx.analyses.compare.result import Member
from ivx.analyses.effects.result import Effects
from ivx.analyses.place.found import At
from ivx.charts.figure import tile
from ivx.charts.heatmap import heatmap
from ivx.charts.numbers import scale_of, signed
from ivx.charts.palette import Palette
from ivx.engine.address import STREAM
from ivx.errors import IvxError
from ivx.patching.cells import Cell
from ivx.stats.metrics import METRICS
from ivx.ui.kit import address, asking, checkpoints, choices, clicks, following, glossary, pieces, places, progress
from ivx.ui.kit.maps import column_at
from ivx.ui.training import curves, exchange, pairs, stages, table, transplants
from ivx.ui.training.place import OPENED, PLACED, PUBLISHED, at_of, chosen_place, in_url
from ivx.ui.training.readings import difference_reading
from ivx.ui.training.stages import ROW, Comparing, Views, difference, key, stage
from ivx.ui.training.table import Row

SHOW = {"effects": "effects", "pairs": "pairs", "transplant": "transplant", "exchange": "vector or reader"}
QUESTIONS = {
    "effects": "When does the instruction vector become causal?",
    "pairs": "When do layers begin to act together?",
    "transplant": transplants.QUESTION,
    "exchange": exchange.QUESTION,
}
Maps = dict[str, list[Cell]]
Where = tuple[int, int] | None
"""(layer, column) that is marked in every panel."""


def controls() -> Comparing:
    """Draw the controls: family, task, metric, and what is shown."""
    one, two, three, four, five = st.columns([1.0, 0.85, 0.6, 1.65, 0.5], gap="small", vertical_alignment="bottom")
    address.hold("show", "effects", list(SHOW))
    show = four.segmented_control(
        "Show", list(SHOW), key="show", format_func=lambda s: SHOW[s], required=True, width="stretch"
    )
    names = stages.chosen_names(one)
    task = stages.chosen_task(two, names)
    following.follow(task, *names)
    metric = choices.metric(three)
    with choices.popover(five, asking.INITIAL | asking.PLAIN | places.PLAIN):
        told = asking.way()
    view = str(show or "effects")
    opened = places.follow(task, *names, way=asking.held(), published=PUBLISHED, best=at_of)
    st.session_state[OPENED] = opened
    found = opened.found is not None and opened.found.at is not None
    at = chosen_place(view) if view in PLACED or found else {}
    return Comparing(names, Compared(task, **told, **at), metric, view)


def show(asked: Comparing, p: Palette) -> None:
    """Draw the chosen view of the chosen checkpoints."""
    if len(asked.names) < FEWEST:
        pieces.title(QUESTIONS[asked.show], "Two to six checkpoints are compared, the earliest first.")
        pieces.refusal("Nothing to compare yet", f"{len(asked.names)} chosen.", "Choose two checkpoints or more above.")
        return
    following.said()
    places.said(st.session_state[OPENED])
    if asked.show == "pairs":
        requests = asked.requests("interactions")
        progress.follow_several(requests, draw=lambda views: pairs.draw(asked, requests, views, p))
    elif asked.show == "transplant":
        transplants.show(asked, p)
    elif asked.show == "exchange":
        exchange.show(asked, p)
    else:
        requests = asked.requests("effects", "vectors", "separability")
        progress.follow_several(requests, draw=lambda views: _draw(asked, requests, views, p))


def _draw(asked: Comparing, requests: dict, views: Views, p: Palette) -> None:
    found = {name: stages.result(views, "effects", name) for name in asked.names}
    there = {name: effects for name, effects in found.items() if effects is not None}
    maps: Maps = {name: _cells(effects, asked.metric) for name, effects in there.items()}
    where = _chosen(there, maps, at=st.session_state[OPENED].at)
    differences: Maps = {}
    refused: dict[str, str] = {}
    for step in asked.steps:
        if all(name in there for name in step):
            try:
                differences[step[1]] = _differences(there[step[0]], there[step[1]], asked.metric)
            except IvxError as error:
                refused[step[1]] = str(error)
    every = [cell.value for cells in (*maps.values(), *differences.values()) for cell in cells if cell.state != "zero"]
    scale = scale_of(every)
    pieces.title(QUESTIONS["effects"], _lede(asked, there, maps, where))
    if not there:
        about = "Every layer × position is patched, every layer probed, and the vectors of all checkpoints compared."
        stages.blank(asked, requests, views, about=about)
    pieces.distrust(*(effects.receipt for effects in there.values()))
    places = [place for row in stages.rows_of(len(asked.names)) for place in row]
    for k, (name, place) in enumerate(zip(asked.names, places, strict=True)):
        with place:
            pieces.head(stage(name), stages.status(views[key("effects", name)], ""))
            _map(there.get(name), maps.get(name, []), scale, where, p, name=name, first=k == 0)
    pending = any(cell.state == "estimate" for cells in maps.values() for cell in cells)
    pieces.legend(p, scale, METRICS[asked.metric].unit, pending=pending, ends=METRICS[asked.metric].ends)
    places = [place for row in stages.rows_of(len(asked.names)) for place in row]
    with places[0]:
        _card(asked, there, maps, differences, where, p)
        stages.stop(views, requests)
    for step, place in zip(asked.steps, places[1:], strict=True):
        with place:
            pieces.head(difference(step), "paired", more="difference over the same samples")
            if step[1] in refused:
                pieces.refusal("No difference", refused[step[1]], "Compare checkpoints of one family.")
                continue
            cells = differences.get(step[1], [])
            _map(there.get(step[1]), cells, scale, where, p, name=f"difference-{step[1]}", first=place is places[1])
            pieces.reading(
                difference_reading(cells, there[step[1]].maps[STREAM]) if cells else "",
                there[step[1]].receipt if step[1] in there else {},
            )
    curves.draw(asked, views, where, p)
    if there:
        stages.trouble(views, requests)
    members = [
        Member(
            name,
            effects,
            separability=stages.result(views, "separability", name),
            vectors=stages.result(views, "vectors", name),
        )
        for name, effects in there.items()
    ]
    stages.foot(asked, list(there.values()), members, views)
    stages.to_url(asked, **in_url(asked))


@st.cache_data(max_entries=200, show_spinner=False, hash_funcs={Effects: lambda r: (r.run_id, r.table.num_rows)})
def _cells(result: Effects, metric: str) -> list[Cell]:
    return result.cells(STREAM, metric)


@st.cache_data(max_entries=200, show_spinner=False, hash_funcs={Effects: lambda r: (r.run_id, r.table.num_rows)})
def _differences(before: Effects, after: Effects, metric: str) -> list[Cell]:
    return effect_differences(before, after, site=STREAM, metric=metric)


def _chosen(there: dict[str, Effects], maps: Maps, *, at: At | None) -> Where:
    """The clicked cell, or the address bar's, or the strongest finding at the first token of any checkpoint, or at the
    place."""
    asked = address.from_url("cell", "")
    done = [cell for cells in maps.values() for cell in cells if cell.state != "estimate"]
    named = next((cell for cell in done if cell.patch == asked), None)
    column = column_at(next(iter(there.values())), at) if there else 0
    first = [cell for cell in done if cell.column == column]
    found = named or max(first, key=lambda c: (c.state == "ok", abs(c.value)), default=None)
    return None if found is None else (found.layer, found.column)


def _lede(asked: Comparing, there: dict[str, Effects], maps: Maps, where: Where) -> str:
    """What each checkpoint does at the marked cell; ivx's own text."""
    far = glossary.explained("how far the answer moves", f"{METRICS[asked.metric].about.capitalize()}.")
    what = f"Each cell puts one state of the instructed run into the bare prompt: {far}."
    if where is None:
        return what
    label = escape(next(iter(there.values())).maps[STREAM][where[1]].label)
    told = []
    for name, cells in maps.items():
        cell = at(cells, where)
        if cell is not None and cell.state != "estimate":
            said = {"ok": "", "control": " (no better than its control)", "zero": " (not different from 0)"}[cell.state]
            told.append(f"{escape(stage(name))} <b>{signed(cell.value)}</b>{said}")
    return f"Layer {where[0]} into {label}: {', '.join(told)}." if told else what


def at(cells: list[Cell], where: tuple[int, int]) -> Cell | None:
    """The cell at a layer and column."""
    return next((cell for cell in cells if (cell.layer, cell.column) == where), None)


def _map(
    result: Effects | None, cells: list[Cell], scale: float, where: Where, p: Palette, *, name: str, first: bool
) -> None:
    labels = [column.label for column in result.maps[STREAM]] if result is not None else [""] * 6
    layers = result.layers if result is not None else checkpoints.rows_of(name.removeprefix("difference-"))
    chart = heatmap(
        [tile(cell, labels) for cell in cells],
        labels,
        layers=layers,
        scale=scale,
        palette=p,
        selected=where,
        bold=where[1] if where else 0,
        row=ROW if layers <= 16 else 12,
        row_labels=first,
        alt_text=f"{name}, {layers} layers by {len(labels)} positions",
    )
    if result is None:
        st.vega_lite_chart(chart, theme=None, width="stretch")
        return

    def picked(point: Mapping[str, Any]) -> None:
        st.session_state["cell"] = result.address(STREAM, int(point["layer"]), int(point["column"]))

    clicks.chart(chart, key=f"training-{name}-{result.run_id}", picked=picked)


def _card(asked: Comparing, there: dict[str, Effects], maps: Maps, differences: Maps, where: Where, p: Palette) -> None:
    """Every checkpoint at the marked cell with interval and control, then every difference there."""
    if where is None:
        pieces.head("One cell", "nothing is computed yet")
        return
    label = next(iter(there.values())).maps[STREAM][where[1]].label
    pieces.head(f"Layer {where[0]}, {label}", "95% intervals")
    colours = asked.colours(p)
    rows = [Row.of(stage(name), cell, colours[name]) for name, cells in maps.items() if (cell := at(cells, where))]
    changed = {
        difference(step): cell
        for step in asked.steps
        if step[1] in differences and (cell := at(differences[step[1]], where))
    }
    rows += [Row.of(name, cell, p.muted) for name, cell in changed.items()]
    table.table([row for row in rows if row.state != "estimate"])
    table.unsure(changed)
