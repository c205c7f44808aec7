"""The Pathways page's parts: two instructions' flows side by side, and how alike their layers are."""

from __future__ import annotations

from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ivx.analyses.pathways.request import PathwaysRequest
from ivx.analyses.pathways.result import Pathways
from ivx.analyses.transfer.request import TransferRequest
from ivx.charts.flow import flow
from ivx.charts.palette import Palette
from ivx.jobs.job import View
from ivx.ui.kit import (
    address,
    asking,
    blanks,
    checkpoints,
    choices,
    exports,
    following,
    pieces,
    places,
    progress,
    session,
)
from ivx.ui.kit.choices import SAMPLES, chosen, counted, popover
from ivx.ui.pathways import activity, beside, checks, flows, rankings, starts, transfer
from ivx.ui.pathways.readings import overlap_reading

TRACED = 1
"""Samples whose paths are searched, and whose published sum is taken: the slowest part."""
WORDINGS = {"one": "one", "many": "many"}
SHOWN = (
    "edges",
    "side",
    "edge",
    "published",
    "patch",
    "versus",
    activity.ASKED,
    rankings.ASKED,
    *starts.SHOWN,
    *transfer.SHOWN,
    *checks.PUBLISHED,
)
"""Parts of the view that do not change the request."""
SWITCH = "published-switch"
OF = {"contrast": "difference", "logit": "answer"}
COLUMNS = [sum(flows.COLUMNS), flows.ASIDE]
"""Both flows, and what stands beside them."""


def controls() -> PathwaysRequest | None:
    """Draw the controls: checkpoint, task, wordings, what is split; for a stored run none, and no request."""
    if address.from_url(address.RUN, ""):
        session.run_strip(("pathways", "transfer"), _line_of)
        return None
    one, two, three, four, five = st.columns([1.3, 0.9, 0.7, 0.9, 0.55], gap="small", vertical_alignment="bottom")
    checkpoint, task = choices.checkpoint_and_task(one, two, exact=True)
    following.follow(task, checkpoint)
    way = asking.told_by_instruction(asking.held())
    st.session_state[checks.OPENED] = places.follow(
        task, checkpoint, way=way, published=checks.PUBLISHED, best=checks.best
    )
    address.hold("wording", "one", list(WORDINGS))
    wording = three.segmented_control(
        "Wordings",
        list(WORDINGS),
        key="wording",
        format_func=lambda w: WORDINGS[w],
        required=True,
        width="stretch",
        help="One wording for all samples keeps its tokens apart; many, a column holds all tokens of like meaning.",
    )
    address.hold("of", "contrast", list(OF))
    of = four.segmented_control(
        "What is split",
        list(OF),
        key="of",
        format_func=lambda o: OF[o],
        required=True,
        width="stretch",
        help="The answer’s logit less the contrast answer’s, or the answer’s logit alone.",
    )
    return PathwaysRequest(
        checkpoint,
        task,
        wording=0 if wording != "many" else None,
        of=str(of or "contrast"),
        traced=TRACED,
        published=True,
        **_circuit_fields(five)
        | checkpoints.loading(checkpoint, exact=True),  # parts sum to the whole in no smaller dtype
    )


def show(request: PathwaysRequest | None, p: Palette) -> None:
    """The flows of a request: begun at once on an embedded checkpoint, on a click on any other; or a stored run's."""
    if request is None:
        found, carried = session.stored_run("pathways"), session.stored_run("transfer")
        if found is not None:
            st.fragment(_stored)(found, p)
        elif carried is not None:
            st.fragment(transfer.show_stored)(carried, p)
        return
    _to_url(request)
    following.said(asks=asking.told_by_instruction, why="pathways are told by an instruction")
    places.said(st.session_state[checks.OPENED], only="The patched run below is patched there.")
    progress.follow(request, draw=lambda now: _draw(request, now, p), blank=lambda now: _blank(request, now, p))


def _line_of(asked: PathwaysRequest | TransferRequest) -> str:
    """A run's request in a line."""
    if isinstance(asked, TransferRequest):
        return f"{asked.checkpoint} · {', '.join(asked.tasks)} · {asked.heads} heads each · {asked.samples} samples"
    return f"{asked.checkpoint} · {asked.task} · {asked.samples} samples"


def _stored(found: Pathways, p: Palette) -> None:
    _draw(found.request, View("done", 1, 1, None, found, "", "", stored=True), p, run=found.run_id)


