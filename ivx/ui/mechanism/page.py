"""The Mechanism page: the parts of each head that matters, and what an opened one looks at in both runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ivx.analyses.mechanism.request import MechanismRequest
from ivx.analyses.mechanism.result import NAMES, Mechanism, MechanismCell
from ivx.charts.palette import Palette
from ivx.charts.parts import colours, parts_chart
from ivx.jobs.job import View
from ivx.stats.metrics import find
from ivx.ui.kit import address, asking, blanks, checkpoints, choices, clicks, exports, following, pieces, progress
from ivx.ui.kit import session as sessions
from ivx.ui.mechanism.card import card, maps, reading

LEDE = (
    "Each query is told one task, and one head’s output at the last token is replaced by that of the same query told "
    "another, in wordings of equal length: <b>all of it</b>, its attention row alone (<b>where it looks</b>), or its "
    "values alone (<b>what it reads</b>). Some queries choose the heads; others measure them."
)
KINDS = ("mechanism",)
COLUMNS = [1.75, 1.15]
CELL = "cell"
MORE = {
    "mechanism_n": MechanismRequest.samples,
    "mechanism_heads": MechanismRequest.heads,
    **asking.INITIAL,
    **asking.PLAIN,
}


def controls() -> tuple[MechanismRequest | None, str]:
    """Draw the controls: checkpoint, task, metric, More; for a stored run only the metric, and no request."""
    if address.from_url(address.RUN, ""):
        return None, choices.metric(sessions.run_strip(KINDS, _line))
    one, two, three, _, four = st.columns([1.42, 0.86, 0.66, 1.12, 0.52], gap="small", vertical_alignment="bottom")
    checkpoint, task = choices.checkpoint_and_task(one, two)
    metric = choices.metric(three)
    with choices.popover(four, MORE):
        left, right = st.columns(2, gap="small")
        with left:
            samples = choices.counted("mechanism_n", "Samples", MechanismRequest.samples, low=10, high=2_000)
        with right:
            heads = choices.counted("mechanism_heads", "Heads", MechanismRequest.heads, low=1, high=20)
        way = asking.way(instructed=True)
    asked: dict[str, Any] = way | checkpoints.loading(checkpoint)
    return MechanismRequest(checkpoint, task, samples=samples, heads=heads, **asked), metric


def _line(asked: MechanismRequest) -> str:
    """A stored run's request in a line."""
    return f"{asked.checkpoint} · {asked.task} · {asked.samples} samples asked for · {asked.heads} heads"


def show(request: MechanismRequest | None, metric: str, p: Palette) -> None:
    """The heads of a request as they come: begun at once on an embedded checkpoint, on a click on any other; or a
    stored run's."""

    def draw(asked: MechanismRequest, now: View) -> None:
        _draw(asked, metric, now, p)

    def view(asked: MechanismRequest | None) -> dict[str, str]:
        told = {"metric": metric} if asked is None else _parts(asked, metric)
        return told | {CELL: address.from_url(CELL, "")}

    if request is not None:
        following.said()
    progress.follow_or_open(request, KINDS, draw=draw, blank=lambda asked, now: _blank(asked, now, p), view=view)


def _parts(request: MechanismRequest, metric: str) -> dict[str, str]:
    told = {"checkpoint": request.checkpoint, "task": request.task, "metric": metric}
    return told | choices.parts_of(MORE)


def _draw(request: MechanismRequest, metric: str, now: View, p: Palette) -> None:
    result: Mechanism = now.result
    cells = result.cells(metric)
    if not cells:
        _blank(request, now, p)
        return
    pieces.distrust(result.receipt)
    named = address.from_url(CELL, "")
    opened = next((k for k, cell in enumerate(cells) if cell.patch == named), 0)
    left, right = st.columns(COLUMNS, gap="medium")
    with left:
        _panel(result, cells, opened, metric, p)
        if now.state == "done":
            pieces.reading(reading(result, cells, metric), result.receipt)
        else:
            progress.under(request, now)
    with right:
        link = address.link(result, **_parts(request, metric), cell=cells[opened].patch)
        card(result, cells[opened], metric, live=now.live, link=link, p=p)
    maps(result, cells[opened], p)
    pieces.secondary(metric)
    exports.foot(result, metric, live=now.live)


def _panel(result: Mechanism, cells: list[MechanismCell], opened: int, metric: str, p: Palette) -> None:
    unit = find(metric).unit
    pieces.head("Heads that matter, most first", f"mean effect, {unit}, 95% interval; n = {cells[0].n}")
    spec = parts_chart(
        result.dots(metric),
        names=[cell.name for cell in cells],
        unit=unit,
        palette=p,
        selected=opened,
        alt_text=f"{len(cells)} heads, each with the effect of all of it, of where it looks and of what it reads",
    )

    def picked(point: Mapping[str, Any]) -> None:
        st.session_state[CELL] = cells[int(point["row"])].patch

    clicks.chart(spec, key=f"parts-{result.run_id}-{metric}", picked=picked)
    pieces.series(
        list(zip(NAMES.values(), colours(p), strict=True)),
        ["hollow: not different from 0, or no better than another head of the layer or a random change"],
    )


def _blank(request: MechanismRequest, now: View | None, p: Palette) -> None:
    def axes(told: str) -> DeltaGenerator:
        left, right = st.columns(COLUMNS, gap="medium")
        with left:
            pieces.head("Heads that matter, most first", told)
            names = [""] * request.heads
            spec = parts_chart([], names=names, unit="", palette=p, alt_text="Empty rows of heads")
            st.vega_lite_chart(spec, theme=None, width="stretch")
        return right

    about = (
        f"{request.samples} queries told both tasks in wordings of equal length: every head’s output is swapped on one "
        f"half; of the {request.heads} that move the answer most, row and values are swapped apart on the other."
    )
    blanks.show(request, now, blanks.Blank(about, "Take the heads apart", axes))
