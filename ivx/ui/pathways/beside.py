"""Another checkpoint's pathways of the same instruction, folded under the flows."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from ivx.analyses.pathways.overlap import Overlap
from ivx.analyses.pathways.request import PathwaysRequest
from ivx.analyses.pathways.result import Pathways
from ivx.charts.palette import Palette
from ivx.errors import IvxError
from ivx.jobs.job import View
from ivx.ui.kit import address, blanks, checkpoints, choices, pieces, progress
from ivx.ui.pathways import flows
from ivx.ui.pathways.readings import checkpoints_reading, shared_reading

NONE = ""
"""The control's value while no checkpoint is chosen; the address bar leaves it out."""


def show(request: PathwaysRequest, result: Pathways, p: Palette) -> None:
    """The choice of a checkpoint; its run is asked for when it is chosen."""
    asked = address.asked("versus")
    why = checkpoints.why_absent(asked) if asked else ""
    names = [name for name in checkpoints.checkpoints() if name != request.checkpoint]
    with st.expander("Does another checkpoint take the same path?", expanded=bool(asked)):
        if result.receipt.get("imported"):
            pieces.note(
                "An imported run’s prompts are its maker’s: ask for one here to set another checkpoint beside it."
            )
            return
        if why:
            choices.absent(asked, why)
        address.hold("versus", NONE, [NONE, *names])
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
            told = checkpoints.loading(name, exact=True)
            other = replace(request.beside(name), dtype=told["dtype"], device=told.get("device", "auto"))
            _follow(other, result, p)


def _follow(wanted: PathwaysRequest, result: Pathways, p: Palette) -> None:
    def draw(now: View) -> None:
        if not now.result.found.overlaps:
            blank(now)
            return
        try:
            _draw(result, now.result, result.beside(now.result), p)
        except IvxError as error:
            pieces.refusal("These cannot be compared", str(error), "Choose a checkpoint of the same shape.")

    def blank(now: View | None) -> None:
        about = f"The same samples are traced in {wanted.checkpoint}, to be set beside this one."
        with st.columns([1.2, 1], gap="medium")[0]:
            blanks.card({"": wanted}, {"": now}, about=about, button="Trace it, too", key="-versus")

    progress.follow(wanted, draw=draw, blank=blank)


def _draw(one: Pathways, two: Pathways, overlap: Overlap, p: Palette) -> None:
    both = flows.drawn_of(one, int(flows.EDGES), ("here", "here"), two)
    places = st.columns([*flows.COLUMNS, flows.ASIDE], gap="medium")
    for place, side, drawing in zip(places[:2], (one, two), both, strict=True):
        with place:
            pieces.head(side.request.checkpoint, flows.measured(side, drawing))
            flows.picture(side, drawing, p, first=side is one)
    with places[2]:
        pieces.head("Overlap", "by layer")
        flows.overlap_panel(overlap, one, p)
    pieces.reading(f"{shared_reading(both, int(flows.EDGES))} {checkpoints_reading(overlap)}")
