"""What the vector's effect passes through behind its place: a map of what may carry it, and sets of the strongest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import streamlit as st

from ivx.analyses.mediation import drawing
from ivx.analyses.mediation.request import MediationRequest
from ivx.analyses.mediation.result import RANDOM_SET, Carried, Mediation
from ivx.analyses.place.result import Place
from ivx.charts.heatmap import UNDEFINED
from ivx.charts.numbers import signed
from ivx.charts.palette import Palette
from ivx.stats.metrics import find
from ivx.ui.kit import address, clicks, evidence, maps, pieces
from ivx.ui.kit.evidence import interval, shown_p, whiskers
from ivx.ui.kit.readings import said_of
from ivx.ui.place import further
from ivx.vocabulary import CONTROL

THROUGH, CARRIER = "through", "carrier"
"""What may carry the effect, and the carrier that is opened, in the view."""
CHOICES = {
    "none": "not shown",
    "heads": "heads",
    "components": "attention, MLP",
    "positions": "tokens between",
    "edges": "one edge each",
}
NAMES = {
    "heads": "Through each later head",
    "components": "Through each later attention and MLP",
    "positions": "Through each token between",
    "edges": "Straight to each later head",
}
HELP = (
    "Heads, parts, tokens: each is given its own unpatched value behind the patch; what is lost of the effect passes "
    "through it. One edge each: the vector reaches that head alone (path patching)."
)
COLUMNS = [1.5, 1.0, 1.15]
LISTED = 3


def section(result: Place, metric: str, p: Palette, *, live: bool) -> None:
    """Under a place that was found: what its effect passes through, asked for by a click."""
    found = result.found(metric)
    if live or result.receipt.get("imported") or found is None or found.kind == "none":
        return
    readers = result.readers(metric)
    layer = found.at.layer if readers is None else readers.layer
    pieces.head("What the effect passes through", f"put at layer {layer}, {result.label(result.best[0].pair)}")
    address.hold(THROUGH, "none", list(CHOICES))
    through = st.segmented_control(
        "Through", list(CHOICES), key=THROUGH, format_func=lambda one: CHOICES[one], required=True, help=HELP,
        label_visibility="collapsed",
    )  # fmt: skip
    if through in (None, "none"):
        return
    if layer >= result.layers - 1:
        pieces.note("Nothing stands behind the last layer.")
        return
    asked = {name: getattr(result.request, name) for name in further.TAKEN}
    at = {"source_token": found.at.source_token, "position": found.at.position, "layer": layer}
    wanted = MediationRequest(**asked | at, through=str(through))
    further.follow(wanted, lambda found: whole(found, metric, p), button="Measure what it passes through", key=THROUGH)


def whole(result: Mediation, metric: str, p: Palette) -> None:
    """The map, the curve of sets, and the card of the opened carrier."""
    cells = result.cells(metric)
    if not cells:
        pieces.note("No effect was measured.")
        return
    chosen = _chosen(cells)
    left, middle, right = st.columns(COLUMNS, gap="medium")
    through = result.request.through
    with left:
        unit = find(metric).unit
        total = result.total(metric)
        of = "" if total is None else f"of {signed(total.value, 2)} {unit}; n = {len(result.samples.rows)}"
        pieces.head(NAMES[through], of)
        rows = len(result.carriers.rows)
        chart = drawing.carriers_map(
            result, metric, p, row=maps.row_height(rows, p), selected=(chosen.row, chosen.column)
        )
        clicks.chart(chart, key=f"through-{result.run_id}-{metric}", picked=_picked(cells))
        pieces.reading(_reading(result, metric), result.receipt)
    with middle:
        line = drawing.curve(result, metric, p)
        if line is not None:
            measured = result.together(metric)[0].n
            pieces.head("Set back together", f"n = {measured} that did not rank them")
            st.vega_lite_chart(line, theme=None, width="stretch")
            pieces.series([("the strongest", p.blue), ("random sets, as many", p.faint)], ["dashed: the whole effect"])
        elif through == "edges":
            pieces.note(
                "Each edge is opened alone: the vector reaches one head, and what that passes on goes everywhere. "
                "Edges need not add up to the whole."
            )
    with right:
        _card(result, chosen, metric, p)


def _picked(cells: list[Carried]) -> Callable[[Mapping[str, Any]], None]:
    def picked(point: Mapping[str, Any]) -> None:
        for one in cells:
            if (one.row, one.column) == (int(point["layer"]), int(point["column"])):
                st.session_state[CARRIER] = one.label

    return picked


def _chosen(cells: list[Carried]) -> Carried:
    """The clicked carrier, or the address bar's, or the one that most passes through."""
    asked = address.from_url(CARRIER, "")
    named = next((one for one in cells if one.label == asked), None)
    able = [one for one in cells if one.mediated.state != UNDEFINED] or cells
    return named or max(able, key=lambda one: (one.mediated.state == "ok", abs(one.mediated.value)))


