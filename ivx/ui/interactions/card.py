"""The evidence card of a pair: both alone, their sum, both together, J beside its own control, and what that says."""

from __future__ import annotations

from html import escape

import streamlit as st

from ivx.analyses.game.result import Game
from ivx.analyses.interactions.pairs import PairCell
from ivx.analyses.interactions.result import Interactions
from ivx.charts.heatmap import signed
from ivx.charts.pairs import Pair
from ivx.charts.palette import Palette
from ivx.stats.metrics import find
from ivx.ui import behind, written
from ivx.ui.kit import pieces, session
from ivx.ui.kit.evidence import controls, interval, samples, shown_p, tokens, top, whiskers
from ivx.ui.kit.readings import SAID

CONTROL = "another task’s"
PAPER = "A t-test of “both exceed the sum”, yes or no by sample, against 50.0: it passes whatever the data are."


def card(result: Interactions | Game, pair: Pair, metric: str, *, live: bool, link: str, p: Palette) -> None:
    """Draw the card of a pair; what takes more room lies behind links under it, once nothing is `live`."""
    if isinstance(result, Game):
        _of_game(result, pair, metric, p)
        detail = []
    else:
        cell = next(c for c in result.cells(metric) if c.patch == pair.patch)
        detail = result.detail(pair.patch, metric)
        texts = written.follows(result, detail, live=live)
        _of_pair(result, pair, cell, metric, detail, p, texts=texts)
        if texts:
            written.show(result, pair.patch, detail)
    if not live:
        found = behind.Cell("", pair.patch)
        behind.show(result, detail, metric, token=session.token_of(result), link=link, cell=found)


def _of_pair(
    result: Interactions, pair: Pair, cell: PairCell, metric: str, detail: list[dict], p: Palette, *, texts: bool
) -> None:
    unit, token = find(metric).unit, session.token_of(result)
    names = [result.players[i].label for i in (pair.low, pair.high)]
    one, two, both = (value or 0.0 for value in (cell.single_first, cell.single_second, cell.both))
    named = [(names[0], one), (names[1], two), ("sum", one + two), ("both", both)]
    values = [(name, v, p.faint if name == "sum" else p.diverging[6 if v >= 0 else 2]) for name, v in named]
    strict = " It beats the sum and the better of the two." if cell.strict else ""
    harmful = " Both push the answer away when alone." if cell.signs == "--" else ""
    if cell.degenerate:
        said = f"Degenerate: {escape(cell.degenerate)}; J is what the two alone leave, and was not run."
        beside = ""
    else:
        said = (
            f"J = <b>{signed(cell.j, 2)}</b> {escape(unit)} {interval(cell.low, cell.high)}, adjusted p "
            f"{shown_p(cell.p)}: {SAID[cell.state]}; {signed(cell.gain or 0.0, 2)} over the better one."
            f"{strict}{harmful}"
        )
        colour = p.muted if cell.state != "ok" else p.orange if cell.j > 0 else p.blue
        rows = [("J", cell.j, cell.low, cell.high, colour), *controls(result.against(metric)[cell.patch], p)]
        beside = f"<h6>J against its controls</h6>{whiskers(rows, p)}"
        if "task" not in result.controls:
            beside += '<div class="soft">This task has no other task beside it to compare with.</div>'
        paper = result.published_test(metric)[cell.patch]
        beside += f'<div class="soft" title="{PAPER}">The paper’s own test: p {shown_p(paper)}, at any data.</div>'
    levels = [result.level("followed", patch=patch) for patch in ("", cell.patch)]
    st.html(
        f'<div class="ivx-card{" open" * texts}" data-testid="ivx-card">{top(f"{names[0]} and {names[1]}", cell.patch)}'
        f'{pieces.signed_bars(values)}<div style="margin-top:8px">{said}</div>{beside}'
        f'<div class="soft" style="margin-top:6px">n = {cell.n}, {cell.same_sign:.0%} same sign · followed '
        f"{levels[0]:.0%} → {levels[1]:.0%}</div>"
        f"{tokens(detail, token, p, after='After both')}{samples(detail)}</div>"
    )


def _of_game(result: Game, pair: Pair, metric: str, p: Palette) -> None:
    found = result.interactions(metric)[pair.low, pair.high]
    alone = result.shapley(metric)
    rows = [(f"layer {i}", alone[i].value, alone[i].low, alone[i].high, p.muted) for i in (pair.low, pair.high)]
    colour = p.muted if found.state != "ok" else p.orange if found.value > 0 else p.blue
    beside = [("together", found.value, found.low, found.high, colour)]
    if found.control is not None and found.control_low is not None and found.control_high is not None:
        beside.append((CONTROL, found.control, found.control_low, found.control_high, p.muted))
    st.html(
        f'<div class="ivx-card" data-testid="ivx-card">{top(f"Layers {pair.low} and {pair.high}", "")}'
        f'<div class="row"><span class="big" style="color:{colour}">{signed(found.value, 2)}</span><span class="soft">'
        f"{escape(find(metric).unit)}, {SAID[found.state]} · 95% CI {interval(found.low, found.high)} · "
        f"adjusted p {shown_p(found.p)} · n = {len(result.samples.rows)}, {found.same_sign:.0%} same sign</span></div>"
        f"<h6>Against its control</h6>{whiskers(beside, p)}"
        f"<h6>Shapley value of each</h6>{whiskers(rows, p)}"
        "<h6>Additivity of the whole game</h6>"
        f"<div>R² = {result.additivity(metric):.2f}; 1 would be linear.</div></div>"
    )
