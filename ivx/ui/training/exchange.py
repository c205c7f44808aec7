"""The view of the 2 × 2: whose vector does what in which model, and which of the two post-training taught."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from html import escape
from itertools import product

import streamlit as st

from ivx.analyses.compare.exchange import Change, Crossed, Exchange, Key
from ivx.analyses.compare.text import listed, says, short
from ivx.analyses.transplant.result import Transplant
from ivx.analyses.vectors.result import Vectors, check_shapes
from ivx.charts.exchange import exchange_chart
from ivx.charts.numbers import scale_of
from ivx.charts.palette import Palette
from ivx.errors import IvxError
from ivx.jobs.compute import id_of
from ivx.jobs.worker import worker
from ivx.request import BaseRequest
from ivx.stats.metrics import METRICS
from ivx.ui.kit import checkpoints, exports, pieces, progress, session
from ivx.ui.kit.choices import task_name
from ivx.ui.training import stages, table
from ivx.ui.training.place import chosen_layers, chosen_tasks, in_url
from ivx.ui.training.stages import Comparing, Views, done, key, stage
from ivx.ui.training.table import Row
from ivx.vocabulary import position, source_token

ABOUT = "Every checkpoint’s vectors are taken at the place, then written into every one."
QUESTION = "Did post-training teach the vector, or its readers?"
PARTS = {"readers": "its readers", "vector": "the vector", "interaction": "interaction"}
COMMON = (
    "Readers: the same vectors, in the later model (mean of both rows). Vector: the later vectors, in the same models "
    "(mean of both columns). The two add up to what was gained; the interaction is f11 − f10 − f01 + f00. Logits of "
    "two checkpoints have no common scale, and a sharper one reads anything more strongly; the share followed has one."
)


def show(asked: Comparing, p: Palette) -> None:
    """Compute every checkpoint's vectors, then what each one's do in each, task by task."""
    tasks = chosen_tasks(asked)
    wanted = {task: replace(asked, subject=replace(asked.subject, task=task)) for task in tasks}
    requests: dict[str, BaseRequest] = {
        key(task, name): one.requests("vectors")[key("vectors", name)]
        for name in asked.names
        for task, one in wanted.items()
    }
    whole = _stored(asked, wanted, requests)
    if whole:  # transplants that are stored need no vectors, which may be of checkpoints that are not here
        progress.follow_several(whole, draw=lambda views: _draw(asked, {task: {} for task in tasks}, whole, views, p))
        return
    vectors: dict[str, dict[str, Vectors]] = {task: {} for task in tasks}
    for task in tasks:
        for name in asked.names:
            found = done(requests[key(task, name)])
            if found is not None:
                vectors[task][name] = found
    if any(len(found) < len(asked.names) for found in vectors.values()):
        progress.follow_several(requests, draw=lambda views: _waiting(asked, requests, views))
        return
    try:
        check_shapes({name: one.shape for name, one in vectors[tasks[0]].items()})
    except IvxError as error:
        pieces.title(QUESTION, "A vector fits only a checkpoint of its own shape.")
        pieces.refusal("These checkpoints take no vectors from each other", str(error), "Choose one family above.")
        return
    layers, there = chosen_layers(), next(iter(vectors[tasks[0]].values())).layers
    grafts: dict[str, BaseRequest] = {}
    try:
        for receiver, task, donor in product(asked.names, tasks, asked.names):
            request = wanted[task].subject.transplant(
                receiver, vectors[task][donor].run_id, matched=False, layers=layers, **checkpoints.loading(receiver)
            )
            request.layers_of(there)
            grafts[key(f"{task}:{donor}", receiver)] = request
    except IvxError as error:
        pieces.title(QUESTION, "Effects of several layers are averaged, query by query.")
        pieces.refusal("There are no such layers", str(error), "Name others above, or leave the field empty for all.")
        return
    session.go_on(requests.values(), grafts.values())
    progress.follow_several(grafts, draw=lambda views: _draw(asked, vectors, grafts, views, p))


def _stored(
    asked: Comparing, wanted: Mapping[str, Comparing], requests: Mapping[str, BaseRequest]
) -> dict[str, BaseRequest]:
    """The transplants of every checkpoint's vectors into every one, where all are stored; else none."""
    found: dict[str, BaseRequest] = {}
    try:
        for receiver, (task, one), donor in product(asked.names, wanted.items(), asked.names):
            run = id_of(worker().store, requests[key(task, donor)])
            request = one.subject.transplant(
                receiver, run, matched=False, layers=chosen_layers(), **checkpoints.loading(receiver)
            )
            if session.looked_up(request) is None:
                return {}
            found[key(f"{task}:{donor}", receiver)] = request
    except IvxError:  # layers that are none, or a checkpoint that is not known: refused below, in words
        return {}
    return found


