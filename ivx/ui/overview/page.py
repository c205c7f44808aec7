"""The Overview: one checkpoint and one task at a glance; what acts, what can be read, and what acts together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from html import escape
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from ivx.analyses.defaults import FIRST, glance
from ivx.analyses.family import REAL, family_of
from ivx.analyses.picture import picture
from ivx.analyses.registry import analysis_of
from ivx.charts.palette import Palette
from ivx.errors import IvxError
from ivx.jobs.compute import id_of
from ivx.jobs.job import View
from ivx.jobs.shipped import is_shipped
from ivx.jobs.worker import worker
from ivx.models.registry import embedded
from ivx.numeral import index_of
from ivx.request import BaseRequest
from ivx.stats.metrics import find
from ivx.ui.kit import (
    address,
    asking,
    blanks,
    checkpoints,
    choices,
    clicks,
    exports,
    following,
    maps,
    pieces,
    places,
    progress,
    quick,
    session,
)
from ivx.ui.overview import doors, family, panels
from ivx.ui.overview.panels import StoredRuns, found_of, panels_of

COLUMNS = [1.2, 1.0, 1.13]
PANELS = ("effects", "separability", "game")
QUESTION = "Where does the instruction live?"
NAMES = ("Causal effect", "Linear separability", "Interactions")

Views = Mapping[str, View | None]


def show(p: Palette) -> None:
    """Draw the controls, and below them the panels as they fill."""
    band = st.container()
    one, two, three, _ = st.columns([1.35, 1.1, 0.9, 0.9], gap="medium", vertical_alignment="bottom")
    checkpoint, task = choices.checkpoint_and_task(one, two, first=first())
    metric = choices.metric(three)
    real = family_of(checkpoint)
    if real is not None:
        shown = family.Asked(real, checkpoint, task, metric)
        doors.show(band, lambda: family.read(shown))
        family.show(shown, p)
        return
    doors.show(band, lambda: _view(checkpoint, task, metric))
    following.follow(task, checkpoint)
    asked = glance(checkpoint, task, way=asking.fields_of(asking.held()), **checkpoints.loading(checkpoint))

    def draw(views: Views) -> None:
        _draw(asked, views, metric, p)
        address.to_url(**_view(checkpoint, task, metric), layer=address.from_url("layer", ""))

    progress.follow_several(asked, draw=draw)


def first() -> tuple[str, str]:
    """What the page opens on: the real family where its first run came with ivx, else the embedded one."""
    anchor = REAL.anchor
    try:
        here = is_shipped(id_of(worker().store, anchor))
    except IvxError:  # its base is not fetched, and nothing is known of it without
        here = False
    return (anchor.checkpoint, anchor.task) if here else FIRST


def _draw(asked: Mapping[str, BaseRequest], views: Views, metric: str, p: Palette) -> None:
    effects, separability, game = (None if now is None else now.result for now in map(views.get, PANELS))
    if game is not None and not game.players:
        game = None  # its values are of whole games: nothing can be shown of a part
    found = found_of(effects, separability, game, metric)
    layer = _layer(found)
    pieces.title(QUESTION, _lede(found, asked["effects"].checkpoint))
    # A game of the same samples says the same of following.
    results = (found.effects or found.game, found.separability)
    following.said()
    pieces.distrust(*(result.receipt for result in results if result is not None))
    absent = {name: asked[name] for name, now in views.items() if now is None}
    if len(absent) == len(asked):
        _blank(asked, p)
        return
    if absent and st.button("Run what is missing", type="primary"):
        for request in absent.values():
            session.start(request)
        st.rerun()
    drawn = panels_of(found, layer, p)
    for place, name, title in zip(st.columns(COLUMNS, gap="medium"), PANELS, NAMES, strict=True):
        now, panel = views[name], drawn[name]
        with place:
            pieces.head(title, _measured(name, asked[name], now), href=_page(name, asked, metric))
            if now is not None and now.state in ("refused", "failed"):
                pieces.refusal("This cannot be shown", now.message, "Choose another checkpoint or task above.")
                continue
            pick = partial(_pick, found.layer_of if name == "game" else int)
            clicks.chart(panel.chart, key=f"overview-{panel.key}", picked=pick, of=("layer",))
            if panel.reading:
                pieces.reading(panel.reading, {} if now is None or now.result is None else now.result.receipt)
    states = {cell.state for cell in found.cells} | {pair.state for pair in found.pairs}
    view = find(metric)
    pieces.legend(p, found.scale, view.unit, pending="estimate" in states, states=states, ends=view.ends)
    pieces.secondary(metric)
    progress.running_several(asked, views)
    _foot(found, views)


def _page(name: str, asked: Mapping[str, BaseRequest], metric: str) -> str:
    """Address of the page that a panel is drawn from, with the same view."""
    one = asked["effects"]
    view = _view(one.checkpoint, one.task, metric)  # type: ignore[attr-defined]
    return f"/{analysis_of(name).page}?" + urlencode(view)


def _view(checkpoint: str, task: str, metric: str) -> dict[str, str]:
    """What is shown, as parts of an address."""
    shown = {"checkpoint": checkpoint, "task": task, "metric": metric}
    return shown | choices.parts_of(asking.INITIAL | asking.PLAIN)


def _layer(found: StoredRuns) -> int | None:
    """The selected layer: the address bar's, or that of the strongest finding."""
    asked = index_of(address.from_url("layer", ""), below=found.layers)
    return found.strongest if asked is None else asked


