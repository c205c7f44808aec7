"""The Separability page: what a probe reads at each layer, what the same states do, and both against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from ivx.analysis.result import Cell, Effects
from ivx.analysis.separation import Separability
from ivx.charts.dumbbell import dumbbell
from ivx.charts.figure import tile
from ivx.charts.headline import Place, headline
from ivx.charts.heatmap import heatmap, scale_of
from ivx.charts.palette import Palette
from ivx.runs.job import View
from ivx.runs.request import BaseRequest
from ivx.ui import exports, jobs, parts, pickers, readings, view, wordings
from ivx.ui.layer import card
from ivx.ui.subject import (
    APART,
    COLOURS,
    COMPONENTS,
    SOURCES,
    Subject,
    acts,
    beside_at_first,
    coloured,
    due,
    others,
    reads,
    stages,
)

LEDE = (
    "A linear probe reads the task from the state of one token; the same state is then copied into a prompt that has "
    "no instruction. What can be read need not act. The embedded family was trained to differ in just this."
)
METRIC = "contrast"
TOP, BOTTOM = [1.1, 0.62, 1.36], [1.2, 0.95, 1.0]
AGAIN = "ivx.separability.again"
"""Set by a control inside the live part that changes what is asked: the whole page is run once more."""

Views = Mapping[str, View | None]


@dataclass(frozen=True)
class Asked:
    """What the controls say: the subject first, then those beside it."""

    subjects: tuple[Subject, ...]
    task: str
    component: str
    apart: str

    @property
    def main(self) -> Subject:
        """Whose layers are shown."""
        return self.subjects[0]


def controls() -> Asked | None:
    """The strip: checkpoint, task, component, and the token that is read; of a stored run, none."""
    if view.from_url(view.RUN, ""):
        view.run_strip("separability", lambda asked: f"{asked.checkpoint} · {', '.join(asked.components)}")
        return None
    one, two, three, four = st.columns([1.2, 1.0, 1.12, 0.85], gap="medium", vertical_alignment="bottom")
    checkpoint, task = pickers.checkpoint_and_task(one, two)
    view.from_url("component", "resid_post", list(COMPONENTS))
    component = three.segmented_control(
        "Component",
        list(COMPONENTS),
        key="component",
        format_func=lambda c: COMPONENTS[c],
        required=True,
        width="stretch",
        help="The residual stream after a block, or what its attention or its MLP adds to it.",
    )
    view.from_url("source", "t_inst", list(SOURCES))
    source = four.segmented_control(
        "Read at",
        list(SOURCES),
        key="source",
        format_func=lambda s: SOURCES[s],
        required=True,
        width="stretch",
        help="The instruction’s last token (T_inst), or the last token of the words that name the task (keyword).",
    )
    subject = Subject(checkpoint, str(source or "t_inst"))
    apart = view.from_url("apart", "all", list(APART))
    return Asked((subject, *_beside(subject)), task, str(component or "resid_post"), apart)


def _beside(subject: Subject) -> list[Subject]:
    """Who stands beside the subject: by the address bar, else as it teaches most."""
    first = beside_at_first(subject)
    named = view.from_url("beside", "first")
    if named == "first":
        return first
    return [other for other in others(subject) if other.key in named.split(",")][: len(COLOURS) - 1]


def show(asked: Asked | None, p: Palette) -> None:
    """Everything below the title, as it fills; or a stored run."""
    if asked is None:
        found = view.stored_run("separability")
        if found is not None:
            _stored(found, p)
        return
    wanted = stages(list(asked.subjects), asked.task, asked.component, apart=asked.apart)
    requests = due(wanted)
    erase = asked.main.erase(asked.task, asked.component)
    if view.job(erase, compute=False) is not None:
        requests["erasure"] = erase
    _to_url(asked)

    def draw(views: Views) -> None:
        if st.session_state.pop(AGAIN, False):
            st.rerun()
        _draw(asked, requests, views, p)
        _to_url(asked)

    jobs.follow_several(requests, draw=draw)


def _to_url(asked: Asked) -> None:
    view.to_url(
        checkpoint=asked.main.checkpoint,
        task=asked.task,
        component=asked.component,
        source=asked.main.source,
        apart="" if asked.apart == "all" else asked.apart,
        beside="" if st.session_state["beside"] == "first" else st.session_state["beside"] or "none",
        layer=view.from_url("layer", ""),
        **wordings.address(),
    )


def _draw(asked: Asked, requests: Mapping[str, BaseRequest], views: Views, p: Palette) -> None:
    name = reads(asked.main, asked.component)
    now, act = views[name], views[acts(asked.main)]
    if now is None:
        _empty(requests)
        return
    if now.state in ("refused", "failed"):
        jobs.ended_badly(requests[name], now)  # type: ignore[arg-type]
        return
    read: Separability | None = now.result
    effects: Effects | None = None if act is None else act.result
    cells = _effect_cells(effects)
    layer = _layer(asked.component, read, cells)
    layers = read.layers if read is not None else effects.layers if effects is not None else 8
    row = 30 if layers <= 16 else 12
    if read is not None:
        parts.distrust(read.receipt)
    left, middle, right = st.columns(TOP, gap="medium")
    with left:
        _probes(asked, requests, views, read, layer, p, layers=layers, row=row)
    with middle:
        _map(asked, act, cells, layer, p, layers=layers, row=row)
    with right:
        _headline(asked, views, layer, p, height=row * layers - 18)
    left, _, right = st.columns(TOP, gap="medium", vertical_alignment="center")
    with left:
        _apart()
    with right:
        _beside_picker(asked)
    _running(requests, views)
    if read is None or layer is None:
        return
    left, middle, right = st.columns(BOTTOM, gap="medium")
    with left:
        wordings.plane_panel(read, asked.component, layer, asked.task, p)
    with middle:
        wordings.probe_panel(read, asked.component, layer, asked.task, p)
    with right:
        erased = views.get("erasure")
        card(asked.main.erase(asked.task, asked.component), read, cells.get(asked.component, []), layer, erased, p)
    _foot(read, live=now.live)


def _empty(requests: Mapping[str, BaseRequest]) -> None:
    parts.head("Linear separability", "nothing asked yet")
    st.write("Every layer is probed, and the same states are patched, each beside its control; minutes on a CPU.")
    if st.button("Probe the layers", type="primary"):
        for request in requests.values():
            view.start(request)
        st.rerun()


@st.cache_data(max_entries=100, show_spinner=False, hash_funcs={Effects: lambda r: (r.run_id, r.table.num_rows)})
def _judged(effects: Effects) -> dict[str, list[Cell]]:
    return {site: effects.cells(site, METRIC) for site in effects.maps}


def _effect_cells(effects: Effects | None) -> dict[str, list[Cell]]:
    return {} if effects is None else _judged(effects)


def _layer(component: str, read: Separability | None, cells: Mapping[str, list[Cell]]) -> int | None:
    """The selected layer: the address bar's, or that of the strongest finding, or of the most selective probe."""
    asked = view.from_url("layer", "")
    probed = [] if read is None else read.cells(component)
    if asked.isdigit() and (read is None or int(asked) < read.layers):
        return int(asked)
    found = [cell for cell in cells.get(component, []) if cell.state == "ok"]
    there = {cell.layer for cell in probed}
    found = [cell for cell in found if cell.layer in there]
    if found:
        return max(found, key=lambda cell: abs(cell.value)).layer
    return max(probed, key=lambda cell: cell.selectivity.value).layer if probed else None


