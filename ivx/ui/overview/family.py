"""The Overview of a real family: where a vector acts, who reads it, and what post-training taught, from stored runs.

Nothing here needs the checkpoints' weights, or their tokenizers: tokens and labels are the runs' own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from typing import Any
from urllib.parse import urlencode

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ivx.analyses.compare.exchange import Change, Crossed, Exchange
from ivx.analyses.compare.text import says
from ivx.analyses.family import Family
from ivx.analyses.picture import picture
from ivx.analyses.place.drawing import acts
from ivx.analyses.place.found import At
from ivx.analyses.place.request import PlaceRequest
from ivx.analyses.place.result import Place
from ivx.charts.layers import layer_bars
from ivx.charts.palette import DARK, LIGHT, Palette
from ivx.jobs.compute import id_of
from ivx.jobs.identity import is_away
from ivx.jobs.job import View
from ivx.jobs.shipped import is_shipped
from ivx.jobs.worker import worker
from ivx.models.registry import known
from ivx.numeral import index_of
from ivx.stats.metrics import find
from ivx.ui.kit import address, blanks, checkpoints, clicks, exports, pieces, progress, quick, session
from ivx.ui.kit import family as kit
from ivx.ui.overview import findings

COLUMNS = [1.1, 1.0, 1.05]
Views = Mapping[str, View | None]


@dataclass(frozen=True)
class Asked:
    """What the controls say, and the family that the checkpoint belongs to."""

    family: Family
    checkpoint: str
    task: str
    metric: str

    @property
    def place(self) -> PlaceRequest:
        """The search whose place is shown."""
        return self.family.place(self.checkpoint, self.task)


def show(asked: Asked, p: Palette) -> None:
    """Draw the stored results, or offer to compute what is missing."""
    progress.follow_several(
        {"place": asked.place}, draw=lambda views: _draw(asked, views["place"], p), unasked=("place",)
    )


def _draw(asked: Asked, now: View | None, p: Palette) -> None:
    result: Place | None = None if now is None else now.result
    view = {"checkpoint": asked.checkpoint, "task": asked.task, "metric": asked.metric}
    address.to_url(**view, layer=address.from_url("layer", ""))
    if result is None or now is None or now.state != "done":
        _missing(asked, now, p)
        return
    judged = kit.judged(result, asked.metric)
    at, exchange, cells, changes = _exchange(asked)
    step = _step(changes, asked.checkpoint)
    headline = findings.headline(judged.found, judged.readers, step)
    pieces.title(headline, _lede(asked, result, judged))
    pieces.distrust(result.receipt)
    one, two, three = st.columns(COLUMNS, gap="medium")
    place_page = "/place?" + urlencode({"run": result.run_id, "metric": asked.metric})
    with one:
        _acts(asked, result, judged, place_page, p)
    with two:
        _reads(asked, result, judged, place_page, p)
    with three:
        _taught(asked, exchange, cells, step, at, p)
    pieces.series(
        [("beyond its controls", p.orange), ("no better than a control, or not different from 0", p.faint)],
        ["— the strongest control (left)", "- - another task’s vector (middle)", "shaded: blocks that read"],
    )
    pieces.secondary(asked.metric)
    _foot(asked, result, exchange, headline)


def read(asked: Asked) -> dict[str, str]:
    """The address on Effects of the map of what is shown: the stored run at the place, else the checkpoint and task."""
    found = [run for kind, run in _beside(asked) if kind == "effects"]
    return {"run": found[0]} if found else {"checkpoint": asked.checkpoint, "task": asked.task, "metric": asked.metric}


def warm(asked: Asked) -> None:
    """Read, judge and draw once what is stored, so that the first visitor need not wait for it."""
    result: Place | None = session.looked_up(asked.place)
    if result is None:
        return
    judged = kit.judged(result, asked.metric)
    _, exchange, cells, _ = _exchange(asked)
    for p in (LIGHT, DARK):
        if judged.found is not None:
            acts(judged.found, asked.metric, p, height=kit.HEIGHT)
        if judged.readers is not None:
            kit.curve(judged.readers, asked.metric, p)
        if exchange is not None:
            kit.matrix(exchange, cells, asked.metric, p)


def _exchange(asked: Asked) -> tuple[At | None, Exchange | None, list[Crossed], list[Change]]:
    """Where all vectors are put, and what of the exchange is stored."""
    at = kit.anchored(asked.family)
    found = None if at is None else kit.exchanged(asked.family, asked.task, at)
    return (at, found, *(([], []) if found is None else kit.changes(found, _runs(found), asked.metric)))


def _runs(found: Exchange) -> tuple[str, ...]:
    return tuple(one.run_id for one in found.transplants.values())


def _step(changes: list[Change], checkpoint: str) -> Change | None:
    """The change up to this checkpoint, or, of the earliest one, from it."""
    own = [change for change in changes if change.after == checkpoint]
    return next(iter(own or [change for change in changes if change.before == checkpoint]), None)


def _lede(asked: Asked, result: Place, judged: kit.Judged) -> str:
    one = known(asked.checkpoint)
    about = f"<b>{escape(asked.checkpoint)}</b>: {escape(one.about.partition(';')[0])}" if one else ""
    line = escape(findings.asked_line(result, judged.found))
    return " · ".join(filter(None, [about, line, f"denoising, {find(asked.metric).label}", "one training run each"]))


def _missing(asked: Asked, now: View | None, p: Palette) -> None:
    """In place of the panels: what is computed, why it is not, or how it is asked for."""
    pieces.title(
        "Where does the instruction’s vector act, and who reads it?",
        f"The place is searched for on <b>{escape(asked.checkpoint)}</b>: every named token of the instruction, put on "
        "every token of the bare prompt, layer by layer, beside its controls.",
    )
    layers = checkpoints.rows_of(asked.checkpoint)
    looks = now is None and quick.is_offered(asked.checkpoint)
    above: list[DeltaGenerator] = []

    def axes(told: str) -> DeltaGenerator:
        one, two, right = st.columns(COLUMNS, gap="medium")
        for place, name in ((one, "Where it acts"), (two, "Who reads it")):
            with place:
                pieces.head(name, told)
                _bars(layers, p)
        above.append(right.container())
        return right

    about = f"{asked.place.samples} queries, each source token × patched token × layer, coarse to fine."
    blanks.show(asked.place, now, blanks.Blank(about, blanks.SEARCH, axes, aside=looks))
    if looks:
        with above[0]:  # last: what polls stops the page's own run
            quick.offer(asked.checkpoint)


def _bars(layers: int, p: Palette) -> None:
    """The axis of layers of a chart to come."""
    chart = layer_bars([], layers=layers, unit="", palette=p, height=kit.HEIGHT, alt_text="Empty chart")
    st.vega_lite_chart(chart, theme=None, width="stretch")


def _acts(asked: Asked, result: Place, judged: kit.Judged, href: str, p: Palette) -> None:
    found = judged.found
    if found is None:
        pieces.head("Where it acts", "no pair of tokens", href=href)
        pieces.reading(findings.acts(result, None, asked.metric))
        return
    label = result.columns[result.best[0].pair.column].label
    pieces.head("Where it acts", findings.where(found, result.samples.rows, label), href=href)
    layer = index_of(address.from_url("layer", ""), below=result.layers)
    chart = acts(found, asked.metric, p, selected=layer, height=kit.HEIGHT)
    clicks.chart(chart, key=f"acts-{result.run_id}", picked=_pick)
    pieces.reading(findings.acts(result, found, asked.metric), result.receipt)


def _pick(point: Mapping[str, Any]) -> None:
    """A click on a layer asks for its readers."""
    st.session_state["layer"] = str(int(point["layer"]))


def _reads(asked: Asked, result: Place, judged: kit.Judged, href: str, p: Palette) -> None:
    readers, note = judged.readers, ""
    layer = index_of(address.from_url("layer", ""), below=result.layers)
    if layer is not None and readers is not None and layer != readers.layer:
        other: Place | None = session.looked_up(replace(result.request, layer=layer))
        if other is not None:
            readers = kit.judged(other, asked.metric).readers
        else:
            note = f"The readers from layer {layer} are not stored; these are from layer {readers.layer}. "
    said = kit.blocks(readers)
    pieces.head("Who reads it", said or "no block by itself", href=href)
    if readers is not None:
        st.vega_lite_chart(kit.curve(readers, asked.metric, p), theme=None, width="stretch")
    pieces.reading(note + findings.reads(readers, asked.metric), result.receipt)


def _taught(
    asked: Asked, found: Exchange | None, cells: list[Crossed], step: Change | None, at: At | None, p: Palette
) -> None:
    href = "/training?" + urlencode(_training(asked, at))
    if found is None or at is None:
        pieces.head("What post-training taught", "vector × reader", href=href)
        pieces.reading("Not stored for this task. Post-training puts each checkpoint’s vector into every checkpoint.")
        return
    pieces.head("What post-training taught", f"at that token, layer {at.layer}", href=href)
    st.vega_lite_chart(kit.matrix(found, cells, asked.metric, p), theme=None, width="stretch")
    if step is not None:
        told = f"{kit.stage(step.before)} → {kit.stage(step.after)}, n = {step.n}: {says(step.parts, asked.metric)}"
        pieces.reading(escape(told), found.receipt if "gates" not in found.receipt else {})


def _training(asked: Asked, at: At | None) -> dict[str, str]:
    """The view of Post-training that shows the same exchange."""
    view = {"checkpoints": ",".join(asked.family.names), "task": asked.task, "show": "exchange"}
    view |= {"metric": asked.metric, "spelling": asked.family.spelling}
    return view if at is None else view | {"from": at.source_token, "at": at.position, "layers": str(at.layer)}


def _foot(asked: Asked, result: Place, exchange: Exchange | None, headline: str) -> None:
    several = [] if exchange is None else list(exchange.transplants.values())
    rows = sum(one.table.num_rows for one in (result, *several))
    stored = ""
    if is_shipped(result.run_id):
        stored = " · stored, came with ivx; " + (
            "python -m ivx get smollm2 makes it replayable" if is_away(asked.checkpoint) else "the page Runs replays it"
        )
    strip, export = st.columns([6, 1], gap="medium", vertical_alignment="bottom")
    with strip:
        n = f"n = {len(result.parts.confirming)}" + (f" and {len(several[0].samples.rows)}" if several else "")
        pieces.trust(result.receipt, rows=f"{n} · {rows:,} rows{stored}")
    with export:
        drawn = (result,) if exchange is None else (result, exchange)
        shown = partial(picture, *drawn, metric=asked.metric, title=headline)
        exports.offer_several([result, *several], asked.metric, shown=shown)
    for warning in result.samples.warnings:
        pieces.note(warning)
    _more(asked)


def _more(asked: Asked) -> None:
    """Links to what else is stored at the place, each on its own page."""
    links = [f'<a href="/{kind}?run={run}" target="_self">{kind} ›</a>' for kind, run in _beside(asked)]
    if links:
        st.html(f'<div class="ivx-note">Also stored at this place: {" · ".join(links)}</div>')


def _beside(asked: Asked) -> list[tuple[str, str]]:
    """What else is stored at the place, of this checkpoint and task: kinds and runs."""
    at = kit.anchored(asked.family)
    if at is None:
        return []
    own = [one for one in asked.family.there(at) if one.checkpoint == asked.checkpoint]
    wanted = [one for one in own if getattr(one, "task", asked.task) == asked.task]
    runs = [(one, id_of(worker().store, one)) for one in wanted]
    return [(one.kind, run) for one, run in runs if is_shipped(run) or session.looked_up(one) is not None]
