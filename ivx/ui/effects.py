"""The Effects page's parts: its controls, its maps as they fill, and the card of the chosen cell."""

from __future__ import annotations

import streamlit as st

from ivx.analysis.metrics import METRICS
from ivx.analysis.result import Cell, Effects
from ivx.analysis.together import Interactions
from ivx.charts.figure import tile
from ivx.charts.heatmap import heatmap, scale_of
from ivx.charts.palette import Palette
from ivx.runs.job import View
from ivx.runs.patching import EffectsRequest
from ivx.ui import evidence, exports, jobs, parts, pickers, view
from ivx.ui.readings import reading

SITES = ("resid_post", "z")
SAMPLES = 40
SOURCES = {"t_inst": "T_inst", "keyword": "keyword"}


def controls() -> tuple[EffectsRequest | None, str]:
    """The strip: checkpoint, task, metric, source token; of a stored run, the metric alone, and no request."""
    if view.from_url(view.RUN, ""):
        return None, pickers.metric(view.run_strip("effects", _told))
    one, two, three, four = st.columns([1.3, 1.1, 0.8, 0.8], gap="medium", vertical_alignment="bottom")
    checkpoint, task = pickers.checkpoint_and_task(one, two)
    metric = pickers.metric(three)
    view.from_url("source", "t_inst", list(SOURCES))
    source = four.segmented_control(
        "Vector from",
        list(SOURCES),
        key="source",
        format_func=lambda s: SOURCES[s],
        required=True,
        width="stretch",
        help="The instruction’s last token (T_inst), or the last token of the words that name the task (keyword).",
    )
    request = EffectsRequest(
        checkpoint=checkpoint,
        task=task,
        sites=SITES,
        source_token=str(source or "t_inst"),
        samples=SAMPLES,
        **view.loading(checkpoint),  # type: ignore[arg-type]
    )
    return request, metric


def _told(asked: EffectsRequest) -> str:
    """A run's request in a line."""
    source = SOURCES.get(asked.source_token, f"token {asked.source_token}")
    return (
        f"{asked.checkpoint} · {asked.task} · {asked.samples} samples asked for · {', '.join(asked.sites)} · position "
        f"{asked.position} · vector from {source} · {asked.direction}"
    )


def show(request: EffectsRequest | None, metric: str, p: Palette) -> None:
    """The maps of a request: started at once on an embedded checkpoint, on a click on any other; or a stored run's."""
    if request is None:
        found = view.stored_run("effects")
        if found is not None:
            rows = found.table.num_rows
            _draw(found.request, metric, View("done", rows, rows, None, found, "", "", stored=True), p)
            view.to_url(run=found.run_id, metric=metric, cell=view.from_url("cell", ""))
        return
    _to_url(request, metric)

    def draw(now: View) -> None:
        _draw(request, metric, now, p)
        _to_url(request, metric)  # a click reruns the fragment alone

    jobs.follow(request, draw=draw, empty=lambda: _empty(request, p))


def _to_url(request: EffectsRequest, metric: str) -> None:
    view.to_url(
        checkpoint=request.checkpoint,
        task=request.task,
        metric=metric,
        source=request.source_token,
        cell=view.from_url("cell", ""),
    )


def _draw(request: EffectsRequest, metric: str, now: View, p: Palette) -> None:
    if now.result is None:
        _waiting(request, now, p)
        return
    result = now.result
    parts.distrust(result.receipt)
    prompts(result)
    found = {site: _cells(result, site, metric, now.done) for site in result.maps}
    chosen = _chosen(result, found)
    # One unit a page would be one scale; heads move far less than the stream, so their map has its own and says so.
    scales = {site: scale_of([c.value for c in cells if c.state != "zero"]) for site, cells in found.items()}
    left, middle, right = st.columns([1, 1, 1.05], gap="medium")
    source = SOURCES.get(request.source_token, f"token {request.source_token}")
    unit = METRICS[metric].unit
    places = [left, middle]
    while len(places) < len(result.maps):
        places += st.columns([1, 1, 1.05], gap="medium")[:2]
    for site, place in zip(result.maps, places, strict=False):
        with place:
            what = "z at the answer position" if site == "z" else f"{site} ← {source}"
            parts.head(f"Layer × {'head' if site == 'z' else 'position'}", jobs.status(now) if now.live else what)
            _map(result, site, found[site], scales[site], chosen, p, first=site == next(iter(result.maps)))
            own = "" if site != "z" else f" This map has its own scale, ±{scales[site]:g}."
            parts.reading(reading(found[site], result.maps[site], unit=unit) + own if not now.live else "")
    with right:
        if now.live:
            jobs.running(request, now)
        if chosen is not None:
            evidence.card(result, chosen, metric, token=view.token_of(result), p=p)
    first = next(iter(scales))
    parts.legend(p, scales[first], unit, pending=any(c.state == "estimate" for cells in found.values() for c in cells))
    if now.state == "stopped":
        jobs.stopped(request)
    strip, export = st.columns([6, 1], gap="medium", vertical_alignment="bottom")
    with strip:
        parts.trust(result.receipt, rows=f"n = {len(result.samples.rows)} · {result.table.num_rows:,} rows")
    if not now.live:
        with export:
            exports.offer(result, metric)
    for warning in result.samples.warnings:
        parts.note(warning)


