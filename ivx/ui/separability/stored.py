"""A stored run of probes or of an erasure, and the foot that stored probes share with the live page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from ivx.analyses.erasure.request import ErasureRequest
from ivx.analyses.erasure.result import Erasure
from ivx.analyses.separability.request import SeparabilityRequest
from ivx.analyses.separability.result import Separability
from ivx.charts.losses import Loss, losses
from ivx.charts.palette import Palette
from ivx.numeral import index_of
from ivx.ui.kit import address, clicks, exports, pieces
from ivx.ui.separability import card, geometry, wordings
from ivx.ui.separability.card import erased_card
from ivx.ui.separability.panels import dumbbell_chart, layer_of, pick
from ivx.ui.separability.subject import METRIC, SOURCES


def line_of(asked: SeparabilityRequest | ErasureRequest) -> str:
    """A run's request in a line."""
    if isinstance(asked, ErasureRequest):
        source = SOURCES.get(asked.source_token, f"token {asked.source_token}")
        return (
            f"{asked.checkpoint} · {asked.task} · erased from {asked.component} at {source} · {asked.samples} samples"
        )
    source = SOURCES.get(asked.position, f"token {asked.position}")
    how = f"{asked.wordings} wordings a task · {asked.repeats} × {asked.folds} folds"
    return f"{asked.checkpoint} · {', '.join(asked.tasks)} · {', '.join(asked.components)} at {source} · {how}"


def show_read(read: Separability, p: Palette) -> None:
    """A stored run by itself: what was read; what acts is another run."""
    component = address.from_url("component", read.request.components[0], list(read.request.components))
    layer = layer_of(component, read, {})
    assert layer is not None
    pieces.distrust(read.receipt)
    left, middle, right = st.columns([1.1, 1.2, 1.0], gap="medium")
    with left:
        pieces.head("Linear separability", f"probe accuracy, {len(read.tasks)} tasks, {component}")
        dumbbell_chart(read, component, layer, p, layers=read.layers, row=38 if read.layers <= 16 else 12)
        pieces.reading(card.probe_reading(read, component, layer))
        if len(read.request.components) > 1:
            st.segmented_control("Component", list(read.request.components), key="component", required=True)
    with middle:
        wordings.plane_panel(wordings.Sources(read), component, layer, read.tasks[0], p)
    with right:
        wordings.probe_panel(read, component, layer, read.tasks[0], p)
    geometry.show(wordings.Sources(read), component, layer, read.tasks[0], p)
    foot(read, live=False)
    address.to_url(run=read.run_id, component=component, layer=layer, **wordings.address())


def show_erased(found: Erasure, p: Palette) -> None:
    """Draw a stored erasure: every layer's effect, whole and without the readable or a random part."""
    cells = found.cells(METRIC)
    asked = index_of(address.from_url("layer", ""), below=found.layers)
    strongest = max(cells, key=lambda cell: abs(cell.lost.value)).layer
    layer = strongest if asked is None else asked
    pieces.distrust(found.receipt)
    left, right = st.columns([1.5, 1.0], gap="medium")
    with left:
        pieces.head("Effect by layer", "logits; the bar is what is lost with the readable part")
        chart = losses(
            [Loss(cell.layer, cell.whole, cell.erased, cell.random) for cell in cells],
            layers=found.layers,
            palette=p,
            row=38 if found.layers <= 16 else 12,
            selected=layer,
            alt_text="Effect of the vector, whole, without what is read, and without as much at random, by layer",
        )
        clicks.chart(chart, key=f"losses-{found.run_id}", picked=pick)
        names = ("whole vector", "without what is read", "without as much at random")
        pieces.series(list(zip(names, (p.orange, p.blue, p.faint), strict=True)), [])
    with right:
        erased_card(found, layer, p)
    strip, export = st.columns([6, 1], gap="medium", vertical_alignment="bottom")
    with strip:
        pieces.trust(found.receipt, rows=f"n = {len(found.samples.rows)} · {found.table.num_rows:,} rows")
    with export:
        exports.offer(found, METRIC)
    for warning in found.receipt["warnings"]:
        pieces.note(warning)
    address.to_url(run=found.run_id, layer=layer)


def foot(read: Separability, *, live: bool, beside: Mapping[str, dict[str, Any]] | None = None) -> None:
    """Draw the trust strip and the export, with figures `beside` the result's own."""
    request = read.request
    strip, export = st.columns([6, 1], gap="medium", vertical_alignment="bottom")
    with strip:
        folds = f"{request.repeats} × {request.folds} folds by paraphrase family"
        pieces.trust(read.receipt, rows=f"n = {len(read.wordings)} wordings · {folds} · every fit converged")
    if not live:
        with export:
            exports.offer(read, METRIC, beside=beside)
    for warning in read.receipt["warnings"]:
        pieces.note(warning)
