"""The Pathways page's parts: two instructions' flows side by side, and how alike their layers are."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ivx.analysis.drawing import Drawing, drawings
from ivx.analysis.explained import SIZES
from ivx.analysis.flow import Pathways
from ivx.charts.flow import flow, kind_colours
from ivx.charts.overlap import Level, overlap_chart
from ivx.charts.palette import Palette
from ivx.runs.job import View
from ivx.runs.tracing import PathwaysRequest
from ivx.ui import exports, jobs, more, parts, pathway_card, pathway_checks, pickers, view
from ivx.ui.pathway_readings import flow_reading, name_of_task, overlap_reading, percent, unit_of

TRACED = 1
"""Samples whose paths are searched, and whose published sum is taken: the slowest part."""
WORDINGS = {"one": "one", "many": "many"}
OF = {"contrast": "difference", "logit": "answer"}
COLUMNS = [1.13, 1.07, 0.58]
EDGES = "20"
SIDES = ("here", "there")


def controls() -> PathwaysRequest | None:
    """The strip: checkpoint, task, one wording or many, and what is split; of a stored run nothing, and no request."""
    if view.from_url(view.RUN, ""):
        view.run_strip("pathways", lambda asked: f"{asked.checkpoint} · {asked.task} · {asked.samples} samples")
        return None
    one, two, three, four, five = st.columns([1.3, 1.0, 0.7, 0.8, 0.45], gap="medium", vertical_alignment="bottom")
    checkpoint, task = pickers.checkpoint_and_task(one, two)
    view.hold("wording", "one", list(WORDINGS))
    wording = three.segmented_control(
        "Wordings",
        list(WORDINGS),
        key="wording",
        format_func=lambda w: WORDINGS[w],
        required=True,
        width="stretch",
        help="One wording for all samples keeps its tokens apart; many, a column holds all tokens of like meaning.",
    )
    view.hold("of", "contrast", list(OF))
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
        **more.traced(five) | loading(checkpoint),
    )


def loading(checkpoint: str) -> dict[str, str]:
    """How a checkpoint is loaded here: parts sum to the whole in float32 and float64 only."""
    chosen = view.loading(checkpoint)
    return {**chosen, "dtype": "float64" if chosen.get("dtype") == "float64" else "float32"}


def show(request: PathwaysRequest | None, p: Palette) -> None:
    """The flows of a request: begun at once on an embedded checkpoint, on a click on any other; or a stored run's."""
    if request is None:
        found = view.stored_run("pathways")
        if found is not None:
            st.fragment(_stored)(found, p)
        return
    _to_url(request)

    def draw(now: View) -> None:
        _draw(request, now, p)
        _to_url(request)  # a click reruns the fragment alone

    jobs.follow(request, draw=draw, empty=lambda: _empty(request, p))


def _stored(found: Pathways, p: Palette) -> None:
    _draw(found.request, View("done", 1, 1, None, found, "", "", stored=True), p)
    _to_url(None, found.run_id)


def _to_url(request: PathwaysRequest | None, run: str = "") -> None:
    asked: dict[str, Any] = (
        {"run": run} if request is None else {"checkpoint": request.checkpoint, "task": request.task}
    )
    if request is not None:
        asked |= {name: view.from_url(name, "") for name in ("wording", "of")} | more.parts_of(more.TRACED)
    view.to_url(**asked, **{name: view.from_url(name, "") for name in ("edges", "side", "edge", "published", "patch")})


def _draw(request: PathwaysRequest, now: View, p: Palette) -> None:
    result = now.result
    if result is None or not result.table.num_rows:
        _waiting(request, now, p)
        return
    parts.distrust(result.receipt)
    sizes = [str(one.edges) for one in result.found.explained.get("here", ())] or [str(n) for n in SIZES]
    n = int(view.from_url("edges", EDGES, sizes))
    drawn = drawn_of(result, n, SIDES)
    side, chosen = pathway_card.chosen(result, drawn)
    left, middle, right = st.columns(COLUMNS, gap="medium")
    for place, drawing in zip((left, middle), drawn, strict=True):
        with place:
            parts.head(name_of_task(result, drawing.run), _measured(result, drawing, now))
            picture(result, drawing, p, chosen=chosen if side == drawing.run else "", first=drawing.run == "here")
            parts.reading(flow_reading(result, drawing))
    with right:
        parts.head("Overlap", "by layer")
        _overlap(result, p)
        parts.reading(overlap_reading(result, drawn, n))
        if now.live:
            jobs.running(request, now)
        if now.state == "stopped":
            jobs.stopped(request)
    legend, slider = st.columns([2.2, 1], gap="medium", vertical_alignment="center")
    with legend:
        _legend(p, n)
    with slider:
        _slider(result, sizes, n)
    left, middle, right = st.columns(COLUMNS, gap="medium")
    pathway_card.show(result, drawn, side, chosen, p, places=(left, middle))
    with right:
        pathway_checks.circuit(result, now, p)
    pathway_checks.opened(request, result, p)
    trust, badge, export = st.columns([5, 1.2, 0.9], gap="medium", vertical_alignment="bottom")
    with trust:
        parts.trust(
            result.receipt,
            rows=f"n = {len(result.samples.rows)} · {result.table.num_rows:,} rows",
            more=pathway_checks.ticks(result),
        )
    with badge:
        shown = st.toggle(
            "Published sum",
            key="published-switch",
            value=view.from_url("published", "") == "1",
            help="How far the published sum of paths is from the model’s logits, beside this one.",
        )
        st.session_state["published"] = "1" if shown else ""
    if not now.live:
        with export:
            exports.offer(result, request.of)
    if shown:
        pathway_checks.fidelity(result)
    for warning in result.samples.warnings:
        parts.note(warning)


