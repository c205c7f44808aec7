"""The Separability page: what a probe reads at each layer, what the same states do, and both against each other."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import streamlit as st

from ivx.analyses.effects.result import Effects
from ivx.analyses.place.found import At
from ivx.analyses.separability.result import Separability
from ivx.charts.palette import Palette
from ivx.request import BaseRequest
from ivx.ui.kit import address, asking, blanks, checkpoints, choices, following, maps, pieces, places, progress, session
from ivx.ui.separability import geometry, panels, stored, wordings
from ivx.ui.separability.card import card
from ivx.ui.separability.panels import Views
from ivx.ui.separability.subject import (
    APART,
    COLOURS,
    COMPONENTS,
    FURTHER,
    SOURCES,
    Queries,
    Subject,
    acts,
    beside_at_first,
    due,
    others,
    reads,
    stages,
)
from ivx.ui.separability.wordings import AGAIN

LEDE = (
    "A linear probe reads the task from the state of one token; the same state is copied into a bare prompt. <b>What "
    "can be read need not act</b>: the embedded family was trained to differ in just this."
)
ERASURE = "erasure"
PUBLISHED = {"source": "t_inst", "put": "first"}
"""Where states are read and put as published, by the keys of the view."""
OPENED = "ivx.separability.opened"
TOP, BOTTOM = [1.1, 0.62, 1.36], [1.2, 0.95, 1.0]


def controls() -> Queries | None:
    """Draw the controls: checkpoint, task, component, and the token that is read; None for a stored run."""
    if address.from_url(address.RUN, ""):
        kind = "erasure" if session.stored_run("erasure") is not None else "separability"
        session.run_strip(kind, stored.line_of)
        return None
    one, two, three, four = st.columns([1.32, 0.9, 1.12, 0.85], gap="medium", vertical_alignment="bottom")
    checkpoint, task = choices.checkpoint_and_task(one, two)
    following.follow(task, checkpoint)
    address.hold("component", "resid_post", list(COMPONENTS))
    component = three.segmented_control(
        "Component",
        list(COMPONENTS),
        key="component",
        format_func=lambda c: COMPONENTS[c],
        required=True,
        width="stretch",
    )
    way = asking.told_by_instruction(asking.held())
    opened = places.follow(task, checkpoint, way=way, published=PUBLISHED, best=_choices)
    st.session_state[OPENED] = opened
    address.hold("source", "t_inst", list(SOURCES))
    source = four.segmented_control(
        "Read at",
        list(SOURCES),
        key="source",
        format_func=lambda s: SOURCES[s],
        required=True,
        width="stretch",
        help="The instruction’s last token (T_inst), or the last one of the words that name the task (keyword).",
    )
    subject = Subject(checkpoint, str(source or "t_inst"))
    apart = address.from_url("apart", "all", list(APART))
    return Queries(
        (subject, *_beside(subject)),
        task,
        str(component or "resid_post"),
        apart,
        way,
        address.from_url("put", "first"),
    )


def _choices(at: At) -> dict[str, str]:
    """The values that mean a place, where its source token is one that can be read."""
    return {"source": at.source_token, "put": at.position} if at.source_token in SOURCES else {}


def _beside(subject: Subject) -> list[Subject]:
    """Subjects to show beside this one: the address bar's, else those that teach most."""
    first = beside_at_first(subject)
    named = address.from_url("beside", "first")
    if named == "first":
        return first
    return [other for other in others(subject) if other.key in named.split(",")][: len(COLOURS) - 1]


def show(asked: Queries | None, p: Palette) -> None:
    """Everything below the title, as it fills; or a stored run."""
    if asked is None:
        read, erased = session.stored_run("separability"), session.stored_run("erasure")
        if read is not None:
            stored.show_read(read, p)
        elif erased is not None:
            stored.show_erased(erased, p)
        return
    wanted = stages(
        list(asked.subjects),
        asked.task,
        asked.component,
        apart=asked.apart,
        way=asked.way,
        put=asked.put,
        further=wordings.further(),
    )
    requests = due(wanted)
    every = {**requests, ERASURE: asked.main.erase(asked.task, asked.component, asked.way, put=asked.put)}
    _to_url(asked)
    following.said(asks=asking.told_by_instruction, why="what is read and patched here is the state of an instruction")
    places.said(st.session_state[OPENED], only="States are read at its source token, and put at its position.")

    def draw(views: Views) -> None:
        if st.session_state.pop(AGAIN, False) or due(wanted).keys() > requests.keys():
            st.rerun()  # a stage may have ended since `due` was asked above
        _draw(asked, every, views, p)
        _to_url(asked)

    progress.follow_several(every, draw=draw, unasked=(ERASURE,))


