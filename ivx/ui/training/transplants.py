"""The view of transplants: what each checkpoint's vectors do in each, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from html import escape
from importlib.util import find_spec
from typing import Any

import streamlit as st

from ivx.analyses.compare.result import Member
from ivx.analyses.transplant.result import Transplant
from ivx.analyses.vectors import file
from ivx.analyses.vectors.result import Vectors, check_shapes
from ivx.charts.figure import tile
from ivx.charts.heatmap import heatmap
from ivx.charts.lines import Dot, Line, lines
from ivx.charts.numbers import scale_of, signed
from ivx.charts.palette import Palette
from ivx.engine.address import STREAM
from ivx.errors import IvxError
from ivx.formats.vector import ADD
from ivx.numeral import index_of
from ivx.patching.cells import Cell
from ivx.request import BaseRequest
from ivx.stats.metrics import METRICS
from ivx.ui.kit import address, checkpoints, clicks, exports, pieces, progress, session
from ivx.ui.training import stages, table
from ivx.ui.training.place import in_url
from ivx.ui.training.readings import graft_reading
from ivx.ui.training.stages import ROW, Comparing, Views, key, stage
from ivx.ui.training.table import Row
from ivx.vocabulary import position

LENGTHS = {"own": "the donor’s", "matched": "the receiver’s"}
HASH: dict[str | type[Any], Callable[[Any], Any]] = {Transplant: lambda r: (r.run_id, r.table.num_rows)}
QUESTION = "Whose vector moves whom?"
ABOUT = "The instruction’s vectors of every checkpoint are taken, then written into every one, layer by layer."


def show(asked: Comparing, p: Palette) -> None:
    """Compute every checkpoint's vectors, then draw what each one's do in each."""
    requests = asked.requests("vectors")
    found = {name: stages.done(requests[key("vectors", name)]) for name in asked.names}
    if any(one is None for one in found.values()):
        progress.follow_several(requests, draw=lambda views: _waiting(asked, requests, views, p))
        return
    vectors = {name: one for name, one in found.items() if one is not None}
    try:
        check_shapes({name: one.shape for name, one in vectors.items()})
    except IvxError as error:
        pieces.title(QUESTION, "A vector fits only a checkpoint of its own shape.")
        pieces.refusal("These checkpoints take no vectors from each other", str(error), "Choose one family above.")
        return
    matched = address.from_url("length", "own", list(LENGTHS)) == "matched"
    grafts: dict[str, BaseRequest] = {
        key(donor, receiver): asked.subject.transplant(
            receiver, vectors[donor].run_id, matched=matched, **checkpoints.loading(receiver)
        )
        for receiver in asked.names
        for donor in asked.names
    }
    session.go_on(requests.values(), grafts.values())
    progress.follow_several(grafts, draw=lambda views: _draw(asked, vectors, grafts, views, p))


def _waiting(asked: Comparing, requests: dict[str, BaseRequest], views: Views, p: Palette) -> None:
    if all(now is not None and now.state == "done" for now in views.values()):
        st.rerun()  # the last of them ended after `show` had looked
    pieces.title(QUESTION, "The vectors of every checkpoint are taken first, one checkpoint after another.")
    stages.blank(asked, requests, views, about=ABOUT)
    places = [place for row in stages.rows_of(len(asked.names)) for place in row]
    layers = checkpoints.rows_of(*asked.names)
    for k, (name, place) in enumerate(zip(asked.names, places, strict=True)):
        with place:
            pieces.head(f"Into {stage(name)}", stages.status(views[key("vectors", name)], "its vectors are taken"))
            _map([], [stage(donor) for donor in asked.names], layers, 1.0, None, p, name=name, first=k == 0)
    stages.stop(views, requests)


def _draw(
    asked: Comparing, vectors: dict[str, Vectors], requests: dict[str, BaseRequest], views: Views, p: Palette
) -> None:
    donors = list(asked.names)
    maps: dict[str, list[Cell]] = {}
    results: list[Transplant] = []
    for receiver in asked.names:
        maps[receiver] = []
        for column, donor in enumerate(donors):
            result = stages.result(views, donor, receiver)
            if result is not None:
                results.append(result)
                maps[receiver] += _cells(result, asked.metric, column)
    every = [cell for cells in maps.values() for cell in cells]
    scale = scale_of([cell.value for cell in every if cell.state != "zero"])
    where = _chosen(maps, donors)
    layers = next(iter(vectors.values())).layers
    pieces.title(QUESTION, _lede(donors, maps, where, at=position(asked.subject.position).caption))
    pieces.distrust(*(result.receipt for result in vectors.values()))
    places = [place for row in stages.rows_of(len(donors)) for place in row]
    for k, (receiver, place) in enumerate(zip(donors, places, strict=True)):
        with place:
            live = [now for donor in donors if (now := views[key(donor, receiver)]) is not None and now.live]
            what = (
                f"{len(donors) - len(live)} of {len(donors)} donors done"
                if live
                else f"layer × donor, {position(asked.subject.position).label}"
            )
            pieces.head(f"Into {stage(receiver)}", what)
            labels = [stage(donor) for donor in donors]
            _map(maps[receiver], labels, layers, scale, where, p, name=receiver, first=k == 0, own=k, picked=donors)
            pieces.reading("" if live else graft_reading(maps[receiver], labels, own=k))
    pieces.legend(p, scale, METRICS[asked.metric].unit, ends=METRICS[asked.metric].ends)
    card, norms, choice = st.columns([1, 1, 1], gap="medium")
    with card:
        _card(donors, maps, where, p)
        if where is not None:
            _take(vectors[donors[where[1]]], where[0])
    with norms:
        pieces.head("How long are the vectors?", "mean norm by layer")
        _norms(asked, vectors, where, p)
        stages.line_legend(asked, p)
    with choice:
        pieces.head("Length of a transplanted vector", "whose norm it has")
        address.hold("length", "own", list(LENGTHS))
        st.segmented_control(
            "Length",
            list(LENGTHS),
            key="length",
            format_func=lambda name: LENGTHS[name],
            required=True,
            label_visibility="collapsed",
        )
        pieces.reading(
            "A vector keeps its donor’s length, or takes that of the receiver’s own at the same layer: where the two "
            "agree, direction alone decides."
        )
        stages.stop(views, requests)
    stages.trouble(views, requests)
    members = [Member(name, vectors=one) for name, one in vectors.items()]
    grafts = {
        (donor, receiver): result
        for receiver in donors
        for donor in donors
        if (result := stages.result(views, donor, receiver)) is not None
    }
    stages.foot(asked, results, members, views, grafts)
    stages.to_url(asked, **in_url(asked))


@st.cache_data(max_entries=200, show_spinner=False, hash_funcs=HASH)
def _cells(result: Transplant, metric: str, column: int) -> list[Cell]:
    return [Cell.of(result.component, c.layer, column, c.patch, c.effect, n=c.n) for c in result.cells(metric)]


def _chosen(maps: dict[str, list[Cell]], donors: list[str]) -> tuple[int, int] | None:
    """(layer, donor's number): the clicked one, the address bar's (`layer~donor`), or that of the strongest graft."""
    asked, _, donor = address.from_url("graft", "").partition("~")
    layer = index_of(asked)
    if layer is not None and donor in donors:
        return layer, donors.index(donor)
    others = [cell for k, cells in enumerate(maps.values()) for cell in cells if cell.column != k]
    best = max(others, key=lambda cell: (cell.state == "ok", abs(cell.value)), default=None)
    return None if best is None else (best.layer, best.column)


def _lede(donors: list[str], maps: dict[str, list[Cell]], where: tuple[int, int] | None, *, at: str) -> str:
    what = f"A column is a donor: its instruction vector is written at {at} of another checkpoint’s bare prompt."
    if where is None:
        return what
    told = []
    for receiver, cells in maps.items():
        cell = next((c for c in cells if (c.layer, c.column) == where), None)
        if cell is not None:
            said = {"ok": "", "control": " (no better than its control)", "zero": " (not different from 0)"}[cell.state]
            told.append(f"{escape(stage(receiver))} <b>{signed(cell.value)}</b>{said}")
    return (
        f"The vector of <b>{escape(stage(donors[where[1]]))}</b> at layer {where[0]}, written into {', '.join(told)}."
    )


def _map(
    cells: list[Cell],
    labels: list[str],
    layers: int,
    scale: float,
    where: tuple[int, int] | None,
    p: Palette,
    *,
    name: str,
    first: bool,
    own: int | None = None,
    picked: list[str] | None = None,
) -> None:
    chart = heatmap(
        [tile(cell, labels) for cell in cells],
        labels,
        layers=layers,
        scale=scale,
        palette=p,
        selected=where,
        bold=own,
        row=ROW + 4 if layers <= 16 else 12,
        row_labels=first,
        mono=False,
        alt_text=f"Vectors of {', '.join(labels)} in {name}, by layer",
    )
    if picked is None:
        st.vega_lite_chart(chart, theme=None, width="stretch")
        return
    donors = picked

    def clicked(point: Mapping[str, Any]) -> None:
        st.session_state["graft"] = f"{int(point['layer'])}~{donors[int(point['column'])]}"

    clicks.chart(chart, key=f"graft-{name}-{'-'.join(labels)}", picked=clicked)


def _card(donors: list[str], maps: dict[str, list[Cell]], where: tuple[int, int] | None, p: Palette) -> None:
    """The marked donor and layer in every receiver."""
    if where is None:
        pieces.head("One vector", "nothing is computed yet")
        return
    pieces.head(f"{stage(donors[where[1]])}’s vector, layer {where[0]}", "95% intervals")
    rows = [
        Row.of(f"into {stage(name)}", cell, p.muted if cell.state != "ok" else p.orange if cell.value > 0 else p.blue)
        for name, cells in maps.items()
        for cell in cells
        if (cell.layer, cell.column) == where
    ]
    table.table(rows)
    pieces.note("Control: the donor’s vector of another task, for the same samples.")


def _take(vectors: Vectors, layer: int) -> None:
    """Downloads of one vector: put in place of a state, or added."""
    has_other = bool(vectors.samples.control)
    name = f"ivx-{vectors.run_id}-{vectors.request.component}.{layer}"
    offered: list[exports.Offered] = [
        ("Mean state, safetensors", ".safetensors", vectors.vector(layer).safetensors),
    ]
    if has_other:
        moved = vectors.vector(layer, operation=ADD)
        offered.append(("Difference, safetensors", "-difference.safetensors", moved.safetensors))
        if layer and vectors.request.component == STREAM and find_spec("gguf"):
            named = partial(moved.gguf, hint=file.hint(vectors))
            offered.append(("Difference, GGUF for llama.cpp", "-difference.gguf", named))
    with st.popover("Take this vector"):
        exports.buttons(name, offered)
        st.caption(
            "A mean state overwrites a token’s; a difference, the state less that of another task’s instructions, is "
            "added. `ivx.load_vector` reads each back. llama.cpp adds its own to every token, behind block 1 or later."
        )


def _norms(asked: Comparing, vectors: dict[str, Vectors], where: tuple[int, int] | None, p: Palette) -> None:
    colours = asked.colours(p)
    found = [
        Line(stage(name), colours[name], tuple(Dot(i, v, v, v) for i, v in enumerate(one.norms().tolist())))
        for name, one in vectors.items()
    ]
    longest = scale_of([dot.value for line in found for dot in line.dots])
    layers = next(iter(vectors.values())).layers
    chart = lines(
        found,
        layers=layers,
        palette=p,
        domain=(0.0, longest),
        form="number",
        row=ROW if layers <= 16 else 12,
        marked=where[0] if where else None,
        row_labels=True,
        alt_text="Mean norm of the instruction vector, by layer and checkpoint",
    )
    st.vega_lite_chart(chart, theme=None, width="stretch")
