"""The card of a layer: what is read there, what acts, and what is left when the readable part is erased."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

from ivx.analyses.erasure.request import ErasureRequest
from ivx.analyses.erasure.result import Erasure
from ivx.analyses.separability.result import BASELINES, Estimate, ProbeCell, Separability
from ivx.charts.numbers import signed
from ivx.charts.palette import Palette
from ivx.jobs.job import View
from ivx.patching.cells import Cell
from ivx.ui.kit import blanks, evidence, pieces, progress, readings, session
from ivx.vocabulary import position

LEAST = 0.5
"""The least end of a card's scale, in logits, so that tiny effects are not drawn large."""
CAPACITY = (
    "Control task of Hewitt and Liang: every family of wordings has a random label, and other wordings of it are "
    "tested. A probe that learns these as well tells more of itself than of the states."
)
LOST = {
    "ok": "more than a random subspace takes: what is read is part of what acts",
    "control": "no more than a random subspace takes",
    "zero": "not different from 0",
    "undefined": readings.SAID["undefined"],
}


def card(
    request: ErasureRequest, read: Separability, effects: Sequence[Cell], layer: int, erased: View | None, p: Palette
) -> None:
    """Draw the card of one layer; the erasure is computed on a click."""
    component = request.component
    probe = next((cell for cell in read.cells(component) if cell.layer == layer), None)
    act = next((cell for cell in effects if cell.layer == layer and cell.state != "estimate"), None)
    found: Erasure | None = None if erased is None else erased.result
    patch = f'<code class="soft">{escape(act.patch)}</code>' if act is not None else ""
    st.html(
        f'<div class="ivx-card" data-testid="ivx-card"><div class="top"><h2>Layer {layer}</h2>{patch}</div>'
        f"{_probed(probe)}{_acted(act, p, where=position(request.position).caption)}{_erased(found, layer, p)}</div>"
    )
    if found is not None:
        return
    if erased is not None and erased.live:
        pieces.note(
            progress.waiting(request, erased)
            if not erased.total
            else f"erasing, {erased.done} of {erased.total} layers"
        )
    elif erased is not None and erased.state in ("refused", "failed"):
        pieces.note(erased.message)
    else:
        blanks.costs([request])
        if st.button("Erase what is read, patch the rest", width="stretch"):
            session.start(request)
            st.rerun()


def erased_card(found: Erasure, layer: int, p: Palette) -> None:
    """Draw the card of one layer with the erasure alone."""
    patch = next(cell.patch for cell in found.cells() if cell.layer == layer)
    st.html(
        f'<div class="ivx-card" data-testid="ivx-card"><div class="top"><h2>Layer {layer}</h2>'
        f'<code class="soft">{escape(patch)}</code></div>{_erased(found, layer, p)}</div>'
    )


def _probed(cell: ProbeCell | None) -> str:
    if cell is None:
        return "<h3>Can be read</h3><div>not computed yet</div>"
    others = [
        f"{name} {estimate.value:.0%}"
        for name, estimate in (("nearest centroid", cell.centroid), ("RBF kernel", cell.nonlinear))
        if estimate is not None
    ]
    if cell.margin is not None:
        others.append(f"margin {cell.margin.value:.1f} nats")
    if cell.within is not None and cell.capacity is not None:
        others.append(
            f"where every family is seen {cell.within.value:.0%}, on random labels that can be learnt "
            f"{cell.capacity.value:.0%} ({CAPACITY})"
        )
    more = "".join(f"<div>{escape(one[0].upper() + one[1:])}</div>" for one in others)
    return (
        f"<h3>Can be read</h3><div>accuracy <b>{cell.accuracy.value:.0%}</b> {_span(cell.accuracy)}, shuffled "
        f"{cell.control.value:.0%}: selectivity <b>{cell.selectivity.value:.0%}</b> {_span(cell.selectivity)}</div>"
        f"{_over_words(cell)}"
        f'<div class="soft">adjusted p {evidence.shown_p(cell.p)} · n = {cell.n}</div>'
        f"<details><summary>Other probes</summary>{more}</details>"
    )


def _over_words(cell: ProbeCell) -> str:
    """What a bag of words leaves of the accuracy."""
    if cell.over_words is None:
        return ""
    over = cell.over_words
    value, low, high = (signed(100 * share, 0) for share in (over.value, over.low, over.high))
    return f"<div>{value} points over a bag of words [{low}, {high}]</div>"