def _to_url(request: PathwaysRequest | None, run: str = "") -> None:
    asked: dict[str, Any] = (
        {"run": run} if request is None else {"checkpoint": request.checkpoint, "task": request.task}
    )
    if request is not None:
        asked |= {name: address.from_url(name, "") for name in ("wording", "of")} | choices.parts_of(CIRCUITS)
    address.to_url(**asked, **{name: address.from_url(name, "") for name in SHOWN})


def _draw(request: PathwaysRequest, now: View, p: Palette, *, run: str = "") -> None:
    """Draw all of a result; `run` names a stored run."""
    result = now.result
    if not result.table.num_rows:
        _blank(request, now, p)
        return
    pieces.distrust(result.receipt)

    @st.fragment
    def moved() -> None:
        flows.show(result, now, p)
        _to_url(None if run else request, run)

    left, right = st.columns(COLUMNS, gap="medium")
    with left:
        moved()
    with right:
        pieces.head("Overlap", "by layer")
        flows.overlap_panel(result.overlap() if result.found.overlaps else None, result, p)
        if result.found.overlaps:
            pieces.reading(overlap_reading(result), result.receipt)
        if now.live:
            progress.running(request, now)
        if now.state == "stopped":
            progress.stopped(request)
        checks.circuit(result, now, p)
    checks.opened(request, result, p)
    beside.show(request, result, p)
    activity.show(result, p)
    starts.show(request, result, p)
    rankings.show(request, result, p)
    transfer.show(request, result, p)
    trust, badge, export = st.columns([5, 1.2, 0.9], gap="medium", vertical_alignment="bottom")
    with trust:
        pieces.trust(
            result.receipt,
            rows=f"n = {len(result.samples.rows)} · {result.table.num_rows:,} rows",
            more=checks.ticks(result),
        )
    with badge:
        address.follows(SWITCH)
        if SWITCH not in st.session_state:
            st.session_state[SWITCH] = address.from_url("published", "") == "1"
        st.session_state[SWITCH] = st.session_state[SWITCH]  # like `address.hold`
        shown = st.toggle(
            "Published sum",
            key=SWITCH,
            help="How far the published sum of paths is from the model’s logits, beside this one.",
        )
        st.session_state["published"] = "1" if shown else ""
    if not now.live:
        with export:
            exports.offer(result, request.of)
    if shown:
        checks.fidelity(result)
    for warning in result.samples.warnings:
        pieces.note(warning)
    _to_url(None if run else request, run)  # a change reruns this fragment alone


def _blank(request: PathwaysRequest, now: View | None, p: Palette) -> None:
    layers = checkpoints.rows_of(request.checkpoint)
    names = (request.task.rpartition("/")[2].replace("-", " "), "its contrast")

    def axes(told: str) -> DeltaGenerator:
        """Two empty flows; returns the place beside them."""
        left, right = st.columns(COLUMNS, gap="medium")
        with left, st.container():  # as a fragment makes one: the flows to come stand in the same places
            for place, name, first in zip(st.columns(flows.COLUMNS, gap="medium"), names, (True, False), strict=True):
                with place:
                    pieces.head(name, told)
                    if layers:
                        chart = flow(
                            (),
                            (),
                            [""] * 14,
                            layers=layers,
                            marked=None,
                            palette=p,
                            row_labels=first,
                            row=flows.row_of(layers),
                            alt_text=f"Empty flow, {layers} layers",
                        )
                        st.vega_lite_chart(chart, theme=None, width="stretch")
        return right

    about = f"{request.samples} samples of two instructions, one backward sweep each, and the causal check."
    blanks.show(request, now, blanks.Blank(about, "Trace both", axes))


CIRCUITS = {
    "unit": "heads",
    "others": "mean",
    "traced_n": SAMPLES["traced"],
    **asking.INITIAL,
    **asking.PLAIN,
    **places.PLAIN,
}


UNITS = {"heads": "heads", "edges": "edges"}


ABLATED = {"mean": "their mean over samples", "zero": "nothing", "resample": "another sample’s", "none": "not checked"}


def _circuit_fields(place: DeltaGenerator) -> dict[str, Any]:
    """Fields of a pathways request about the circuits that are tried in the real model, and the way of asking."""
    with popover(place, CIRCUITS):
        unit = chosen("unit", "Circuits of", UNITS, "heads", help="Tried in the real model, beside random ones.")
        ablation = chosen("others", "In the place of the others", ABLATED, "mean")
        samples = counted("traced_n", "Samples", SAMPLES["traced"], low=10, high=400)
        asking.way(instructed=True)
    way = asking.fields_of(asking.told_by_instruction(asking.held()))
    del way["wording"]  # the page has a choice of its own for it
    return way | {"edge_check": unit == "edges", "ablation": ablation, "samples": samples}