def _waiting(asked: Comparing, requests: dict[str, BaseRequest], views: Views) -> None:
    if all(now is not None and now.state == "done" for now in views.values()):
        st.rerun()  # the last of them ended after `show` had looked
    pieces.title(QUESTION, "The vectors of every checkpoint are taken first, one checkpoint after another.")
    stages.blank(asked, requests, views, about=ABOUT)
    stages.stop(views, requests)


def _draw(
    asked: Comparing,
    vectors: Mapping[str, Mapping[str, Vectors]],
    requests: dict[str, BaseRequest],
    views: Views,
    p: Palette,
) -> None:
    there: dict[Key, Transplant] = {}
    for task in vectors:
        whole = {
            (task, donor, receiver): now.result
            for donor in asked.names
            for receiver in asked.names
            if (now := views[key(f"{task}:{donor}", receiver)]) is not None and now.state == "done"
        }
        if len(whole) == len(asked.names) ** 2:
            there |= whole
    tasks = tuple(task for task in vectors if any(task == named for named, *_ in there))
    source, put = source_token(asked.subject.source_token).caption, position(asked.subject.position).caption
    lede = f"The state of {escape(source)}, written at {escape(put)} of the bare prompt"
    offer = None
    if not tasks:
        pieces.title(QUESTION, f"{lede}: every checkpoint’s vectors in every checkpoint.")
    else:
        found = Exchange(asked.names, tasks, there)
        offer = partial(exports.offer_exchange, found, asked.metric)
        try:
            cells, changes = _cells(found, asked.metric), _changes(found, asked.metric)
        except IvxError as error:
            pieces.title(QUESTION, f"{lede}.")
            pieces.refusal("These checkpoints cannot be set side by side", str(error), "Choose other ones above.")
            return
        many = len(found.averaged) > 1
        pieces.title(QUESTION, f"{lede}, layer{'s' * many} {listed(found.averaged)}{', averaged' * many}.")
        pieces.distrust(*(one.receipt for task in tasks for one in vectors[task].values()))
        scale = scale_of([cell.effect.value for cell in cells])
        for k, task in enumerate(tasks):
            _task(asked, found, task, cells, changes, scale, p, first=k == 0)
        pieces.legend(p, scale, METRICS[asked.metric].unit, ends=METRICS[asked.metric].ends)
        pieces.note(COMMON)
    stages.stop(views, requests)
    stages.trouble(views, requests)
    stages.foot(asked, list(there.values()), [], views, offer=offer)
    stages.to_url(asked, **in_url(asked))


def _cells(found: Exchange, metric: str) -> list[Crossed]:
    return _judged(found, tuple(one.run_id for one in found.transplants.values()), metric)[0]


def _changes(found: Exchange, metric: str) -> list[Change]:
    return _judged(found, tuple(one.run_id for one in found.transplants.values()), metric)[1]


@st.cache_data(max_entries=50, show_spinner=False)
def _judged(_found: Exchange, runs: tuple[str, ...], metric: str) -> tuple[list[Crossed], list[Change]]:
    """Cells and changes of the transplants of these runs."""
    return _found.cells(metric), _found.changes(metric)


def _task(
    asked: Comparing,
    found: Exchange,
    task: str,
    cells: list[Crossed],
    changes: list[Change],
    scale: float,
    p: Palette,
    *,
    first: bool,
) -> None:
    """One task's matrix, and beside it what each step taught."""
    mine = [change for change in changes if change.task == task]
    n = mine[0].n if mine else 0
    left, right = st.columns([1, 1.15], gap="medium")
    with left:
        pieces.head(task_name(task), f"n = {n}")
        chart = exchange_chart(
            found.squares(task, cells),
            names=[stage(name) for name in asked.names],
            scale=scale,
            palette=p,
            alt_text=f"{task}: vectors of {', '.join(map(short, asked.names))} in each of them",
        )
        st.vega_lite_chart(chart, theme=None, width="stretch")
    with right:
        for change in mine:
            step = f"{stage(change.before)} → {stage(change.after)}"
            pieces.head(step, "95% intervals", more=COMMON if first else "")
            table.table([_row(name, change, p) for name in PARTS])
            pieces.reading(escape(says(change.parts, asked.metric)))


def _row(name: str, change: Change, p: Palette) -> Row:
    part = getattr(change.parts, name)
    colour = p.muted if part.state != "ok" else p.orange if part.value > 0 else p.blue
    return Row.of(PARTS[name], part, colour)
