"""The Place page: its controls, the search as it fills, the pair that is opened, and who reads the vector there."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ivx.analyses.mediation.request import MediationRequest
from ivx.analyses.mediation.result import Mediation
from ivx.analyses.place.looked import best_look
from ivx.analyses.place.request import PlaceRequest
from ivx.analyses.place.result import Place
from ivx.analyses.place.search import Pair
from ivx.analyses.variance.request import VarianceRequest
from ivx.analyses.variance.result import Variance
from ivx.charts.palette import Palette
from ivx.charts.place import Strip, place_chart
from ivx.jobs.job import View
from ivx.numeral import index_of
from ivx.ui.kit import address, asking, blanks, checkpoints, choices, exports, following, pieces, progress, session
from ivx.ui.kit.choices import SOURCE, chosen, placed, popover
from ivx.ui.place import mediation, panels, readers, variance
from ivx.ui.place.card import card
from ivx.vocabulary import POSITION_WORDS, SOURCE_WORDS, position, source_token

LEDE = (
    "One token’s state at one layer is put on one token of the bare prompt, beside its controls: from each named token "
    "of the instruction, on each token, layer by layer. Some queries choose the place; <b>others confirm it</b>."
)
PASSES = (
    "One vector is put at one place; each part behind it is given its own unpatched value. <b>What is then lost of the "
    "effect passes through it</b>; what is left is direct."
)
HOLDS = (
    "One vector is put at one place, told in every wording, on every query: <b>what differs by wording is told from "
    "what differs by query</b>, so that the mean’s interval can be for others of either."
)
KINDS = ("place", "mediation", "variance")
COLUMNS, UNDER = [2.35, 1.15], [1.2, 1.15, 1.15]
SAMPLES = PlaceRequest.samples
EVERY = {"1": "every layer", "2": "every second layer", "3": "every third layer", "4": "every fourth layer"}
SEARCH = {
    "search-from": "all",
    "search-at": "all",
    "every": str(PlaceRequest.every),
    **asking.INITIAL,
    **asking.PLAIN,
    "place_n": SAMPLES,
}


def controls() -> tuple[PlaceRequest | None, str]:
    """Draw the controls: checkpoint, task, metric, More; for a stored run only the metric, and no request."""
    if address.from_url(address.RUN, ""):
        return None, choices.metric(session.run_strip(KINDS, _line))
    one, two, three, _, four = st.columns([1.42, 0.86, 0.66, 1.12, 0.52], gap="small", vertical_alignment="bottom")
    checkpoint, task = choices.checkpoint_and_task(one, two)
    following.follow(task, checkpoint)
    metric = choices.metric(three)
    with popover(four, SEARCH):
        source = chosen("search-from", "Vector from", {"all": "each token that has a name"} | SOURCE, "all")
        put = chosen("search-at", "Patched at", placed("all", *POSITION_WORDS), "all")
        every = chosen("every", "The coarse search tries", EVERY, str(PlaceRequest.every))
        way = asking.asking("place_n", SAMPLES)
    if way["demonstrations"] and source in PlaceRequest.phrased:
        source = "t_inst"  # demonstrations have no task phrase
    asked: dict[str, Any] = way | checkpoints.loading(checkpoint)
    request = PlaceRequest(checkpoint, task, source_token=source, position=put, every=int(every), **asked)
    whole = replace(request, readers="heads")
    return request if session.looked_up(whole) is None else whole, metric


def lede() -> str:
    """The page's one sentence."""
    stored = session.stored_run("mediation", "variance")
    return LEDE if stored is None else HOLDS if isinstance(stored, Variance) else PASSES


def _line(asked: PlaceRequest | MediationRequest | VarianceRequest) -> str:
    """A stored run's request in a line."""
    if isinstance(asked, VarianceRequest):
        return f"{choices.line_of(asked)} · layer {asked.layer} · {asked.wordings} wordings"
    if isinstance(asked, MediationRequest):
        return f"{choices.line_of(asked)} · layer {asked.layer} · through {asked.through}"
    source = "each named token" if asked.source_token == "all" else source_token(asked.source_token).label
    heads = " · heads" if asked.readers == "heads" else ""
    return f"{asked.checkpoint} · {asked.task} · {asked.samples} samples asked for · vector from {source}{heads}"