def _pick(key: str, name: str, components: list[str] | None = None) -> None:
    """A click in a chart selects its layer, and its component where the chart shows several."""
    points = st.session_state[key]["selection"].get(name) or []
    if not points:
        return
    point = points[0]
    st.session_state["layer"] = str(int(point["layer"]))
    told = point.get("component") or (components[int(point["column"])] if components else None)
    if told in COMPONENTS and told != st.session_state.get("component"):
        st.session_state["component"] = told
        st.session_state[AGAIN] = True


def _probes(
    asked: Asked,
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
        what = f"{now.done} of {now.total} places" if now.total else jobs.waiting(requests[name], now)  # type: ignore[arg-type]
    parts.head("Linear separability", what)
    _dumbbell(read, asked.component, layer, p, layers=layers, row=row)
    if read is not None:
        parts.reading(readings.probe_reading(read, asked.component, layer))


def _dumbbell(
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
    key = "bells-none" if read is None else f"bells-{read.run_id}-{component}"
    st.vega_lite_chart(
        chart, key=key, theme=None, width="stretch", on_select=lambda: _pick(key, "cell"), selection_mode="cell"
    )


def _apart() -> None:
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


def _map(
    asked: Asked,
    act: View | None,
    cells: Mapping[str, list[Cell]],
    layer: int | None,
    p: Palette,
    *,
    layers: int,
    row: int,
) -> None:
    """The small effect map: a column for each component, at the first token."""
    live = act is not None and act.live
    parts.head("Effect", jobs.status(act) if live and act is not None and act.total else "at the first token")
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
    key = f"acts-{asked.main.key}-{asked.task}"
    st.vega_lite_chart(
        chart, key=key, theme=None, width="stretch", on_select=lambda: _pick(key, "cell", names), selection_mode="cell"
    )
    if act is not None and act.state in ("refused", "failed"):
        parts.note(act.message)
        return
    if not live:
        parts.reading(f"−{scale:g} to +{scale:g} logits; hatched: another task’s vector does as much; grey: 0.")


def _headline(asked: Asked, views: Views, layer: int | None, p: Palette, *, height: int) -> None:
    parts.head("What is read against what acts", "a dot is a layer of a component")
    series = coloured(list(asked.subjects), p)
    places: list[Place] = []
    told = []
    for subject in asked.subjects:
        act = views.get(acts(subject))
        cells = _effect_cells(None if act is None else act.result)
        for component in COMPONENTS:
            now = views.get(reads(subject, component))
            if now is not None and now.result is not None:
                places += _places(subject, component, now.result, cells.get(component, []))
        now = views.get(reads(subject, asked.component))
        if now is not None and now.result is not None and not now.live:
            told.append(
                readings.read_and_act(subject.name, now.result.cells(asked.component), cells.get(asked.component, []))
            )
    chart = headline(
        places,
        series=series,
        palette=p,
        component=asked.component,
        selected=None if layer is None else (asked.component, layer),
        height=height,
        alt_text="Selectivity of the probe against the effect beyond its control, a dot for each layer and component",
    )
    key = f"headline-{asked.main.key}-{asked.task}"
    st.vega_lite_chart(
        chart, key=key, theme=None, width="stretch", on_select=lambda: _pick(key, "dot"), selection_mode="dot"
    )
    parts.series(series, ["● stream ■ attention ▲ MLP", "filled: beats its control"])
    parts.reading(" ".join(told))


def _beside_picker(asked: Asked) -> None:
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


def _running(requests: Mapping[str, BaseRequest], views: Views) -> None:
    """How far all that is asked has come, and the way to end it."""
    live = {name: now for name, now in views.items() if now is not None and now.live}
    if live:
        bar, stop = st.columns([4, 1], gap="medium", vertical_alignment="center")
        with bar:
            ended = sum(now is not None and not now.live for now in views.values())
            shares = [now.done / now.total for now in live.values() if now.total]
            parts.progress(int(100 * (ended + sum(shares))), 100 * len(views))
        if stop.button("Stop, keep what is done", key="stop", width="stretch"):
            for name in live:
                view.leave(requests[name])
            st.rerun()
    elif any(now is not None and now.state == "stopped" for now in views.values()):
        st.caption("Stopped; what was done is kept, and a new start goes on from there.")
        if st.button("Go on"):
            for name, now in views.items():
                if now is not None and now.state == "stopped":
                    view.start(requests[name])
            st.rerun()


def _foot(read: Separability, *, live: bool) -> None:
    request = read.request
    strip, export = st.columns([6, 1], gap="medium", vertical_alignment="bottom")
    with strip:
        folds = f"{request.repeats} × {request.folds} folds by paraphrase family"
        parts.trust(read.receipt, rows=f"n = {len(read.wordings)} wordings · {folds} · every fit converged")
    if not live:
        with export:
            exports.offer(read, METRIC)
    for warning in read.receipt["warnings"]:
        parts.note(warning)


def _stored(read: Separability, p: Palette) -> None:
    """A stored run by itself: what was read; what acts is another run."""
    component = view.from_url("component", read.request.components[0], list(read.request.components))
    layer = _layer(component, read, {})
    assert layer is not None
    parts.distrust(read.receipt)
    left, middle, right = st.columns([1.1, 1.2, 1.0], gap="medium")
    with left:
        parts.head("Linear separability", f"probe accuracy, {len(read.tasks)} tasks, {component}")
        _dumbbell(read, component, layer, p, layers=read.layers, row=38 if read.layers <= 16 else 12)
        parts.reading(readings.probe_reading(read, component, layer))
        if len(read.request.components) > 1:
            st.segmented_control("Component", list(read.request.components), key="component", required=True)
    with middle:
        wordings.plane_panel(read, component, layer, read.tasks[0], p)
    with right:
        wordings.probe_panel(read, component, layer, read.tasks[0], p)
    _foot(read, live=False)
    view.to_url(run=read.run_id, component=component, layer=layer, **wordings.address())
