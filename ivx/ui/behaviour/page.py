"""The Behaviour page: tasks by ways of asking, and the texts behind each cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ivx.analyses.behaviour.request import OWN, SHOWN, WAYS, BehaviourRequest
from ivx.analyses.behaviour.result import Behaviour
from ivx.charts.palette import Palette
from ivx.charts.ways import RECOMMENDED, Square, ways_chart
from ivx.errors import IvxError
from ivx.jobs.job import View
from ivx.stats.following import FLOOR
from ivx.tasks import catalogue
from ivx.tasks.way import MAX_TEMPLATE, MOST_SHOWN
from ivx.ui.behaviour.card import card
from ivx.ui.behaviour.readings import reading
from ivx.ui.kit import address, blanks, checkpoints, choices, clicks, exports, pairs, pieces, progress, session

LEDE = (
    "Each cell is the share of queries whose text begins with the <b>whole answer</b> when told, and below it when not "
    "told. Where the two do not differ, a map shows how a preference moves, not what the model does."
)
KINDS = ("behaviour",)
COLUMNS = [1.9, 1.0]
SAMPLES = 20
"""As in the runs that came with ivx, so that they are what a page opens with."""
BARE = ("prompt", "query", "filler", SHOWN)
"""Ways that are asked of a checkpoint without a chat template."""
MORE = {"n": SAMPLES, "shown": 8, "own": "", "system": ""}


def controls() -> BehaviourRequest | None:
    """Draw the controls: checkpoint, ways of asking, More; None for a stored run."""
    if address.from_url(address.RUN, ""):
        session.run_strip(KINDS, _line)
        return None
    one, beside, two, three = st.columns([1.0, 0.9, 2.0, 0.5], gap="medium", vertical_alignment="bottom")
    checkpoint = choices.checkpoint(one)
    tasks = pairs.chosen(beside, checkpoint)
    usual = tuple(way for way in WAYS if way in (*BARE, "chat")) if _chats(checkpoint) else BARE
    with two:
        ways = choices.several("ways", "Ways of asking", tuple(way for way in WAYS if way in usual), usual)
    with choices.popover(three, MORE):
        left, right = st.columns(2, gap="small")
        with left:
            samples = choices.counted("n", "Queries of each task", SAMPLES, low=5, high=500)
        with right:
            shown = choices.counted("shown", "Demonstrations", 8, low=1, high=MOST_SHOWN)
        template = _text("own", "A template of your own, with {query}, and {instruction} or {demonstrations}")
        system = _text("system", "The system’s turn of a chat prompt") if "chat" in ways else ""
    loading: dict[str, Any] = checkpoints.loading(checkpoint)
    return BehaviourRequest(
        checkpoint,
        tasks,
        ways=ways,
        template=template,
        system=system,
        demonstrations=shown,
        samples=samples,
        **loading,
    )


def _chats(checkpoint: str) -> bool:
    return checkpoints.has_chat_template(checkpoint)


def _text(key: str, label: str) -> str:
    """A field of several lines, its value kept while it is not drawn."""
    address.hold(key, "")
    return str(st.text_area(label, key=key, height=72, max_chars=MAX_TEMPLATE))


def _line(asked: BehaviourRequest) -> str:
    """A stored run's request in a line."""
    return f"{asked.checkpoint} · {', '.join(asked.tasks)} · {', '.join(asked.every)} · {asked.samples} queries a task"


def show(request: BehaviourRequest | None, p: Palette) -> None:
    """The matrix of a request as it fills: begun at once on an embedded checkpoint, on a click on any other; or a
    stored run's."""

    def draw(asked: BehaviourRequest, now: View) -> None:
        _draw(asked, now, p)

    def view(asked: BehaviourRequest | None) -> dict[str, str]:
        told = {} if asked is None else _parts(asked)
        return told | {"cell": address.from_url("cell", "")}

    progress.follow_or_open(request, KINDS, draw=draw, blank=lambda asked, now: _blank(asked, now, p), view=view)


def _parts(request: BehaviourRequest) -> dict[str, str]:
    usual = (*BARE, "chat") if _chats(request.checkpoint) else BARE
    ways = ",".join(way for way in request.ways if way != OWN)
    named = "" if set(ways.split(",")) == set(usual) else ways
    tasks = "" if request.tasks[0] == pairs.ALL else request.tasks[0]
    return {"checkpoint": request.checkpoint, "tasks": tasks, "ways": named, **choices.parts_of(MORE)}


