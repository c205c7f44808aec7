"""The search on the page: sources × patched tokens as strips, the opened one by layer, and what was found in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from html import escape
from typing import Any

import streamlit as st

from ivx.analyses.place import drawing
from ivx.analyses.place.found import Found
from ivx.analyses.place.result import Place
from ivx.analyses.place.search import SINK, Pair, Panel, offset_name
from ivx.charts.layers import Layer, layer_bars
from ivx.charts.numbers import signed
from ivx.charts.palette import Palette
from ivx.jobs.job import View
from ivx.stats.following import percent
from ivx.stats.metrics import find
from ivx.ui.kit import clicks, pieces, progress
from ivx.ui.kit.evidence import interval
from ivx.vocabulary import source_token

STRIP = "strip"
"""The opened pair and layer in the view: source, column and layer."""


def strip_of(pair: Pair, layer: int) -> str:
    """A pair and a layer as the view names them."""
    return f"{pair.source}~{pair.column}~{layer}"


def search_panel(result: Place, pair: Pair, metric: str, now: View, p: Palette) -> None:
    """Every pair of tokens as a strip, the opened one outlined; a click opens another."""
    n = len(result.parts.choosing)
    told = f"effect by layer, one scale; n = {n} queries that choose"
    pieces.head("Source × patched token", progress.status(now) if now.live else told)
    chart = drawing.chart(result, metric, p, opened=pair)
    clicks.chart(chart, key=f"place-{result.run_id}-{metric}", picked=partial(_pick, result, metric), by="pair")


def _pick(result: Place, metric: str, point: Mapping[str, Any]) -> None:
    pair = Pair(str(point["source"]), int(point["column"]))
    panel = _panel(result, pair, metric)
    if panel is not None:
        st.session_state[STRIP] = strip_of(pair, panel.layer)


def _panel(result: Place, pair: Pair, metric: str) -> Panel | None:
    return next((panel for panel in result.panels(metric) if panel.pair == pair), None)


def opened_panel(result: Place, pair: Pair, layer: int, metric: str, p: Palette) -> None:
    """The opened pair layer by layer: as it was confirmed, or else as it was tried; a click chooses a layer."""
    panel, found = _panel(result, pair, metric), result.found(metric)
    confirmed = found is not None and pair == result.best[0].pair
    queries = result.parts.confirming if confirmed else result.parts.choosing
    how = "fresh queries" if confirmed else "that choose"
    pieces.head(_named(result, pair), f"{find(metric).unit}; n = {len(queries)} {how}", more=result.label(pair))
    bars = drawing.acting(found) if confirmed and found is not None else [] if panel is None else _tried(panel)
    band = (found.at.first, found.at.last) if confirmed and found is not None and found.kind != "none" else None
    chart = layer_bars(
        bars, layers=result.layers, unit=find(metric).unit, palette=p, selected=layer, band=band,
        height=max(220, 96 * len(result.sources) - 24), alt_text=f"{result.label(pair)}, effect by layer",
    )  # fmt: skip

    def picked(point: Mapping[str, Any]) -> None:
        st.session_state[STRIP] = strip_of(pair, int(point["layer"]))

    clicks.chart(chart, key=f"opened-{result.run_id}-{strip_of(pair, 0)}-{metric}", picked=picked)


def _tried(panel: Panel) -> list[Layer]:
    cells = zip(panel.layers, panel.effect, panel.control, panel.scores, strict=True)
    return [
        Layer(layer, effect, math.nan, math.nan, control, bool(over > 0 and over >= SINK * effect and effect > 0))
        for layer, effect, control, over in cells
    ]


def _named(result: Place, pair: Pair) -> str:
    return f"{source_token(pair.source).label} → “{result.columns[pair.column].label}”"


def legend(p: Palette) -> None:
    """What the marks of both charts mean."""
    pieces.series(
        [("at least twice the strongest control; opened: a finding", p.orange), ("the rest", p.faint)],
        ["— strongest control: another task’s vector, a random one of its norm, where refined the token alone",
         "orange frame: the best pair"],
    )  # fmt: skip


def reading(result: Place, metric: str) -> str:
    """What was found, in sentences: the place, a preference alone, or nothing and what would have been seen."""
    found, unit = result.found(metric), find(metric).unit
    told = [_found(result, found, unit) if found is not None else _nothing(result)]
    silent = [] if found is None or found.kind == "none" else [source_token(name).label for name in found.silent]
    if silent:
        told.append(f"Nothing beyond the controls from: {escape(', '.join(silent))}.")
    if result.sinks:
        row = result.samples.rows[0]
        names = [f"“{result.columns[k].label}” ({offset_name(result.columns[k], row)})" for k in result.sinks]
        told.append(f"Sinks, where another task’s or a random vector does as much: {escape(', '.join(names))}.")
    return " ".join(told)


def _nothing(result: Place) -> str:
    return (
        f"<b>No place</b>: no pair of tokens does more than its controls. A mean effect of <b>{result.least:.1f}</b> "
        "logits would have been seen."
    )


def _found(result: Place, found: Found, unit: str) -> str:
    at, best, pair = found.at, found.best, result.best[0].pair
    layers = f"layer {at.layer}" if at.first == at.last else f"layers {at.first}–{at.last}, most at {at.layer}"
    effect = f"<b>{signed(best.value)}</b> {unit} {interval(best.low, best.high)}"
    beyond = f"{signed(found.beyond)} beyond the strongest control"
    where = f"<b>{escape(result.label(pair))}</b>, {layers}: {effect}, {beyond}"
    shares = f"<b>{percent(found.followed)}</b> follow (untold {percent(found.untold)}, told {percent(found.told)})"
    n = f"n = {len(result.parts.confirming)} queries that chose nothing"
    if found.kind == "none":
        return (
            f"<b>No place</b>: a mean effect of <b>{result.least:.1f}</b> logits would have been seen. Nearest came "
            f"{where}, {n}."
        )
    if found.kind == "preference":
        return (
            f"<b>A preference only</b>: the model does not follow even when told. It moves most at {where}; {shares}, "
            f"{n}."
        )
    return f"{where}; {shares}, {n}."
