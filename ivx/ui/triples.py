"""Three players at once, where triples were asked for."""

from __future__ import annotations

import streamlit as st

from ivx.analyses.interactions.result import Interactions
from ivx.charts.heatmap import signed
from ivx.ui.kit import pieces
from ivx.ui.kit.evidence import SHORT, interval, shown_p
from ivx.ui.kit.readings import SAID


def show(result: Interactions, metric: str) -> None:
    """All triples that were run, the largest first, and how many of them are findings."""
    cells, against = result.triples(metric), result.against(metric)
    ran = sorted((c for c in cells if not c.degenerate), key=lambda c: -abs(c.j))
    label = {player.address: player.label for player in result.players}
    pieces.head("Three together", "J(a, b, c) = f(abc) − f(ab) − f(ac) − f(bc) + f(a) + f(b) + f(c)")
    found = [c for c in ran if c.state == "ok"]
    top = (
        f" Strongest: <b>{', '.join(label[a] for a in found[0].players)}, {signed(found[0].j, 2)}</b>." if found else ""
    )
    free = len(cells) - len(ran)
    pieces.reading(
        f"<b>{len(found)} of {len(ran)}</b> triples interact beyond their pairs and beyond the controls.{top}"
        + (f" {free} more follow from smaller sets and were not run." if free else "")
    )
    st.dataframe(
        [
            {
                "players": ", ".join(label[a] for a in cell.players),
                "J": round(cell.j, 3),
                "95% CI": interval(cell.low, cell.high),
                "adjusted p": shown_p(cell.p).removeprefix("= "),
                **{f"J, {SHORT[name]}": round(of.mean, 3) for name, of in against[cell.patch].items()},
                "verdict": SAID[cell.state],
                "f(abc)": round(cell.together, 3),
                "same sign": f"{cell.same_sign:.0%}",
            }
            for cell in ran
        ],
        hide_index=True,
        height=min(320, 38 + 35 * len(ran)),
    )