def _span(estimate: Estimate) -> str:
    return f"[{estimate.low:.0%}, {estimate.high:.0%}]"


def _acted(cell: Cell | None, p: Palette, *, where: str) -> str:
    if cell is None:
        return "<h3>Acts</h3><div>not computed yet</div>"
    colour = p.muted if cell.state != "ok" else p.orange if cell.value > 0 else p.blue
    rows = [("this vector", cell.value, cell.low, cell.high, colour)]
    if cell.control is not None and cell.control_low is not None and cell.control_high is not None:
        rows.append(("another task’s", cell.control, cell.control_low, cell.control_high, p.muted))
    reach = max([LEAST, *(abs(end) for row in rows for end in row[1:4])])
    sure = "" if cell.state == "zero" else f" · adjusted p {evidence.shown_p(cell.p)}"
    return (
        f"<h3>Acts, logits, copied onto {where}</h3>{pieces.whisker(rows, p, scale=reach * 1.1)}"
        f'<div class="soft">{readings.said_of(cell, controlled=cell.control is not None)}{sure} · n = {cell.n}</div>'
    )


def _erased(found: Erasure | None, layer: int, p: Palette) -> str:
    cell = None if found is None else next((c for c in found.cells() if c.layer == layer), None)
    if cell is None:
        return ""
    rows = [
        ("whole vector", cell.whole, p.orange),
        ("without what is read", cell.erased, p.blue),
        ("without as much at random", cell.random, p.faint),
    ]
    lost = cell.lost
    return (
        f"<h3>Erased: its effect, logits</h3>{pieces.signed_bars(rows, least=LEAST)}"
        f"<div>lost <b>{signed(lost.value, 2)}</b> [{signed(lost.low, 2)}, {signed(lost.high, 2)}]: {LOST[lost.state]}."
        f'</div><div class="soft">the edit is {cell.moved:.0%} of the vector’s length, the random one '
        f"{cell.moved_random:.0%} · n = {cell.n}</div>"
    )


def probe_reading(found: Separability, component: str, layer: int | None) -> str:
    """The probe's accuracy at one layer, beside its baselines: shuffled labels, words, the token's embedding."""
    cell = next((c for c in found.cells(component) if c.layer == layer), None)
    if cell is None:
        return ""
    baselines = found.baselines()
    words, token = (baselines.get(name, 0.0) for name in BASELINES)
    also = "also " if words >= cell.accuracy.low else ""
    unsure = (
        ""
        if cell.state == "ok"
        else (f" Not beyond a guess: up to {cell.selectivity.high:.0%} over shuffled labels is not ruled out.")
    )
    return (
        f"At layer {layer}: <b>{cell.accuracy.value:.0%}</b> [{cell.accuracy.low:.0%}, {cell.accuracy.high:.0%}] over "
        f"{len(found.tasks)} tasks; shuffled labels {cell.control.value:.0%}, a guess {found.chance:.0%}, bag of words "
        f"(dashed) {also}{words:.0%}, token’s embedding (dotted) {token:.0%}.{unsure}"
    )


def read_and_act(name: str, probed: Sequence[ProbeCell], cells: Sequence[Cell]) -> str:
    """How many layers can be read, and how many of these act beyond their control."""
    cells = [cell for cell in cells if cell.state != "estimate"]
    readable = [cell for cell in probed if cell.state == "ok"]
    if not probed or not cells:
        return ""
    found = [cell for cell in cells if cell.state == "ok" and cell.layer in {probe.layer for probe in readable}]
    text = f"<b>{escape(name)}</b>: read at {len(readable)} of {len(probed)} layers"
    if readable:
        ends = [cell.selectivity.value for cell in readable]
        text += f" ({100 * min(ends):.0f}–{max(ends):.0%})"
    if not found:
        return f"{text}; <b>none acts</b>."
    top = max(found, key=lambda cell: abs(cell.value - (cell.control or 0.0)))
    acts = "1 acts" if len(found) == 1 else f"{len(found)} act"
    control = "" if top.control is None else f", control {signed(top.control, 2)}"
    return f"{text}; <b>{acts}</b>, most L{top.layer}, {signed(top.value, 2)}{control}."
