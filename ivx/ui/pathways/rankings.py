"""Other rankings of heads beside that of pathways, folded under the flows."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from ivx.analyses.pathways.areas import RANKINGS
from ivx.analyses.pathways.request import PathwaysRequest
from ivx.analyses.pathways.result import Pathways
from ivx.charts.areas import NAMES, Ranked, areas_chart
from ivx.charts.palette import Palette
from ivx.jobs.job import View
from ivx.ui.kit import address, blanks, pieces, progress

ABOUT = "The same circuits’ heads ranked by EAP and EAP-IG, which follow gradients, and at random."
ASKED = "rankings"
"""Its part of the view."""


def show(request: PathwaysRequest, result: Pathways, p: Palette) -> None:
    """The button; its run is asked for when it is clicked."""
    asked = address.from_url(ASKED, "") == "1"
    with st.expander("Do other rankings find a better circuit?", expanded=asked):
        if result.found.areas:
            _draw(result, p)
            return
        if address.from_url(address.RUN, ""):
            pieces.note("This stored run has no other rankings: go back to the controls to ask for one.")
            return
        if not asked and st.button("Rank by EAP and EAP-IG, too", key="rankings-run"):
            st.session_state[ASKED], asked = "1", True
        if not asked:
            pieces.note(ABOUT)
            return
        wanted = replace(request, rankings=RANKINGS, paths=0, published=False, edge_check=False)

        def blank(now: View | None) -> None:
            with st.columns([1.2, 1], gap="medium")[0]:
                blanks.card({"": wanted}, {"": now}, about=ABOUT, button="Rank them", key="-rankings")

        def draw(now: View) -> None:
            if now.result.found.areas:
                _draw(now.result, p)
            elif now.state == "done":
                pieces.note("The whole model and none of its heads are too close to tell, or the samples are too few.")
            else:
                blank(now)

        progress.follow(wanted, draw=draw, blank=blank)


def _draw(result: Pathways, p: Palette) -> None:
    found = result.found.areas
    left, right = st.columns([1.3, 1], gap="medium")
    with left:
        pieces.head("In the real model", "heads", more="others by their mean over both instructions")
        lines = [Ranked(one.ranking, one.sizes, one.kept) for one in found]
        chart = areas_chart(lines, palette=p, alt_text=f"Faithfulness of {len(found)} rankings of heads")
        st.vega_lite_chart(chart, theme=None, width="stretch")
    with right:
        colours = {"pathways": p.blue, "eap": p.orange, "eap-ig": p.ink, "random": p.faint}
        for name, what, part in (("CPR", "more is better", "cpr"), ("CMD", "0 is best", "cmd")):
            pieces.head(name, what)
            rows = [
                (NAMES[one.ranking], *(getattr(one, part + end) for end in ("", "_low", "_high")), colours[one.ranking])
                for one in found
            ]
            st.html(pieces.whisker(rows, p, scale=max(abs(v) for row in rows for v in row[1:4]) * 1.1))
    best = max(found, key=lambda one: one.cpr)
    clear = all(best.cpr_low > one.cpr_high for one in found if one is not best)
    pieces.reading(
        f"Largest CPR: <b>{NAMES[best.ranking]}</b>, {best.cpr:.2f} [{best.cpr_low:.2f}, {best.cpr_high:.2f}]"
        f"{'' if clear else '; another’s interval reaches it'}. Ranked on one half, tried on the other, "
        f"n = {best.samples}.",
        result.receipt,
    )