@st.cache_data(max_entries=200, show_spinner=False, hash_funcs={Effects: lambda r: r.run_id})
def _cells(result: Effects, site: str, metric: str, done: int) -> list[Cell]:
    return result.cells(site, metric)


def _map(
    result: Effects, site: str, cells: list[Cell], scale: float, chosen: Cell | None, p: Palette, *, first: bool
) -> None:
    labels = [column.label for column in result.maps[site]]
    here = (chosen.layer, chosen.column) if chosen is not None and chosen.site == site else None
    tiles = [tile(cell, labels) for cell in cells]
    chart = heatmap(
        tiles,
        labels,
        layers=result.layers,
        scale=scale,
        palette=p,
        selected=here,
        bold=0 if first else None,
        row=42 if result.layers <= 16 else 14,
        mono=site != "z",
        alt_text=f"Effect map, {site}, {result.layers} layers by {len(labels)} columns",
    )
    key = f"map-{site}-{result.run_id}"

    def picked() -> None:
        points = st.session_state[key]["selection"].get("cell") or []
        if points:
            st.session_state["cell"] = result.address(site, int(points[0]["layer"]), int(points[0]["column"]))

    st.vega_lite_chart(chart, key=key, theme=None, width="stretch", on_select=picked, selection_mode="cell")


def _chosen(result: Effects, found: dict[str, list[Cell]]) -> Cell | None:
    """The clicked cell, or the address bar's, or the strongest finding."""
    every = [cell for cells in found.values() for cell in cells if cell.state != "estimate"]
    if not every:
        return None
    asked = view.from_url("cell", "")
    named = next((cell for cell in every if cell.patch == asked), None)
    if named is not None:
        return named
    first = [cell for cell in every if cell.site == every[0].site]
    return max(first, key=lambda c: (c.state == "ok", abs(c.value)))


def prompts(result: Effects | Interactions, *, control: bool = False) -> None:
    """The prompts of the first sample, the token that the vector is taken from and the first patched one outlined.

    With `control`, the vector's is the other task's instruction.
    """
    sample, token = result.samples.rows[0], view.token_of(result)
    told = result.samples.control[0] if control and result.samples.control else sample
    taken = told.t_inst if result.request.source_token == "t_inst" else (told.keyword or told.t_inst)
    parts.chips(
        [token(i) for i in told.source],
        taken,
        [token(i) for i in sample.target],
        sample.first,
        answer=sample.answer,
        contrast=sample.contrast,
        tag=SOURCES.get(result.request.source_token, f"token {result.request.source_token}"),
    )


def _waiting(request: EffectsRequest, now: View, p: Palette) -> None:
    left, middle, right = st.columns([1, 1, 1.05], gap="medium")
    for place, name in ((left, "Layer × position"), (middle, "Layer × head")):
        with place:
            parts.head(name, jobs.waiting(request, now))
            _blank(p)
    if now.state == "stopped":
        with right:
            jobs.stopped(request)


def _blank(p: Palette, *, columns: int = 6) -> None:
    chart = heatmap([], [""] * columns, layers=8, scale=1.0, palette=p, alt_text="Empty map")
    st.vega_lite_chart(chart, theme=None, width="stretch")


def _empty(request: EffectsRequest, p: Palette) -> None:
    left, middle, right = st.columns([1, 1, 1.05], gap="medium")
    for place, name in ((left, "Layer × position"), (middle, "Layer × head")):
        with place:
            parts.head(name, "nothing asked yet")
            _blank(p)
    with right:
        st.write(f"{request.samples} samples, every layer × position and every head, each with its control.")
        if st.button("Run the maps", type="primary"):
            view.start(request)
            st.rerun()
