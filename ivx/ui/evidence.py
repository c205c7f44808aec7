"""The evidence card: everything behind one cell."""

from __future__ import annotations

from collections import defaultdict
from html import escape
from typing import Any

import streamlit as st

from ivx.analysis.metrics import find
from ivx.analysis.pairs import PairCell
from ivx.analysis.result import Cell, Effects
from ivx.analysis.together import Interactions
from ivx.charts.heatmap import signed
from ivx.charts.palette import Palette
from ivx.ui import parts

SAID = {
    "ok": "differs from 0 and from its control",
    "control": "no better than its control",
    "zero": "not different from 0",
}


def shown_p(p: float | None) -> str:
    """An adjusted p, as it is written."""
    return "none" if p is None else "< .001" if p < 0.001 else f"= {p:.3f}".replace("0.", ".", 1)


def pair_card(
    result: Interactions, cell: PairCell, layers: tuple[int, int], metric: str, *, token: Any, p: Palette
) -> None:
    """The card of a pair: both alone, their sum, both together, and what that says."""
    unit = find(metric).unit
    one, two, both = (value or 0.0 for value in (cell.single_first, cell.single_second, cell.both))
    alone = [(f"layer {layers[0]}", one), (f"layer {layers[1]}", two)]
    bars = parts.signed_bars(
        [
            *((name, value, p.diverging[6 if value >= 0 else 2]) for name, value in alone),
            ("sum", one + two, p.faint),
            ("both", both, p.diverging[6 if both >= 0 else 2]),
        ]
    )
    control = "" if cell.control_j is None else f" Another task’s vectors: J {signed(cell.control_j, 2)}."
    strict = " It beats the sum and the better of the two." if cell.strict else ""
    said = (
        f"Degenerate: {escape(cell.degenerate)}; J is what the two alone leave."
        if cell.degenerate
        else f"J = <b>{signed(cell.j, 2)}</b> {escape(unit)} [{signed(cell.low, 2)}, {signed(cell.high, 2)}], "
        f"adjusted p {shown_p(cell.p)}: {SAID[cell.state]}; {signed(cell.gain or 0.0, 2)} over the better one."
        f"{strict}{control}"
    )
    levels = [result.level("followed", patch=patch) for patch in ("", cell.patch)]
    detail = result.detail(cell.patch, metric)
    st.html(
        f'<div class="ivx-card" data-testid="ivx-card"><div class="top"><b>Layers {layers[0]} and {layers[1]}</b>'
        f'<code class="soft">{escape(cell.patch)}</code></div>{bars}'
        f'<div style="margin-top:8px">{said}</div>'
        f'<div class="soft" style="margin-top:6px">n = {cell.n}, {cell.same_sign:.0%} same sign · followed '
        f"{levels[0]:.0%} → {levels[1]:.0%}</div>"
        f'<div class="row" style="align-items:flex-start">'
        f"{parts.bars('Before, mean share', _tops(detail, 'before', token), p)}"
        f"{parts.bars('After both', _tops(detail, 'after', token), p)}</div></div>"
    )


def card(result: Effects, cell: Cell, metric: str, *, token: Any, p: Palette) -> None:
    """Draw the card; `token` turns a token id into text."""
    view, column = find(metric), result.maps[cell.site][cell.column]
    place = f"head {column.position}, answer position" if cell.site == "z" else f"token {column.label}"
    colour = p.muted if cell.state != "ok" else p.orange if cell.value > 0 else p.blue
    said = SAID[cell.state]
    levels = [result.level("followed", site=cell.site, patch=q) or 0.0 for q in ("", cell.patch)]
    rows = [("this vector", cell.value, cell.low, cell.high, colour)]
    if cell.control is not None and cell.control_low is not None and cell.control_high is not None:
        rows.append(("another task’s", cell.control, cell.control_low, cell.control_high, p.muted))
    reach = max(abs(v) for row in rows for v in row[1:4] if isinstance(v, float)) or 1.0
    detail = result.detail(cell.site, cell.patch, metric)
    ranked = sorted(detail, key=lambda d: -d["effect"])
    st.html(
        f'<div class="ivx-card" data-testid="ivx-card"><div class="top"><b>Layer {cell.layer}, {escape(place)}</b>'
        f'<code class="soft">{escape(cell.patch)}</code></div>'
        f'<div class="row"><span class="big" style="color:{colour}">{signed(cell.value, 2)}</span>'
        f'<span class="soft">{escape(view.unit)}, {said} · 95% CI [{signed(cell.low, 2)}, {signed(cell.high, 2)}] · '
        f"adjusted p {shown_p(cell.p)} · "
        f"n = {cell.n}, {cell.same_sign:.0%} same sign · followed {levels[0]:.0%} → {levels[1]:.0%}</span></div>"
        f"<h6>Against its control</h6>{parts.whisker(rows, p, scale=reach * 1.1)}"
        f'<div class="row" style="align-items:flex-start">'
        f"{parts.bars('Before, mean share', _tops(detail, 'before', token), p)}"
        f"{parts.bars('After', _tops(detail, 'after', token), p)}</div>"
        f"<h6>Samples</h6><div>most {_samples(ranked[:2])} · least {_samples(ranked[::-1][:2])}</div></div>"
    )
    with st.expander(f"All {len(detail)} samples"):
        st.dataframe(
            [
                {
                    "query": d["query"],
                    "answer": d["answer"],
                    "contrast": d["contrast"],
                    "effect": round(d["effect"], 3),
                    "before": token(d["before"][0][0]),
                    "after": token(d["after"][0][0]),
                    "instruction": d["instruction"],
                }
                for d in detail
            ],
            hide_index=True,
            height=260,
        )


def _tops(detail: list[dict[str, Any]], when: str, token: Any) -> list[tuple[str, float, bool]]:
    """Mean share over samples of each kept top token; marked when it is some sample's answer."""
    shares: dict[str, float] = defaultdict(float)
    for row in detail:
        for i, share in row[when]:
            shares[token(i)] += share / len(detail)
    answers = {row["answer"] for row in detail}
    top = sorted(shares.items(), key=lambda item: -item[1])[:4]
    return [(name, share, name in answers) for name, share in top]


def _samples(rows: list[dict[str, Any]]) -> str:
    return ", ".join(f"{escape(row['query'])} {signed(row['effect'], 1)}" for row in rows)