def _to_url(asked: Queries) -> None:
    address.to_url(
        checkpoint=asked.main.checkpoint,
        task=asked.task,
        component=asked.component,
        source=asked.main.source,
        put="" if asked.put == "first" else asked.put,
        apart="" if asked.apart == "all" else asked.apart,
        beside="" if st.session_state["beside"] == "first" else st.session_state["beside"] or "none",
        layer=address.from_url("layer", ""),
        **choices.parts_of(asking.INITIAL | asking.PLAIN | places.PLAIN),
        **wordings.address(),
    )


def _draw(asked: Queries, requests: Mapping[str, BaseRequest], views: Views, p: Palette) -> None:
    name = reads(asked.main, asked.component)
    now, act = views[name], views[acts(asked.main)]
    if now is None or now.state in ("refused", "failed") or (now.result is None and (act is None or not act.result)):
        _blank(asked, requests, views, p)
        return
    read: Separability | None = now.result
    effects: Effects | None = None if act is None else act.result
    cells = panels.effect_cells(effects)
    layer = panels.layer_of(asked.component, read, cells)
    layers = read.layers if read is not None else effects.layers if effects is not None else 0
    row = row_of(layers)
    # Probes tell many tasks apart; whether the one that is shown is followed, its effects know.
    pieces.distrust(*(one.receipt for one in (read, effects) if one is not None))
    left, middle, right = st.columns(TOP, gap="medium")
    with left:
        panels.probes_panel(asked, requests, views, read, layer, p, layers=layers, row=row)
    with middle:
        panels.map_panel(asked, act, cells, layer, p, layers=layers, row=row)
    with right:
        places = panels.places_of(asked, views)
        panels.headline_panel(asked, views, places, layer, p, height=row * layers - 18)
    left, _, right = st.columns(TOP, gap="medium", vertical_alignment="center")
    with left:
        panels.apart_picker()
    with right:
        panels.beside_picker(asked)
    progress.running_several(requests, views)
    if read is None or layer is None:
        return
    left, middle, right = st.columns(BOTTOM, gap="medium")
    with left:
        more = views.get(FURTHER)
        told = wordings.Sources(read, None if more is None or more.state in ("refused", "failed") else more.result)
        pending = partial(_pending, requests, views)
        wordings.plane_panel(told, asked.component, layer, asked.task, p, pending=pending)
    with middle:
        wordings.probe_panel(read, asked.component, layer, asked.task, p)
    with right:
        acting = cells.get(asked.component, [])
        card(
            asked.main.erase(asked.task, asked.component, asked.way, put=asked.put),
            read,
            acting,
            layer,
            views[ERASURE],
            p,
        )
    geometry.show(told, asked.component, layer, asked.task, p, pending=pending)
    figures = {"read against act": panels.headline_print(asked, places)}
    stored.foot(read, live=now.live, beside=figures)


def _blank(asked: Queries, requests: Mapping[str, BaseRequest], views: Views, p: Palette) -> None:
    """The page while no layer is probed: its axes, and the card where the headline will be."""
    shown = {name: views[name] for name in (reads(asked.main, asked.component), acts(asked.main))}
    told = blanks.word(next(iter(shown.values())))
    layers = checkpoints.rows_of(asked.main.checkpoint)
    left, middle, right = st.columns(TOP, gap="medium")
    for place, name, labels in ((left, "Linear separability", [""]), (middle, "Effect", list(COMPONENTS.values()))):
        with place:
            pieces.head(name, told)
            maps.blank(layers, p, labels, row=row_of(layers), row_labels=place is left, mono=False)
    own = {name: one for name, one in requests.items() if name != ERASURE}
    with right:
        blanks.card(
            {name: own[name] for name in shown},
            shown,
            about="Every layer is probed, and the same states are patched, each beside its control.",
            button="Probe the layers",
        )


def _pending(requests: Mapping[str, BaseRequest], views: Views) -> None:
    """In the place of what is not done: how far it is, or a button."""
    if FURTHER not in requests:
        pieces.note("Waits for the probes.")
        return
    told, now = {FURTHER: requests[FURTHER]}, views.get(FURTHER)
    if now is not None and now.live:
        pieces.note(f"{now.done} of {now.total} places" if now.total else progress.waiting(told[FURTHER], now))
        return
    blanks.card(told, {FURTHER: now}, about="Every layer’s states are read again.", button="Measure", key="-further")


def row_of(layers: int) -> int:
    """Height of a layer's row."""
    return 30 if layers <= 16 else 12