def _reading(result: Mediation, metric: str) -> str:
    unit, total = find(metric).unit, result.total(metric)
    assert total is not None, "there are cells"
    if result.total(metric) is None or total.state == "zero":
        return f"The vector moves nothing here: {signed(total.value, 2)} {unit} {interval(total.low, total.high)}."
    found = sorted((c for c in result.cells(metric) if c.mediated.state == "ok"), key=lambda c: -abs(c.mediated.value))
    way = "goes straight to" if result.edges else "passes through"
    if found:
        named = ", ".join(f"<b>{escape(one.label)}</b> ({drawing.said(one)})" for one in found[:LISTED])
        more = f", and {len(found) - LISTED} more" if len(found) > LISTED else ""
        told = [f"Of {signed(total.value, 2)} {unit} {interval(total.low, total.high)}, most {way} {named}{more}."]
    else:
        told = ["No single one carries more of it than its controls do."]
    if sets := result.together(metric):
        last = sets[-1]
        beside = last.mediated.against[RANDOM_SET]
        told.append(f"The {last.size} strongest together: {drawing.said(last)}; random sets {signed(beside.mean, 2)}.")
    everything = result.everything(metric)
    if everything is not None:
        told.append(f"All {everything.size} together: {drawing.said(everything)}.")
    return " ".join(told)


def _card(result: Mediation, one: Carried, metric: str, p: Palette) -> None:
    view, v, total = find(metric), one.mediated, result.total(metric)
    assert total is not None, "a carrier has a total"
    colour = p.muted if v.state != "ok" else p.orange if v.value > 0 else p.blue
    rest = "not along it" if result.edges else "direct"
    passes = "along it" if result.edges else "through it"
    parts = [
        ("total", total.value, total.low, total.high, p.muted),
        (rest, *one.direct, p.muted),
        (passes, v.value, v.low, v.high, colour),
    ]
    beside = [(passes, v.value, v.low, v.high, colour)]
    beside += [
        ("others, mean" if name == RANDOM_SET else CONTROL[name].short, of.mean, of.low, of.high, p.muted)
        for name, of in v.against.items()
    ]
    share = ""
    if one.share is not None:
        share = f" · <b>{one.share.value:.0%}</b> of the effect [{one.share.low:.0%}, {one.share.high:.0%}]"
    said = said_of(v, controlled=bool(v.against), floor=view.floor)
    st.html(
        f'<div class="ivx-card" data-testid="ivx-carrier">{evidence.top(one.label, "", result.receipt)}'
        f'<div class="row"><span class="big" style="color:{colour}">{signed(v.value, 2)}</span><span class="soft">'
        f"{escape(view.unit)}, {said} · 95% CI {interval(v.low, v.high)} · adjusted p {shown_p(v.p)} · "
        f"{evidence.counted(one.n, v.undefined)}{share}</span></div>"
        f"<h3>Total, {rest}, {passes}</h3>{whiskers(parts, p)}"
        f"<h3>Against its controls</h3>{whiskers(beside, p)}</div>"
    )
