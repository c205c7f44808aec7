"""The upper panels of the Separability page: what a probe reads, what the same states do, and one against the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import streamlit as st

from ivx.analyses.effects.result import Effects
from ivx.analyses.separability.result import Separability
from ivx.charts.dumbbell import dumbbell
from ivx.charts.figure import tile
from ivx.charts.headline import Place, headline, headline_figure
from ivx.charts.heatmap import heatmap
from ivx.charts.numbers import scale_of
from ivx.charts.palette import LIGHT, Palette
from ivx.jobs.job import View
from ivx.numeral import index_of
from ivx.patching.cells import Cell
from ivx.request import BaseRequest
from ivx.ui.kit import address, clicks, pieces, progress
from ivx.ui.separability import card
from ivx.ui.separability.subject import (
    APART,
    COLOURS,
    COMPONENTS,
    METRIC,
    Queries,
    Subject,
    acts,
    coloured,
    others,
    reads,
)
from ivx.ui.separability.wordings import AGAIN
from ivx.vocabulary import position

Views = Mapping[str, View | None]


@st.cache_data(max_entries=100, show_spinner=False, hash_funcs={Effects: lambda r: (r.run_id, r.table.num_rows)})
def _judged(effects: Effects) -> dict[str, list[Cell]]:
    return {site: effects.cells(site, METRIC) for site in effects.maps}


def effect_cells(effects: Effects | None) -> dict[str, list[Cell]]:
    return {} if effects is None else _judged(effects)


def layer_of(component: str, read: Separability | None, cells: Mapping[str, list[Cell]]) -> int | None:
    """The selected layer: the address bar's, or that of the strongest finding, or of the most selective probe."""
    asked = index_of(address.from_url("layer", ""), below=None if read is None else read.layers)
    probed = [] if read is None else read.cells(component)
    if asked is not None:
        return asked
    found = [cell for cell in cells.get(component, []) if cell.state == "ok"]
    there = {cell.layer for cell in probed}
    found = [cell for cell in found if cell.layer in there]
    if found:
        return max(found, key=lambda cell: abs(cell.value)).layer
    return max(probed, key=lambda cell: cell.selectivity.value).layer if probed else None


def pick(point: Mapping[str, Any], components: Sequence[str] = ()) -> None:
    """A click in a chart selects its layer, and its component where the chart shows several."""
    st.session_state["layer"] = str(int(point["layer"]))
    told = point.get("component") or (components[int(point["column"])] if components else None)
    if told in COMPONENTS and told != st.session_state.get("component"):
        st.session_state["component"] = told
        st.session_state[AGAIN] = True


def probes_panel(
    asked: Queries,
    requests: Mapping[str, BaseRequest],
    views: Views,
    read: Separability | None,
    layer: int | None,
    p: Palette,
    *,
    layers: int,
    row: int,
) -> None:
    name = reads(asked.main, asked.component)
    now = views[name]
    assert now is not None
    what = f"probe accuracy, {len(read.tasks)} tasks" if read is not None else "probe accuracy"
    if now.live:
        what = f"{now.done} of {now.total} places" if now.total else progress.waiting(requests[name], now)
    pieces.head("Linear separability", what)
    dumbbell_chart(read, asked.component, layer, p, layers=layers, row=row)
    if read is not None:
        pieces.reading(card.probe_reading(read, asked.component, layer))


def dumbbell_chart(
    read: Separability | None, component: str, layer: int | None, p: Palette, *, layers: int, row: int
) -> None:
    chart = dumbbell(
        [] if read is None else read.bells(component),
        layers=layers,
        palette=p,
        row=row,
        selected=layer,
        baselines={} if read is None else read.baselines(),
        alt_text=f"Probe accuracy and its control by layer, {component}",
    )
    clicks.chart(chart, key="bells", picked=pick)


def apart_picker() -> None:
    address.hold("apart", "all", list(APART))
    st.segmented_control(
        "Tasks are told apart",
        list(APART),
        label_visibility="collapsed",
        key="apart",
        format_func=lambda a: APART[a],
        required=True,
        on_change=lambda: st.session_state.update({AGAIN: True}),
        help="All tasks at once, or each against its contrast task only, where a guess is right half the time.",
    )


