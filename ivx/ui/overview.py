"""The Overview: one checkpoint and one task at a glance; what acts, what can be read, and what acts together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from ivx.analysis.metrics import find
from ivx.analysis.result import Cell, Effects
from ivx.analysis.separation import ProbeCell, Separability
from ivx.analysis.together import Interactions
from ivx.analysis.verdict import Against
from ivx.charts.dumbbell import dumbbell
from ivx.charts.figure import tile
from ivx.charts.heatmap import heatmap, scale_of
from ivx.charts.pairs import Laid, Pair, layers_laid, pair_map
from ivx.charts.palette import Palette
from ivx.runs.glance import SITE, glance
from ivx.runs.job import View
from ivx.runs.request import BaseRequest
from ivx.runs.shipped import is_shipped
from ivx.ui import exports, jobs, pair_maps, parts, pickers, readings, view

COLUMNS = [1.2, 1.0, 1.13]
PANELS = ("effects", "separability", "interactions")
NAMES = ("Causal effect", "Linear separability", "Interactions")

Views = Mapping[str, View | None]


@dataclass(frozen=True)
class Found:
    """What there is so far, of each panel; None where nothing is."""

    effects: Effects | None
    separability: Separability | None
    interactions: Interactions | None
    cells: list[Cell]
    laid: Laid
    metric: str

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The pairs of layers."""
        return self.laid.pairs

    @property
    def probed(self) -> list[ProbeCell]:
        """The probe at each layer."""
        return [] if self.separability is None else self.separability.cells(SITE)

    @property
    def layers(self) -> int:
        """Layers of the checkpoint; eight while nothing is known."""
        every = (self.effects, self.separability, self.interactions)
        return next((one.layers for one in every if one is not None), 8)

    @property
    def row(self) -> int:
        """Height of a layer in all panels, in pixels."""
        return 38 if self.layers <= 16 else 14


def show(p: Palette) -> None:
    """The strip, and below it everything as it fills."""
    one, two, three, _ = st.columns([1.35, 1.1, 0.9, 0.9], gap="medium", vertical_alignment="bottom")
    checkpoint, task = pickers.checkpoint_and_task(one, two)
    metric = pickers.metric(three)
    asked = glance(checkpoint, task, **view.loading(checkpoint))

    def draw(views: Views) -> None:
        _draw(asked, views, metric, p)
        view.to_url(checkpoint=checkpoint, task=task, metric=metric, layer=view.from_url("layer", ""))

    jobs.follow_several(asked, draw=draw)


def _draw(asked: Mapping[str, BaseRequest], views: Views, metric: str, p: Palette) -> None:
    found = _found(views, metric)
    layer = _layer(found)
    parts.title("Where does the instruction live?", _lede(found, asked["effects"].checkpoint))
    for result in (found.effects, found.separability, found.interactions):
        if result is not None:
            parts.distrust(result.receipt)
    if all(now is None for now in views.values()):
        _empty(asked)
        return
    scale = scale_of([cell.value for cell in found.cells] + [q.value for q in found.pairs if q.state != "zero"])
    draws = {"effects": _effects, "separability": _probes, "interactions": _pairs}
    for place, name, title in zip(st.columns(COLUMNS, gap="medium"), PANELS, NAMES, strict=True):
        now = views[name]
        with place:
            parts.head(title, _measured(name, asked[name], now), href=_page(name, asked, metric))
            if now is not None and now.state in ("refused", "failed"):
                parts.refusal("This cannot be shown", now.message, "Choose another checkpoint or task above.")
            else:
                draws[name](found, layer, scale, p)
    pending = "estimate" in {cell.state for cell in found.cells} | {pair.state for pair in found.pairs}
    parts.legend(p, scale, f"{find(metric).unit}, effect and J on one scale", pending=pending)
    jobs.running_several(asked, views)
    _foot(found, views)


def _found(views: Views, metric: str) -> Found:
    results = [None if now is None else now.result for now in (views[name] for name in PANELS)]
    effects, separability, interactions = results
    return Found(
        effects,
        separability,
        interactions,
        [] if effects is None else _cells(effects, metric, effects.table.num_rows),
        layers_laid([], 8) if interactions is None else pair_maps.laid_of(interactions, "j", metric),
        metric,
    )


@st.cache_data(max_entries=200, show_spinner=False, hash_funcs={Effects: lambda r: r.run_id})
def _cells(result: Effects, metric: str, rows: int) -> list[Cell]:
    return result.cells(SITE, metric)


@st.cache_data(max_entries=200, show_spinner=False, hash_funcs={Effects: lambda r: (r.run_id, r.table.num_rows)})
def _against(result: Effects, metric: str) -> dict[str, dict[str, Against]]:
    return result.controlled(SITE, metric)


def _page(name: str, asked: Mapping[str, BaseRequest], metric: str) -> str:
    """Address of the page that a panel is drawn from, with the same view."""
    one = asked["effects"]
    return f"/{name}?" + urlencode({"checkpoint": one.checkpoint, "task": one.task, "metric": metric})  # type: ignore[attr-defined]


