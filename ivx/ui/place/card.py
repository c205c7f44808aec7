"""The evidence card of one pair of tokens at one layer."""

from __future__ import annotations

from html import escape

import streamlit as st

from ivx.analyses.place.looked import Look, look
from ivx.analyses.place.result import Place
from ivx.analyses.place.search import Pair
from ivx.charts.numbers import signed
from ivx.charts.palette import Palette
from ivx.stats.following import percent
from ivx.stats.metrics import find
from ivx.stats.verdict import Verdict
from ivx.ui.kit import checkpoints, evidence, pieces
from ivx.ui.kit.evidence import CodeCell
from ivx.ui.kit.readings import said_of
from ivx.vocabulary import CONTROL


def card(result: Place, pair: Pair, layer: int, metric: str, *, live: bool, link: str, p: Palette) -> None:
    """Draw the card; what was confirmed has a verdict, the rest was looked at to choose and has none."""
    found = look(result, pair, layer, metric)
    if found is None:
        pieces.note(f"Layer {layer} of this pair was not tried: the search is coarse where nothing was near.")
        return
    judged = result.found(metric)
    verdict = judged.cells[layer] if judged is not None and pair == result.best[0].pair else None
    token, unit = checkpoints.token_of(result), find(metric).unit
    strong = verdict is not None and verdict.state == "ok"
    colour = p.muted if not strong else p.orange if found.effect.value > 0 else p.blue
    rows = [("this vector", found.effect.value, found.effect.low, found.effect.high, colour)]
    rows += [(CONTROL[name].short, one.value, one.low, one.high, p.muted) for name, one in found.controls.items()]
    untold, patched, told = map(percent, found.followed)
    where = f"{result.label(pair)}, layer {layer}"
    st.html(
        f'<div class="ivx-card" data-testid="ivx-card">{evidence.top(where, found.patch, result.receipt)}'
        f'<div class="row"><span class="big" style="color:{colour}">{signed(found.effect.value, 2)}</span>'
        f'<span class="soft">{escape(unit)}, {_said(verdict, metric)} · 95% CI '
        f"{evidence.interval(found.effect.low, found.effect.high)} · n = {found.effect.n} {_queries(found)} · "
        f"followed {untold} → {patched}, told {told}</span></div>"
        f"<h3>Against its controls</h3>{evidence.whiskers(rows, p)}{evidence.tokens(found.detail, token, p)}"
        f"{evidence.spread(found.detail, result.samples)}</div>"
    )
    if not live:
        evidence.links(result, found.detail, metric, token=token, link=link, cell=CodeCell("", found.patch))


def _said(verdict: Verdict | None, metric: str) -> str:
    if verdict is None:
        return "looked at to choose, not tested"
    said = said_of(verdict, controlled=bool(verdict.against), floor=find(metric).floor)
    return f"{said} · adjusted p {evidence.shown_p(verdict.p)}"


def _queries(found: Look) -> str:
    return "queries that chose nothing" if found.confirmed else "queries that choose"