def _draw(request: BehaviourRequest, now: View, p: Palette) -> None:
    result: Behaviour = now.result
    left, right = st.columns(COLUMNS, gap="medium")
    pieces.distrust(result.receipt)
    chosen = _chosen(result)
    with left:
        told = f"{now.done} of {now.total} cells" if now.live else f"share told, 95% interval; n = {request.samples}"
        pieces.head("Tasks × ways of asking", told)
        _matrix(result, chosen, p)
        _legend(p)
        if now.state == "done":
            pieces.reading(reading(result))
        else:
            progress.under(request, now)
    with right:
        if chosen is not None:
            card(result, *chosen, link=_link(result, chosen), p=p)
    trust, export = st.columns([6, 1], gap="medium", vertical_alignment="bottom")
    with trust:
        pieces.trust(result.receipt, rows=f"{result.table.num_rows:,} texts")
    if not now.live:
        with export:
            exports.offer(result, "contrast")
    for warning in result.receipt["warnings"]:
        pieces.note(warning)


def _chosen(result: Behaviour) -> tuple[str, str] | None:
    """The clicked cell, or the address bar's; else the first task in its recommended way, or in the first that is
    there."""
    task, _, way = address.from_url("cell", "").rpartition("~")
    if any((one.task, one.way) == (task, way) for one in result.asked):
        return task, way
    there = list(result.cells)
    if not there:
        return None
    first = there[0][0]
    return first, result.recommended(first) or there[0][1]


def _matrix(result: Behaviour, chosen: tuple[str, str] | None, p: Palette) -> None:
    tasks, ways = result.tasks, result.ways
    spec = _spec(result.squares(), tasks, ways, chosen, p)

    def picked(point: Mapping[str, Any]) -> None:
        st.session_state["cell"] = f"{tasks[int(point['task'])]}~{ways[int(point['way'])]}"

    clicks.chart(spec, key=f"ways-{result.run_id}", picked=picked)


def _spec(
    squares: Sequence[Square],
    tasks: Sequence[str],
    ways: Sequence[str],
    chosen: tuple[str, str] | None,
    p: Palette,
) -> dict[str, object]:
    told = f"Share that follows, {len(tasks)} tasks by {len(ways)} ways of asking"
    return ways_chart(squares, tasks=tasks, ways=ways, palette=p, selected=chosen, alt_text=told)


def _blank(request: BehaviourRequest, now: View | None, p: Palette) -> None:
    """The matrix before anything is known: its true axes, and pale cells."""

    def axes(told: str) -> DeltaGenerator:
        left, right = st.columns(COLUMNS, gap="medium")
        with left:
            pieces.head("Tasks × ways of asking", told)
            with suppress(IvxError):  # the request is refused for it
                collection = checkpoints.collection_of(request.checkpoint)
                tasks = [pair.task.name for pair in catalogue.pairs(request.tasks, collection=collection)]
                squares = [Square(task, way) for task in tasks for way in request.every]
                st.vega_lite_chart(_spec(squares, tasks, request.every, None, p), theme=None, width="stretch")
        return right

    about = (
        f"{request.samples} queries of each task in {len(request.every)} ways, told and untold: a text of at most "
        f"{request.tokens} tokens each. Texts of equal prompts are written once."
    )
    blanks.show(request, now, blanks.Blank(about, "Ask", axes))


def _legend(p: Palette) -> None:
    middle = len(p.diverging) // 2
    ramp = f"linear-gradient(to right,{','.join(p.diverging[middle:])})"
    st.html(
        '<div class="ivx-legend">'
        f'<span>follows, 0<span class="ramp" style="background:{ramp}"></span>100%</span>'
        f'<span title="Told no more than untold, or not above {FLOOR:.0%} for certain"><span class="box" '
        f'style="background:{p.nothing}"></span>does not follow for certain</span>'
        f'<span title="The plain prompt, or what is followed more">{RECOMMENDED} recommended</span></div>'
    )


def _link(result: Behaviour, chosen: tuple[str, str]) -> str:
    if st.session_state.get(address.RUN) or any(map(catalogue.is_file, result.request.tasks)):
        return address.to_view(run=result.run_id, cell="~".join(chosen))
    return address.to_view(**_parts(result.request), cell="~".join(chosen))
