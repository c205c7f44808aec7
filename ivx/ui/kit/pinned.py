"""Pin: one cell kept beside the one that is looked at, with their difference and its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import streamlit as st

from ivx.analyses.effects.result import Difference, Effects
from ivx.charts.numbers import signed
from ivx.charts.palette import Palette
from ivx.patching.cells import Cell
from ivx.stats.metrics import find
from ivx.ui.kit import address, checkpoints, evidence, maps, pieces
from ivx.ui.kit.evidence import colour_of
from ivx.ui.kit.maps import PIN
from ivx.ui.kit.readings import nearest_control, said_of

DROPPED = "ivx.pin-dropped"
"""The run and the chosen cell under which a pin was dropped, and what it named."""


def of(result: Effects, found: Mapping[str, Sequence[Cell]], chosen: Cell) -> Cell | None:
    """The pinned cell of this view; one that the maps do not have is dropped, which is said while the view stands."""
    asked = address.from_url(PIN, "")
    cell = next(
        (one for some in found.values() for one in some if one.patch == asked and one.state != "estimate"), None
    )
    if asked and cell is None:
        if maps.has_cell(result, asked):
            pieces.note(f"The pinned cell {asked} is still to be computed.")
            return None
        st.session_state[PIN] = ""
        st.session_state[DROPPED] = (result.run_id, chosen.patch, asked)
    run, at, named = st.session_state.get(DROPPED, ("", "", ""))
    if (run, at) == (result.run_id, chosen.patch):
        pieces.note(f"These maps have no cell {named}: it is no longer pinned.")
    return cell


def pin(patch: str) -> None:
    """Keep a cell, or none where it is empty."""
    st.session_state[PIN] = patch
    st.session_state.pop(DROPPED, None)


def button(chosen: Cell, pinned: Cell | None) -> None:
    """One click pins the chosen cell, or lets the pinned one go."""
    if pinned is None:
        told = "Keeps this card while you look at another cell."
        st.button("Pin", key="pinning", type="tertiary", on_click=pin, args=(chosen.patch,), help=told)
    else:
        st.button("Unpin", key="pinning", type="tertiary", on_click=pin, args=("",))
        if pinned.patch == chosen.patch:
            pieces.note("Pinned as A: choose another cell.")


def beside(result: Effects, pinned: Cell, chosen: Cell, metric: str, *, link: str, p: Palette) -> None:
    """Draw both cells side by side in the card's place, and their difference over the same samples."""
    between = result.difference(pinned.patch, chosen.patch, metric)
    value = signed(between.value, 2) if between.n else "undefined"
    unit = escape(find(metric).unit)
    sides = "".join(_side(result, name, cell, metric, p) for name, cell in (("A", pinned), ("B", chosen)))
    rows = [
        ("A", pinned.value, pinned.low, pinned.high, colour_of(pinned, p)),
        ("B", chosen.value, chosen.low, chosen.high, colour_of(chosen, p)),
        ("A − B", between.value, between.low, between.high, p.ink),
    ]
    st.html(
        f'<div class="ivx-card" data-testid="ivx-card">{pieces.first(result.receipt)}'
        f'<div class="ivx-sides">{sides}</div>'
        f'<h3>A − B, the same {between.n} samples</h3><div class="row"><span class="big">{value}</span>'
        f'<span class="soft">{unit}, paired 95% CI {evidence.interval(between.low, between.high)}: '
        f"{_told(between)}</span></div>{evidence.whiskers(rows, p)}</div>"
    )
    with st.container(horizontal=True, gap="small", key="ivx-links"):
        button(chosen, pinned)
        evidence.link_to(link)


def _side(result: Effects, name: str, cell: Cell, metric: str, p: Palette) -> str:
    """One cell, as HTML: what the whole card says first, and the likeliest tokens after its patch."""
    against = result.against(cell.site, cell.patch, metric)
    view, token = find(metric), checkpoints.token_of(result)
    said = said_of(cell, controlled=bool(against), floor=view.floor)
    control = nearest_control(cell, against, floor=view.floor, direction=result.request.direction)
    after = pieces.bars("After", evidence.tops(result.detail(cell.site, cell.patch, metric), "after", token), p)
    return (
        f'<div><div class="top"><h2><b>{name}</b> Layer {cell.layer}, {escape(evidence.where(result, cell))}</h2>'
        f'<code class="soft">{escape(cell.patch)}</code></div>'
        f'<span class="big" style="color:{colour_of(cell, p)}">{signed(cell.value, 2)}</span>'
        f'<div class="soft">{evidence.interval(cell.low, cell.high)}, adjusted p {evidence.shown_p(cell.p)}, {said}; '
        f"{escape(control)}</div>{after}</div>"
    )


def _told(between: Difference) -> str:
    if not between.n:
        return "no sample defines both"
    if between.low <= 0 <= between.high:
        return "these samples do not tell the two apart"
    return "A is higher" if between.value > 0 else "B is higher"
