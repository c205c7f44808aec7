"""The place of a view: where its vectors are taken from and written at, in which layers, and for which tasks."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ivx.analyses.place.found import At
from ivx.ui.kit import address
from ivx.ui.kit.choices import SOURCE, chosen, placed, task_name
from ivx.ui.training import stages
from ivx.ui.training.stages import Comparing
from ivx.vocabulary import POSITION_WORDS

PLACED = ("transplant", "exchange")
"""Views whose place is chosen; the others', too, where one was found."""
PUBLISHED = {"from": "t_inst", "at": "first"}
"""The usual place, by the controls' keys."""
OPENED = "ivx.training.opened"


def at_of(at: At) -> dict[str, str]:
    """The controls' values that mean a place."""
    return {"from": at.source_token, "at": at.position}


def chosen_place(show: str) -> dict[str, Any]:
    """Where vectors are taken from and written at; and, where a view averages over layers, which."""
    source, put, layers = st.columns([1, 1, 1], gap="medium", vertical_alignment="bottom")
    with source:
        taken = chosen("from", "Vector from", SOURCE, "t_inst")
    with put:
        at = chosen("at", "Written at", placed(*POSITION_WORDS, held="at"), "first")
    if show == "exchange":
        address.hold("layers", "")
        layers.text_input("Layers", key="layers", placeholder="all, averaged", help="Such as 12, or 10-13: averaged.")
    return {"source_token": taken, "position": at}


def chosen_tasks(asked: Comparing) -> tuple[str, ...]:
    """The page's task, and further ones that are shown and judged beside it."""
    others = [task for task in stages.tasks_of(asked.names) if task != asked.subject.task]
    if "also" not in st.session_state:
        st.session_state["also"] = st.query_params.get("also", "").split(",")
    st.session_state["also"] = [task for task in st.session_state["also"] if task in others]
    more = st.multiselect("Beside it, further tasks", others, key="also", format_func=task_name)
    return (asked.subject.task, *more)


def chosen_layers() -> str:
    """The layers that are patched, as a request names them; empty for all."""
    return "".join(str(st.session_state.get("layers", "")).split())


def in_url(asked: Comparing) -> dict[str, str]:
    """What the address bar says of the place."""
    found = {"from": asked.subject.source_token, "at": asked.subject.position}
    if asked.show not in PLACED and found == PUBLISHED:
        found = {}
    return found | {"also": ",".join(st.session_state.get("also", []))} if asked.show == "exchange" else found
