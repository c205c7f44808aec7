"""The way that Behaviour found best, taken by every page that asks a task, unless the address or the user names one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from ivx.jobs.recommendation import Recommended, recommended
from ivx.jobs.worker import worker
from ivx.tasks.way import Way
from ivx.ui.kit import address, asking, owned, pieces

TAKEN = "ivx.taken"
"""The session's choices that were last taken from a recommendation."""
FOUND = "ivx.recommended"
"""What is recommended for what the page shows."""
PLAINLY = "plain"


def follow(task: str, *checkpoints: str) -> None:
    """Set the controls of the way of asking, before they are drawn, to the one that is recommended.

    A way that the address or the user names stays, for other tasks, too.

    Args:
        checkpoints: of several that are asked alike the last counts that behaviour was asked of.
    """
    address.follows(TAKEN)
    store = worker().store
    found = next(
        (one for name in reversed(checkpoints) if (one := recommended(store, name, task, may_see=owned.may_see))), None
    )
    best = asking.INITIAL | (asking.chosen_by(found.way) if found else {})
    now = {key: address.from_url(key, first) for key, first in asking.INITIAL.items()}
    plain = address.from_url("asked", "", ("", PLAINLY))
    if not plain and now == st.session_state.get(TAKEN, asking.INITIAL):
        st.session_state.update(best)
        now = best
    if now == best:
        st.session_state[TAKEN] = best
    # An address without a part means the recommended way, so that the default needs one where it is not that.
    st.session_state["asked"] = PLAINLY if now == asking.INITIAL and (plain or now != best) else ""
    st.session_state[FOUND] = found


def said(*, asks: Callable[[Way], Way] = lambda way: way, why: str = "") -> None:
    """One line on the way that is recommended, where that is not the default, and a button to or from it.

    Args:
        asks: what the page makes of a way; one that it cannot ask is said to be so, and `why`.
    """
    found: Recommended | None = st.session_state.get(FOUND)
    if found is None or found.way == Way():
        return
    now, named = asks(asking.held()), asking.said(found.way)
    line, button = st.columns([6, 1], gap="small", vertical_alignment="center")
    if asks(found.way) != found.way:
        with line:
            pieces.note(f"Behaviour found best: {named}; {why}. Asked by {asking.said(now)}. (Run {found.run})")
        return
    best = now == found.way
    with line:
        how = "Asked as Behaviour found best" if best else f"Asked by {asking.said(now)}; Behaviour found best"
        pieces.note(f"{how}: {named} (run {found.run}).")
    told: dict[str, Any] = asking.INITIAL | ({} if best else asking.chosen_by(found.way))
    button.button(
        "Ask plainly" if best else "Ask so",
        key="asked-otherwise",
        type="tertiary",
        on_click=lambda: choose(told),
        help="By an instruction in the task’s own prompt." if best else "As Behaviour recommends.",
    )


def choose(told: dict[str, Any]) -> None:
    """Set the controls to what the user asks for, before they are drawn; that stays."""
    st.session_state.update(told)
    st.session_state["asked"] = PLAINLY if told == asking.INITIAL else ""


def view(checkpoint: str, task: str, told: dict[str, Any]) -> None:
    """Set the controls of a page of maps, before they are drawn, to a task of a checkpoint, asked like this."""
    choose(asking.INITIAL | told)
    at = {"position": "last"} if "by" in told else {}
    st.session_state.update({address.RUN: "", "checkpoint": checkpoint, "task": task, **at})