def show(request: PlaceRequest | None, metric: str, p: Palette) -> None:
    """The search of a request: begun at once on an embedded checkpoint, on a click on any other; or a stored run's."""

    def draw(asked: PlaceRequest, now: View) -> None:
        _draw(asked, metric, now, p)

    def view(asked: PlaceRequest | None) -> dict[str, str]:
        told = {"metric": metric} if asked is None else _parts(asked, metric)
        kept = {name: address.from_url(name, "") for name in (panels.STRIP, readers.BLOCK, mediation.CARRIER)}
        asked_more = {name: address.from_url(name, "none") for name in (mediation.THROUGH, variance.CROSSED)}
        return told | kept | {name: value for name, value in asked_more.items() if value != "none"}

    if request is not None:
        following.said()
    progress.follow_or_open(request, KINDS, draw=draw, blank=lambda asked, now: _blank(asked, now, p), view=view)


def _parts(request: PlaceRequest, metric: str) -> dict[str, str]:
    told = {"checkpoint": request.checkpoint, "task": request.task, "metric": metric}
    return told | choices.parts_of(SEARCH)


def _draw(request: PlaceRequest, metric: str, now: View, p: Palette) -> None:
    if isinstance(now.result, Mediation | Variance):
        _alone(now.result, metric, p)
        return
    result: Place = now.result
    if not result.panels():
        _blank(request, now, p)
        return
    pieces.distrust(result.receipt)
    pair, layer = _opened(result)
    left, right = st.columns(COLUMNS, gap="medium")
    with left:
        panels.search_panel(result, pair, metric, now, p)
        if now.state == "done":
            pieces.reading(panels.reading(result, metric), result.receipt)
        else:
            progress.under(request, now)
    with right:
        panels.opened_panel(result, pair, layer, metric, p)
    panels.legend(p)
    left, middle, right = st.columns(UNDER, gap="medium")
    with left:
        readers.curve_panel(result, metric, now, p)
    with middle:
        readers.heads_panel(result, metric, p, live=now.live)
    with right:
        parts = _parts(request, metric) | {panels.STRIP: panels.strip_of(pair, layer)}
        card(result, pair, layer, metric, live=now.live, link=address.link(result, **parts), p=p)
    mediation.section(result, metric, p, live=now.live)
    variance.section(result, metric, p, live=now.live)
    pieces.secondary(metric)
    exports.foot(result, metric, live=now.live)


def _alone(result: Mediation | Variance, metric: str, p: Palette) -> None:
    """A stored mediation or variance by itself."""
    pieces.distrust(result.receipt)
    if isinstance(result, Variance):
        variance.whole(result, metric, p)
    else:
        mediation.whole(result, metric, p)
    pieces.secondary(metric)
    exports.foot(result, metric, live=False)


def _opened(result: Place) -> tuple[Pair, int]:
    """The clicked pair and layer, or the address bar's, or the best."""
    asked = address.from_url(panels.STRIP, "").split("~")
    column = index_of(asked[1], below=len(result.columns)) if len(asked) == 3 else None
    layer = index_of(asked[2], below=result.layers) if len(asked) == 3 else None
    if column is not None and layer is not None and asked[0] in result.sources:
        return Pair(asked[0], column), layer
    best = best_look(result)
    assert best is not None, "a result is drawn as soon as it has a strip"
    return best


def _strips(request: PlaceRequest, layers: int, p: Palette) -> None:
    """The frames of the strips to come."""
    if not layers:
        pieces.note("How many layers it has is known once it is read.")
        return
    sources = SOURCE_WORDS if request.source_token == "all" else (request.source_token,)
    puts = POSITION_WORDS if request.position == "all" else (request.position,)
    chart = place_chart(
        [Strip(source, k, (), math.nan, False, "") for source in sources for k in range(len(puts))],
        sources=[(name, source_token(name).label) for name in sources],
        columns=[("", position(name).label) for name in puts],
        layers=layers,
        palette=p,
        unit="",
        alt_text=f"Empty search, {layers} layers",
    )
    st.vega_lite_chart(chart, theme=None, width="stretch")


def _blank(request: PlaceRequest, now: View | None, p: Palette) -> None:
    layers = checkpoints.rows_of(request.checkpoint)

    def axes(told: str) -> DeltaGenerator:
        left, right = st.columns(COLUMNS, gap="medium")
        with left:
            pieces.head("Source × patched token", told)
            _strips(request, layers, p)
        return right

    about = (
        f"{request.samples} queries, each source token × patched token × layer, coarse to fine, beside its controls; "
        "then the blocks that read the vector at its place."
    )
    blanks.show(request, now, blanks.Blank(about, "Search for the place", axes))
