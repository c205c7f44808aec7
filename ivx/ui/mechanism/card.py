"""The evidence card of one head, its attention maps in both runs, and what the page says in a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import streamlit as st

from ivx.analyses.mechanism.result import NAMES, PARTS, Mechanism, MechanismCell, halves
from ivx.analyses.mechanism.text import SAYS
from ivx.charts.attention import attention_map
from ivx.charts.numbers import signed
from ivx.charts.palette import Palette
from ivx.charts.parts import colours
from ivx.stats.metrics import find
from ivx.ui.kit import checkpoints, evidence, exports, pieces
from ivx.ui.kit.readings import said_of

NAMED = 3
"""Most heads that a sentence names."""


def reading(result: Mechanism, cells: Sequence[MechanismCell], metric: str) -> str:
    """By what the heads act, in a sentence made from their verdicts."""
    found = {kind: [cell.name for cell in cells if cell.says == kind] for kind in SAYS}
    told = [
        f"<b>{_listed(names)}</b> {'acts' if len(names) == 1 else 'act'} {SAYS[kind]}"
        for kind, names in found.items()
        if names and kind != "neither"
    ]
    gap = result.gap(metric)
    whole = "" if gap is None else f" Told the task whole, the answer moves by {signed(gap[0], 2)} {find(metric).unit}."
    if not told:
        return f"Neither where these heads look nor what they read moves the answer beyond its controls.{whole}"
    return f"{'; '.join(told)}.{whole}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" * (len(names) > NAMED)
    return ", ".join(map(escape, names[:NAMED])) + more


def card(result: Mechanism, cell: MechanismCell, metric: str, *, live: bool, link: str, p: Palette) -> None:
    """Draw the card of a head."""
    unit, whole, look = find(metric).unit, cell.parts["total"], result.looks.get(cell.patch)
    ink = p.muted if whole.state != "ok" else p.orange if whole.value > 0 else p.blue
    rows = []
    for name, colour in zip(PARTS, colours(p), strict=True):
        one, other = cell.parts[name], cell.parts[name].against
        rows += [(NAMES[name], one.value, one.low, one.high, colour)]
        if name != "interaction":
            beside = {"another head’s": other["task"], "random change": other["random"]}
            rows += [(f"– {said}", of.mean, of.low, of.high, p.muted) for said, of in beside.items()]
    apart = cell.apart
    moved = "" if look is None else f" · {look.moved:.0%} of its attention stands elsewhere"
    named = "" if look is None else f"<div class='soft'>The other head is H{look.other} of the layer.</div>"
    st.html(
        f'<div class="ivx-card" data-testid="ivx-card">'
        f"{evidence.top(f'Layer {cell.layer}, head {cell.head}', cell.patch, result.receipt)}"
        f'<div class="row"><span class="big" style="color:{ink}">{signed(whole.value, 2)}</span>'
        f'<span class="soft">{escape(unit)} for all of it, '
        f"{said_of(whole, controlled=True, floor=find(metric).floor)} · 95% CI "
        f"{evidence.interval(whole.low, whole.high)} · adjusted p {evidence.shown_p(whole.p)} · "
        f"{evidence.counted(cell.n, whole.undefined)}{moved}</span></div>"
        f"<h3>Its parts, each beside its controls</h3>{evidence.whiskers(rows, p)}{named}"
        f"<h3>Acts {SAYS[cell.says]}</h3><div>where it looks less what it reads: {signed(apart.value, 2)} "
        f"{evidence.interval(apart.low, apart.high)}, adjusted p {evidence.shown_p(apart.p)}</div>"
        f"{evidence.spread(_detail(result, cell, metric), result.samples)}</div>"
    )
    if not live:
        with st.container(horizontal=True, gap="small", key="ivx-links"):
            evidence.link_to(link)
            with st.popover("Python", type="tertiary"):
                read = f"next(cell for cell in found.cells({metric!r}) if cell.patch == {cell.patch!r})"
                st.code(f"{exports.computed_by(result.request)}\n{read}", language="python", wrap_lines=True)


def _detail(result: Mechanism, cell: MechanismCell, metric: str) -> list[dict[str, Any]]:
    """Each query, and what the whole head does there."""
    rows = result.samples.rows[halves(len(result.samples.rows))[1]]
    values = result.effects(cell.patch, metric)["total"].tolist()
    return [
        {"query": row.query, "answer": row.answer, "effect": value}
        for row, value in zip(rows, values, strict=True)
        if math.isfinite(value)
    ]


def maps(result: Mechanism, cell: MechanismCell, p: Palette) -> None:
    """What the head looks at in one query's two runs."""
    look = result.looks.get(cell.patch)
    if look is None:
        return
    token = checkpoints.token_of(result)
    start = halves(len(result.samples.rows))[1].start
    one, other = result.samples.rows[start], result.samples.counter[start]
    left, right = st.columns(2, gap="medium")
    contrast = result.receipt["contrast"]
    for place, name, sample, rows in (
        (left, result.request.task, one, look.source),
        (right, contrast, other, look.target),
    ):
        with place:
            pieces.head(f"{cell.name} told {name}", "one query’s attention; outlined: the row swapped")
            labels = [token(i) for i in sample.instructed]
            spec = attention_map(
                rows, labels, palette=p, colour=p.ink, alt_text=f"Attention of {cell.name}, told {name}"
            )
            st.vega_lite_chart(spec, theme=None, width="stretch", key=f"seen-{result.run_id}-{cell.patch}-{name}")
