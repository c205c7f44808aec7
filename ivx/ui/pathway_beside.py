"""Folded under the flows: the same instruction in another checkpoint, beside this one."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from ivx.analysis.flow import Pathways
from ivx.analysis.overlap import Overlap
from ivx.charts.palette import Palette
from ivx.errors import IvxError
from ivx.runs.job import View
from ivx.runs.tracing import PathwaysRequest
from ivx.ui import flows, jobs, parts, view
from ivx.ui.pathway_readings import checkpoints_reading, shared_reading

NONE = ""
"""The value of the choice while no checkpoint is chosen: no part of the address."""


def show(request: PathwaysRequest, result: Pathways, p: Palette) -> None:
    """The choice of a checkpoint; its run is asked for when it is chosen."""
    names = [name for name in view.checkpoints() if name != request.checkpoint]
    asked = view.from_url("versus", NONE) != NONE
    with st.expander("Does another checkpoint take the same way?", expanded=asked):
        if result.receipt.get("imported"):
            parts.note(
                "An imported run’s prompts are its maker’s: ask for one here to set another checkpoint beside it."
            )
            return
        view.hold("versus", NONE, [NONE, *names])
        place, _ = st.columns([1, 2], gap="small")
        name = str(
            place.selectbox(
                "The same instruction and queries in",
                [NONE, *names],
                key="versus",
                format_func=lambda one: one or "none",
            )
        )
        if name != NONE:
            told = view.loading(name, exact=True)
            other = replace(request.beside(name), dtype=told["dtype"], device=told.get("device", "auto"))
            _follow(other, result, p)


def _follow(wanted: PathwaysRequest, result: Pathways, p: Palette) -> None:
    def draw(now: View) -> None:
        if now.result is None or not now.result.found.overlaps:
            parts.note(jobs.waiting(wanted, now))
            return
        try:
            _draw(result, now.result, result.beside(now.result), p)
        except IvxError as error:
            parts.refusal("These cannot be compared", str(error), "Choose a checkpoint of the same shape.")

    def empty() -> None:
        if st.button("Trace it, too"):
            view.start(wanted)
            st.rerun()

    jobs.follow(wanted, draw=draw, empty=empty)


def _draw(one: Pathways, two: Pathways, overlap: Overlap, p: Palette) -> None:
    both = flows.drawn_of(one, int(flows.EDGES), ("here", "here"), two)
    places = st.columns([*flows.COLUMNS, flows.ASIDE], gap="medium")
    for place, side, drawing in zip(places[:2], (one, two), both, strict=True):
        with place:
            parts.head(side.request.checkpoint, flows.measured(side, drawing))
            flows.picture(side, drawing, p, first=side is one)
    with places[2]:
        parts.head("Overlap", "by layer")
        flows.overlap_panel(overlap, one, p)
    parts.reading(f"{shared_reading(both, int(flows.EDGES))} {checkpoints_reading(overlap)}")