@st.cache_data(max_entries=60, show_spinner=False, hash_funcs={Pathways: lambda r: (r.run_id, r.table.num_rows)})
def drawn_of(result: Pathways, n: int, runs: tuple[str, str]) -> tuple[Drawing, Drawing]:
    """The drawings of two runs' n strongest edges."""
    return drawings(result, n, runs=runs)


def row_of(result: Pathways) -> int:
    """Height of a layer's row, in pixels."""
    return 42 if result.layers <= 12 else 14


def _measured(result: Pathways, drawing: Drawing, now: View) -> str:
    """The instruction's last words, where all samples have one wording, and what is split."""
    if now.live and drawing.run == "here" and not result.found.explained:
        return jobs.status(now)
    rows = result.samples.rows if drawing.run == "here" else result.there
    alike = len({sample.instruction.text for sample in rows}) == 1
    words = f"… {' '.join(rows[0].instruction.text.split()[-4:])} · " if alike else ""
    return f"{words}{unit_of(result)} {result.total(drawing.run):.1f}"


def picture(result: Pathways, drawing: Drawing, p: Palette, *, chosen: str, first: bool) -> None:
    """One flow; a click on a ribbon, or on a head's name, chooses it."""
    chart = flow(
        drawing.ribbons,
        drawing.stays,
        drawing.labels,
        layers=result.layers,
        marked=drawing.marked,
        palette=p,
        chosen=chosen,
        row_labels=first,
        row=row_of(result),
        alt_text=f"Flow of {len(drawing.edges)} edges, {result.layers} layers by {len(drawing.labels)} tokens",
    )
    if drawing.run not in SIDES:
        st.vega_lite_chart(chart, theme=None, width="stretch")
        return
    key = f"flow-{drawing.run}-{result.run_id}"

    def picked() -> None:
        points = st.session_state[key]["selection"].get("edge") or []
        if points and points[0].get("name"):
            st.session_state["side"], st.session_state["edge"] = drawing.run, str(points[0]["name"])

    st.vega_lite_chart(chart, key=key, theme=None, width="stretch", on_select=picked, selection_mode="edge")


def _overlap(result: Pathways, p: Palette) -> None:
    levels: list[Level] = []
    if result.found.overlaps:
        told = result.overlap().layers
        levels = [Level(x.layer, x.jaccard, x.low, x.high, x.reference, x.p) for x in told]
    text = f"Overlap of the two instructions in each of {result.layers} layers"
    chart = overlap_chart(levels, layers=result.layers, palette=p, row=row_of(result), alt_text=text)
    st.vega_lite_chart(chart, theme=None, width="stretch")


def _slider(result: Pathways, sizes: list[str], n: int) -> None:
    """How many edges are drawn, told by what they explain. Its key follows what is told: Streamlit would reset it."""
    key = f"edges-{result.run_id}-{len(result.found.explained)}"

    def moved() -> None:
        st.session_state["edges"] = st.session_state[key]

    st.select_slider(
        "Edges drawn, and what they explain",
        sizes,
        value=str(n),
        key=key,
        format_func=lambda size: _explains(result, int(size)),
        on_change=moved,
    )


def _explains(result: Pathways, n: int) -> str:
    """A stop of the slider: how many edges, and what they explain of both."""
    shares = [
        percent(one.share)
        for run in SIDES
        for one in result.found.explained.get(run, ())
        if one.edges == n and one.share is not None
    ]
    return f"{n} edges" + (f": {' and '.join(shares)}" if shares else "")


def _legend(p: Palette, n: int) -> None:
    shared, toward, away = kind_colours(p)
    meanings = (
        (shared, f"in both top-{n}"),
        (toward, "only here, raises the answer"),
        (away, "only here, lowers it"),
        (p.line, "stays on its token"),
    )
    spans = "".join(
        f'<span><span class="line" style="background:{colour}"></span>{text}</span>' for colour, text in meanings
    )
    st.html(f'<div class="ivx-legend">{spans}<span>width = share</span><span>shaded: T_inst</span></div>')


def _waiting(request: PathwaysRequest, now: View, p: Palette) -> None:
    left, middle, right = st.columns(COLUMNS, gap="medium")
    names = (request.task.rpartition("/")[2].replace("-", " "), "its contrast")
    for place, name, first in ((left, names[0], True), (middle, names[1], False)):
        with place:
            parts.head(name, jobs.status(now) if now.done else jobs.waiting(request, now))
            _blank(p, first=first)
    with right:
        parts.head("Overlap", "by layer")
        if now.live:
            jobs.running(request, now)
        elif now.state == "stopped":
            jobs.stopped(request)


def _empty(request: PathwaysRequest, p: Palette) -> None:
    left, middle, right = st.columns(COLUMNS, gap="medium")
    for place, first in ((left, True), (middle, False)):
        with place:
            parts.head("Flow", "nothing asked yet")
            _blank(p, first=first)
    with right:
        parts.head("Overlap", "by layer")
        st.write(f"{request.samples} samples of two instructions, one backward sweep each, and the causal check.")
        if st.button("Trace both", type="primary"):
            view.start(request)
            st.rerun()


def _blank(p: Palette, *, first: bool) -> None:
    chart = flow((), (), [""] * 14, layers=8, marked=None, palette=p, row_labels=first, alt_text="Empty flow")
    st.vega_lite_chart(chart, theme=None, width="stretch")