def _pick(layer_of: Callable[[int], int], point: Mapping[str, Any]) -> None:
    """A click anywhere in a row selects its layer, or its group's first, in every panel."""
    st.session_state["layer"] = str(layer_of(int(point["layer"])))


def _measured(name: str, request: BaseRequest, now: View | None) -> str:
    """What stands at a panel's right: how far it is, or what it shows."""
    if now is None:
        return blanks.UNASKED.lower()
    if now.live:
        return progress.status(now) if now.total else progress.waiting(request, now)
    what = {
        "effects": "resid_post, layer × position",
        "separability": "probe accuracy",
        "game": "Shapley interaction, later × earlier",
    }
    return what[name] if now.state == "done" else f"{now.state}, {what[name]}"


def _lede(found: StoredRuns, checkpoint: str) -> str:
    """What the three panels found, each by its own rule."""
    known = embedded(checkpoint)
    trained = " This family was trained to have such a vector; its twin was not." if known else ""
    if known and known.planted:
        trained = f" <b>Planted</b>: every weight was set by hand, nothing was trained: {escape(known.about)}."
    first = "" if found.effects is None else pieces.first(found.effects.receipt)
    return f"{first}{panels.at_a_glance(found.cells, found.probed, found.pairs)}{trained}"


def _blank(asked: Mapping[str, BaseRequest], p: Palette) -> None:
    """The page of a checkpoint that nothing was asked of: axes, the card, and under it a quick look."""
    effects = asked["effects"]
    layers = checkpoints.rows_of(effects.checkpoint)
    *panels, right = st.columns(COLUMNS, gap="medium")
    for place, name, columns in zip(panels, NAMES, (maps.BLANK, 1), strict=False):
        with place:
            pieces.head(name, blanks.UNASKED.lower())
            maps.blank(layers, p, [""] * columns)
    looks = quick.is_offered(effects.checkpoint)
    above = right.container()
    with right:
        blanks.card(
            asked,
            dict.fromkeys(asked),
            about="Every layer × position, a probe at every layer and every pair of layers, each beside its control.",
            button="Run all three",
            search=None if looks else places.first(effects),
            aside=looks,
        )
    with above:  # last: what polls stops the page's own run
        quick.offer(effects.checkpoint)


def _foot(found: StoredRuns, views: Views) -> None:
    result = found.effects
    if result is None:
        return
    done = [now for now in views.values() if now is not None and now.state == "done"]
    stored = " · came with ivx" if is_shipped(result.run_id) else ""
    rows = sum(one.table.num_rows for one in (found.effects, found.separability, found.game) if one is not None)
    strip, export = st.columns([6, 1], gap="medium", vertical_alignment="bottom")
    with strip:
        pieces.trust(result.receipt, rows=f"n = {len(result.samples.rows)} · {rows:,} rows{stored}")
    if len(done) == len(views):
        with export:
            shown = [now.result for now in done]
            named = partial(picture, *shown, metric=found.metric, title=QUESTION)
            exports.offer_several(shown, found.metric, shown=named)
    for warning in result.samples.warnings:
        pieces.note(warning)
