"""Whether the vector's effect at its place holds for other wordings and queries: every wording with every query."""

from __future__ import annotations

import streamlit as st

from ivx.analyses.place.result import Place
from ivx.analyses.variance import drawing
from ivx.analyses.variance.drawing import PART, POPULATION
from ivx.analyses.variance.request import VarianceRequest
from ivx.analyses.variance.result import Held, Variance
from ivx.charts.numbers import signed
from ivx.charts.palette import Palette
from ivx.stats.metrics import find
from ivx.ui.kit import address, maps, pieces
from ivx.ui.kit.evidence import interval, whiskers
from ivx.ui.place import further

CROSSED = "crossed"
"""In how many wordings every query is asked, in the view."""
CHOICES = {"none": "not shown", "4": "4 wordings", "8": "8 wordings"}
HELP = "Every query is asked in every wording, so that what differs by wording is told from what differs by query."
COLUMNS = [1.7, 1.0]
SAID = {
    "ok": "It holds for wordings and queries that were not asked",
    "control": "For wordings and queries that were not asked, it is not beyond its control",
    "zero": "For wordings and queries that were not asked, it is not different from 0",
}


def section(result: Place, metric: str, p: Palette, *, live: bool) -> None:
    """Under a place that was found: for what its effect holds, asked for by a click."""
    found = result.found(metric)
    asked = result.request
    if live or result.receipt.get("imported") or found is None or found.kind == "none":
        return
    if asked.demonstrations or asked.wording is not None:
        return
    place = f"put at layer {found.at.layer}, {result.label(result.best[0].pair)}"
    pieces.head("For other wordings and queries", place)
    address.hold(CROSSED, "none", list(CHOICES))
    wordings = st.segmented_control(
        "Wordings", list(CHOICES), key=CROSSED, format_func=lambda one: CHOICES[one], required=True, help=HELP,
        label_visibility="collapsed",
    )  # fmt: skip
    if wordings in (None, "none"):
        return
    at = {"source_token": found.at.source_token, "position": found.at.position, "layer": found.at.layer}
    taken = {name: getattr(asked, name) for name in further.TAKEN if name != "samples"}
    wanted = VarianceRequest(**taken | at, wordings=int(wordings))
    further.follow(
        wanted, lambda found: whole(found, metric, p), button="Ask every query in every wording", key=CROSSED
    )


def whole(result: Variance, metric: str, p: Palette) -> None:
    """Every wording with every query, and for what the mean holds."""
    held, (wordings, queries) = result.held(metric), result.shape
    spec = drawing.grid(result, metric, p, row=maps.row_height(wordings, p))
    if held is None or spec is None:
        pieces.note("No effect was measured.")
        return
    left, right = st.columns(COLUMNS, gap="medium")
    with left:
        pieces.head("Every wording with every query", f"{wordings} × {queries}, {find(metric).unit}")
        st.vega_lite_chart(spec, theme=None, width="stretch")
        pieces.reading(_reading(held, metric), result.receipt)
        st.vega_lite_chart(drawing.means_chart(result, metric, p), theme=None, width="stretch")
    with right:
        _card(held, metric, p)


def _reading(held: Held, metric: str) -> str:
    both = held.mean["both"]
    most = max(held.shares, key=lambda part: held.shares[part].value)
    share = held.shares[most]
    told = [
        f"{SAID[held.state]}: <b>{signed(both.mean, 2)}</b> {find(metric).unit} {interval(both.low, both.high)}.",
        f"It varies most by <b>{PART[most]}</b>: {share.value:.0%} of its variance "
        f"[{share.low:.0%}, {share.high:.0%}].",
    ]
    if held.undefined:
        told.append(f"{held.undefined} queries are left out: a logit of theirs is not finite.")
    return " ".join(told)


def _card(held: Held, metric: str, p: Palette) -> None:
    unit = find(metric).unit
    rows = [(POPULATION[new], *one, p.ink) for new, one in held.mean.items()]
    if held.beyond:
        rows.append((f"beyond its control, {POPULATION['both']}", *held.beyond["both"], p.muted))
    shares = "".join(
        f"<div>{PART[part]} <b>{one.value:.0%}</b> <span class='soft'>[{one.low:.0%}, {one.high:.0%}]</span></div>"
        for part, one in held.shares.items()
    )
    more = "".join(f"<div>{w} wordings × {q} queries <b>±{half:.2f}</b></div>" for w, q, half in held.foreseen)
    st.html(
        f'<div class="ivx-card" data-testid="ivx-variance"><h3>The mean, {unit}, 95% intervals</h3>{whiskers(rows, p)}'
        f"<h3>Its variance comes from</h3>{shares}"
        f"<h3>The interval for both, with more of either</h3>{more}</div>"
    )
