"""The place that a search found, where every page opens, unless the address or the user names another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import streamlit as st

from ivx.analyses.place.found import At
from ivx.analyses.place.request import PlaceRequest
from ivx.jobs.places import Placed, placed
from ivx.jobs.worker import worker
from ivx.request import WAY
from ivx.tasks.way import Way
from ivx.ui.kit import address, pieces
from ivx.vocabulary import source_token

TAKEN = "ivx.placed"
"""By the page's choices: the values that they were last given here."""
AS_PUBLISHED = "published"
"""What an address says in `placed` where the usual place is asked for, in spite of another that was found."""
PLAIN = {"placed": ""}
Choices = Mapping[str, str]


class Opened(NamedTuple):
    """Where a page stands: what was found, if the page can stand there, its choices there, as published, and now."""

    found: Placed | None
    able: bool
    best: Choices
    published: Choices
    now: Choices

    @property
    def at(self) -> At | None:
        """The place, where the page stands there."""
        there = self.found is not None and self.able and self.now == self.best
        return self.found.at if self.found is not None and there else None


def follow(task: str, *checkpoints: str, way: Way, published: Choices, best: Callable[[At], Choices]) -> Opened:
    """Set the controls of a place, before they are drawn, to the one that was found.

    Args:
        checkpoints: of several that are asked alike the last counts that a place was found in.
        published: the usual values of the page's choices, by the keys of their controls.
        best: the values that mean a place; none where the page cannot stand there.
    """
    address.follows(TAKEN)
    store = worker().store
    every = [one for name in reversed(checkpoints) if (one := placed(store, name, task, way)) is not None]
    found = next((one for one in every if one.at is not None), next(iter(every), None))
    usual = dict(published)
    told = dict(best(found.at)) if found is not None and found.at is not None else {}
    wanted = usual | told
    unnamed = not any(key in st.session_state or key in st.query_params for key in usual)
    now = {key: address.from_url(key, value) for key, value in usual.items()}
    plain = address.from_url("placed", "", ("", AS_PUBLISHED))
    taken = st.session_state.setdefault(TAKEN, {})
    if not plain and (unnamed or now == taken.get(tuple(usual))):
        st.session_state.update(wanted)
        now = dict(wanted)
    if now == wanted:
        taken[tuple(usual)] = wanted
    st.session_state["placed"] = AS_PUBLISHED if now == usual and (plain or now != wanted) else ""
    return Opened(found, bool(told), wanted, usual, now)


def said(opened: Opened, *, only: str = "") -> None:
    """One line on the place that was found, and a button to or from it; nothing where none was searched for.

    Args:
        only: what of the place the page takes, where it is not all.
    """
    found = opened.found
    if found is None:
        return
    if found.at is None:
        why = f"an effect of {found.least:.1f} logits would have been seen"
        why += f"; nearest came {found.label}" if found.label else ""
        if found.kind == "preference":
            why = f"the preference moves most at {found.label}, and the model does not follow even when told"
        pieces.note(f"The search found no place: {why} (run {found.run}).")
        return
    name = f"{named(found)}, {reach(found.at)}"
    if not opened.able:
        pieces.note(f"The place found: {name} (run {found.run}). This page does not stand there. {only}".rstrip())
        return
    there = opened.now == opened.best
    usual = there and opened.best == opened.published  # the place is where one looks anyway
    line, button = st.columns([6, 1], gap="small", vertical_alignment="center")
    with line:
        told = f"{'At' if there else 'Not at'} the place found: {name}."
        pieces.note(told if usual or not only else f"{told} {only}", more=f"By the search of run {found.run}")
    if usual:
        return
    wanted = dict(opened.published if there else opened.best)
    button.button(
        "As published" if there else "To the place",
        key="placed-otherwise",
        type="tertiary",
        on_click=lambda: choose(wanted, plain=there),
        help="T_inst → first token." if there else f"To {name}.",
    )


def first(request: Any) -> PlaceRequest | None:
    """The search that should be done first; None where there was one, or none belongs to what is asked.

    Args:
        request: what the page would ask of one instruction: its checkpoint, its task, its way of asking.
    """
    known = placed(worker().store, request.checkpoint, request.task, request.way)
    if known is not None or request.against is not None:
        return None
    way = {name: getattr(request, name) for name in WAY}
    return PlaceRequest(request.checkpoint, request.task, **way, **request.loading)


def choose(told: Choices, *, plain: bool) -> None:
    """Set the controls to what the user asks for, before they are drawn; that stays."""
    st.session_state.update(told)
    st.session_state["placed"] = AS_PUBLISHED if plain else ""


def named(found: Placed) -> str:
    """A place as its two tokens: `keyword → “.”`."""
    assert found.at is not None
    return f"{source_token(found.at.source_token).label} → “{found.token}”"


def reach(at: At) -> str:
    """The layers of a place."""
    return f"layer {at.layer}" if at.first == at.last else f"layers {at.first}–{at.last}"