def _layer(found: Found) -> int | None:
    """The selected layer: the address bar's, or that of the strongest finding."""
    asked = view.from_url("layer", "")
    if asked.isdigit() and int(asked) < found.layers:
        return int(asked)
    cells = [cell for cell in found.cells if cell.state == "ok"]
    if cells:
        return max(cells, key=lambda cell: abs(cell.value)).layer
    pairs = [pair for pair in found.pairs if pair.state == "ok"]
    return max(pairs, key=lambda pair: abs(pair.value)).high if pairs else None


def _pick(key: str, *, field: str = "layer") -> None:
    """A click anywhere in a row selects its layer in every panel."""
    points = st.session_state[key]["selection"].get("cell") or []
    if points:
        st.session_state["layer"] = str(int(points[0][field]))


def _effects(found: Found, layer: int | None, scale: float, p: Palette) -> None:
    result = found.effects
    labels = [""] * 6 if result is None else [column.label for column in result.maps[SITE]]
    inside = [cell for cell in found.cells if cell.layer == layer and cell.state != "estimate"]
    top = max(inside, key=lambda cell: (cell.state == "ok", abs(cell.value)), default=None)
    chart = heatmap(
        [tile(cell, labels) for cell in found.cells],
        labels,
        layers=found.layers,
        scale=scale,
        palette=p,
        selected=None if top is None else (top.layer, top.column),
        bold=0,
        row=found.row,
        alt_text=f"Effect map, {found.layers} layers by {len(labels)} positions",
    )
    _chart(chart, "effects" if result is None else f"effects-{result.run_id}")
    if result is not None:
        parts.reading(
            readings.reading(
                found.cells, result.maps[SITE], metric=found.metric, against=_against(result, found.metric)
            )
        )


def _probes(found: Found, layer: int | None, scale: float, p: Palette) -> None:
    result = found.separability
    chart = dumbbell(
        [] if result is None else result.bells(SITE),
        layers=found.layers,
        palette=p,
        row=found.row,
        selected=layer,
        baselines={} if result is None else result.baselines(),
        row_labels=False,
        alt_text="Accuracy of the probe and of shuffled labels by layer",
    )
    _chart(chart, "bells" if result is None else f"bells-{result.run_id}")
    if result is not None:
        parts.reading(readings.probe_reading(result, SITE, layer))


def _pairs(found: Found, layer: int | None, scale: float, p: Palette) -> None:
    inside = [pair for pair in found.pairs if pair.high == layer and pair.state not in ("estimate", "degenerate")]
    top = max(inside, key=lambda pair: (pair.state == "ok", abs(pair.value)), default=None)
    laid = found.laid if found.pairs else layers_laid([], found.layers)
    chart = pair_map(laid, scale=scale, palette=p, chosen=top, row=found.row)
    _chart(chart, "pairs" if found.interactions is None else f"pairs-{found.interactions.run_id}")
    if found.pairs:
        parts.reading(readings.pair_reading(found.pairs, unit=find(found.metric).unit, what="J"))


def _chart(chart: dict[str, Any], name: str) -> None:
    key = f"overview-{name}"
    st.vega_lite_chart(chart, key=key, theme=None, width="stretch", on_select=lambda: _pick(key), selection_mode="cell")


def _measured(name: str, request: BaseRequest, now: View | None) -> str:
    """What stands at a panel's right: how far it is, or what it shows."""
    if now is None:
        return "nothing asked yet"
    if now.live:
        return jobs.status(now) if now.total else jobs.waiting(request, now)
    what = {
        "effects": "resid_post, layer × position",
        "separability": "probe accuracy by layer",
        "interactions": "J, later layer × earlier layer",
    }
    return what[name] if now.state == "done" else f"{now.state}, {what[name]}"


def _lede(found: Found, checkpoint: str) -> str:
    """What the three panels found, each by its own rule."""
    intro = "The state of the instruction’s last token, T_inst, is copied into a prompt that has no instruction."
    return f"{intro} {readings.at_a_glance(checkpoint, found.cells, found.probed, found.pairs)}"


def _empty(asked: Mapping[str, BaseRequest]) -> None:
    st.write("Every layer × position, a probe at every layer and every pair of layers, each beside its control.")
    if st.button("Run all three", type="primary"):
        for request in asked.values():
            view.start(request)
        st.rerun()


def _foot(found: Found, views: Views) -> None:
    result = found.effects
    if result is None:
        return
    done = [now for now in views.values() if now is not None and now.state == "done"]
    stored = " · stored, came with ivx" if is_shipped(result.run_id) else ""
    rows = sum(one.table.num_rows for one in (found.effects, found.separability, found.interactions) if one is not None)
    strip, export = st.columns([6, 1], gap="medium", vertical_alignment="bottom")
    with strip:
        parts.trust(result.receipt, rows=f"n = {len(result.samples.rows)} · {rows:,} rows{stored}")
    if len(done) == len(views):
        with export:
            exports.offer_several([now.result for now in done], found.metric)
    for warning in result.samples.warnings:
        parts.note(warning)
