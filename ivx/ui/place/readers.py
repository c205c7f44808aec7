"""The readers on the page: the curve with its steps, and the heads of the step that was clicked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from ivx.analyses.place import drawing
from ivx.analyses.place.readers import Readers, Step
from ivx.analyses.place.request import PlaceRequest
from ivx.analyses.place.result import Place
from ivx.charts.numbers import signed
from ivx.charts.palette import Palette
from ivx.jobs.job import View
from ivx.models.registry import embedded
from ivx.numeral import index_of
from ivx.stats.metrics import find
from ivx.ui.kit import address, blanks, clicks, pieces, progress, session
from ivx.ui.kit.evidence import interval, whiskers

BLOCK = "block"
"""The block whose heads are opened, in the view."""


def curve_panel(result: Place, metric: str, now: View, p: Palette) -> None:
    """What the blocks up to each have read of the vector; a click on a block opens its heads."""
    opened = index_of(address.from_url(BLOCK, ""), below=result.layers)
    readers, chart = result.readers(metric), drawing.curve(result, metric, p, chosen=opened)
    if readers is None or chart is None:
        pieces.head("Who reads it", progress.status(now) if now.live else "")
        if not now.live:
            pieces.note("Without a place, nobody’s reading is looked for.")
        return
    n = len(result.parts.confirming)
    pieces.head("Who reads it", f"put at layer {readers.layer}, own value back after each block; n = {n}")
    clicks.chart(chart, key=f"readers-{result.run_id}-{metric}", picked=_pick, by="step")
    pieces.reading(_curve_reading(readers, metric), result.receipt)


def _pick(point: Mapping[str, Any]) -> None:
    st.session_state[BLOCK] = str(int(point["block"]))


def _curve_reading(readers: Readers, metric: str) -> str:
    steps = {step.block: step for step in readers.steps}
    if not readers.blocks:
        return f"No block by itself reads it: of {signed(readers.whole)} {find(metric).unit} none is a step of one."
    told = [
        f"<b>{b}</b> ({signed(steps[b].step)} {interval(steps[b].step_low, steps[b].step_high)})"
        for b in readers.blocks
    ]
    one = len(told) == 1
    return (
        f"Of {signed(readers.whole)} {find(metric).unit} "
        f"{'one block reads' if one else f'{len(told)} blocks read'}: {', '.join(told)}. Dashed: the same of another "
        "task’s vector."
    )


def heads_panel(result: Place, metric: str, p: Palette, *, live: bool) -> None:
    """The heads of the clicked block: from this run where it has them, else from one that is asked for."""
    readers = result.readers(metric)
    if readers is None:
        return
    block = index_of(address.from_url(BLOCK, ""), below=result.layers)
    if block is None or block not in [step.block for step in readers.steps]:
        pieces.head("Its heads", "click a step of the curve")
        return
    if block not in readers.blocks:
        pieces.head(f"Heads of block {block}", "no step")
        pieces.note(f"Block {block} by itself reads nothing: heads are looked at in blocks that do.")
        return
    if readers.heads:
        _heads(readers, block, metric, result, p)
    elif live or result.receipt.get("imported"):
        pieces.head(f"Heads of block {block}", "after the search" if live else "not in this imported run")
    else:
        _asked(_wanted(result, readers), block, metric, p)


def _wanted(result: Place, readers: Readers) -> PlaceRequest:
    """The request for the heads: of the pair that was found alone, so that nothing is searched again."""
    found = result.found()
    assert found is not None, "what is read has a place"
    at = found.at
    return replace(
        result.request, source_token=at.source_token, position=at.position, readers="heads", layer=readers.layer
    )


def _asked(wanted: PlaceRequest, block: int, metric: str, p: Palette) -> None:
    job = session.job(wanted, compute=embedded(wanted.checkpoint) is not None)
    if job is None:
        pieces.head(f"Heads of block {block}", "nothing asked yet")
        blanks.costs([wanted])
        if st.button("Look at the heads", key="heads-run", type="primary"):
            session.start(wanted)
            st.rerun()
        return
    live = job.view(session.session()).live

    def look() -> None:
        now = job.view(session.session())
        if live and not now.live:
            st.rerun()  # the whole page once more, without the timer
        found: Place | None = now.result if now.state == "done" else None
        if now.live:
            pieces.head(f"Heads of block {block}", progress.status(now) if now.done else progress.waiting(wanted, now))
            progress.running(wanted, now)
        elif found is not None and (readers := found.readers(metric)) is not None and readers.heads:
            _heads(readers, block, metric, found, p)
        elif now.state == "stopped":
            pieces.head(f"Heads of block {block}", "stopped")
            progress.stopped(wanted)
        elif now.state in ("refused", "failed"):
            blanks.ended_badly(wanted, now, narrow=True)
        else:
            pieces.head(f"Heads of block {block}", "")
            pieces.note("The run of this pair alone names no reading head.")

    st.fragment(look, run_every=session.tick() if live else None)()


def _heads(readers: Readers, block: int, metric: str, result: Place, p: Palette) -> None:
    mine = [head for head in readers.heads if head.block == block]
    pieces.head(f"Heads of block {block}", f"lost without it, {find(metric).unit}; n = {len(result.parts.confirming)}")
    rows = [
        (f"head {head.head}", head.step, head.step_low, head.step_high, p.orange if _reads(head) else p.muted)
        for head in mine
    ]
    st.html(f'<div class="ivx-card" data-testid="ivx-heads">{whiskers(rows, p)}</div>')
    pieces.reading(_heads_reading(mine, block, metric), result.receipt)


def _reads(head: Step) -> bool:
    return head.state == "ok" and head.step > 0


def _heads_reading(heads: Sequence[Step], block: int, metric: str) -> str:
    found = sorted((head for head in heads if _reads(head)), key=lambda head: -head.step)
    if not found:
        return f"No head of block {block} passes it by itself beyond the control."
    told = ", ".join(f"<b>{head.head}</b> ({signed(head.step)}, control {signed(head.control)})" for head in found)
    return f"With the head’s output behind the place as it is unpatched, so much is lost: head {told}."