def map_panel(
    asked: Queries,
    act: View | None,
    cells: Mapping[str, list[Cell]],
    layer: int | None,
    p: Palette,
    *,
    layers: int,
    row: int,
) -> None:
    """The small effect map: a column for each component, at one token."""
    live = act is not None and act.live
    where = f"at {position(asked.put).caption}"
    pieces.head("Effect", progress.status(act) if live and act is not None and act.total else where)
    names = list(COMPONENTS)
    tiles = []
    for column, site in enumerate(names):
        for cell in cells.get(site, []):
            one = tile(cell, [COMPONENTS[site]] * len(names))
            tiles.append(type(one)(one.layer, column, one.value, one.state, one.told))
    every = [cell.value for site in cells.values() for cell in site if cell.state != "zero"]
    scale = scale_of(every)
    chart = heatmap(
        tiles,
        [COMPONENTS[name] for name in names],
        layers=layers,
        scale=scale,
        palette=p,
        selected=None if layer is None else (layer, names.index(asked.component)),
        row_labels=False,
        row=row,
        mono=False,
        alt_text=f"Effect by layer and component, {layers} layers",
    )
    clicks.chart(chart, key=f"acts-{asked.main.key}-{asked.task}", picked=partial(pick, components=names))
    if act is not None and act.state in ("refused", "failed"):
        pieces.note(act.message)
        return
    if not live:
        pieces.reading(f"±{scale:g} logits; hatched: another task’s vector does as much; grey: 0.")


def places_of(asked: Queries, views: Views) -> list[Place]:
    """Dots of the headline chart, from all results so far."""
    found: list[Place] = []
    for subject in asked.subjects:
        act = views.get(acts(subject))
        cells = effect_cells(None if act is None else act.result)
        for component in COMPONENTS:
            now = views.get(reads(subject, component))
            if now is not None and now.result is not None:
                found += _places(subject, component, now.result, cells.get(component, []))
    return found


def headline_print(asked: Queries, places: Sequence[Place]) -> dict[str, Any]:
    """The headline for print."""
    told = f"{asked.task}; probes: {APART[asked.apart]}; effects at {position(asked.put).caption}"
    series = coloured(list(asked.subjects), LIGHT)
    return headline_figure(places, series=series, title="What is read against what acts", subtitle=told)


def headline_panel(
    asked: Queries, views: Views, places: Sequence[Place], layer: int | None, p: Palette, *, height: int
) -> None:
    """Draw the headline chart and its reading."""
    pieces.head("What is read against what acts", "a dot is a layer of a component")
    series = coloured(list(asked.subjects), p)
    told = []
    for subject in asked.subjects:
        act, now = views.get(acts(subject)), views.get(reads(subject, asked.component))
        if now is not None and now.result is not None and not now.live:
            cells = effect_cells(None if act is None else act.result).get(asked.component, [])
            told.append(card.read_and_act(subject.name, now.result.cells(asked.component), cells))
    chart = headline(
        places,
        series=series,
        palette=p,
        component=asked.component,
        selected=None if layer is None else (asked.component, layer),
        height=height,
        alt_text="Selectivity of the probe against the effect beyond its control, a dot for each layer and component",
    )
    clicks.chart(chart, key=f"headline-{asked.main.key}-{asked.task}", picked=pick, by="dot")
    pieces.series(series, ["● stream ■ attention ▲ MLP", "filled: acts beyond its control"])
    pieces.reading(" ".join(told))


def beside_picker(asked: Queries) -> None:
    options = {other.key: other.name for other in others(asked.main)}
    if options:
        st.session_state["beside-pick"] = [subject.key for subject in asked.subjects[1:]]
        st.multiselect(
            "Beside",
            list(options),
            label_visibility="collapsed",
            placeholder="nothing beside it: choose up to two",
            key="beside-pick",
            format_func=lambda key: options.get(key, key),
            max_selections=len(COLOURS) - 1,
            on_change=_beside_picked,
        )


def _beside_picked() -> None:
    st.session_state["beside"] = ",".join(st.session_state["beside-pick"])
    st.session_state[AGAIN] = True


def _places(subject: Subject, component: str, read: Separability, cells: list[Cell]) -> list[Place]:
    effect = {cell.layer: cell for cell in cells if cell.state != "estimate"}
    return [
        Place(
            subject.name,
            component,
            cell.layer,
            cell.selectivity.value,
            effect[cell.layer].value - (effect[cell.layer].control or 0.0),
            effect[cell.layer].state == "ok",
        )
        for cell in read.cells(component)
        if cell.layer in effect
    ]
