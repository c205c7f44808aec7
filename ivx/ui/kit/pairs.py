"""The control of which tasks are asked together: all, or both of one pair."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ivx.tasks import catalogue
from ivx.ui.kit import address, checkpoints, session
from ivx.ui.kit.choices import no_task, task_name

KEY = "tasks"
ALL = "all"


def chosen(place: DeltaGenerator, checkpoint: str) -> tuple[str, ...]:
    """Draw the control; the tasks as `catalogue.several` takes them. At first it is a task of one's own, if that is
    what every page shows."""
    own, known = _own(), _known(checkpoint)
    every = [ALL, *own, *known]
    asked = st.query_params.get(KEY, "")
    away = bool(asked) and asked not in every and st.session_state.get(KEY) is None
    task = address.from_url("task", "")
    if away:
        st.session_state[KEY] = None
    else:
        address.hold(KEY, task if task in own else ALL, every)
    one = str(place.selectbox("Tasks", every, key=KEY, format_func=_name, placeholder="none chosen"))
    if away:
        no_task(asked)
        st.stop()
    if one == ALL:
        return (ALL, *own)
    return (one,) if one in own else (one, known[one])


def choose(checkpoint: str, task: str) -> None:
    """Set the control, before it is drawn, to the pair of a task."""
    first = (one for one, other in _known(checkpoint).items() if task in (one, other))
    st.session_state[KEY] = task if task in _own() else next(first, ALL)


def control_of(task: str, asked: Sequence[str], checkpoint: str) -> str:
    """A task, by its own name among those that were asked, as every page's control calls it; empty where it is in
    none."""
    own = (path for path in _own() if path in asked and catalogue.find(path).task.name == task)
    return next(own, task if task in catalogue.tasks(checkpoints.collection_of(checkpoint)) else "")


def _own() -> list[str]:
    return [path for _, path in st.session_state.get(session.FILES, [])]


def _known(checkpoint: str) -> dict[str, str]:
    """The pairs that fit a checkpoint, each once: the task that comes first, and its contrast."""
    tasks = catalogue.tasks(checkpoints.collection_of(checkpoint))
    found: dict[str, str] = {}
    for name, task in tasks.items():
        if found.get(task.contrast) != name:
            found[name] = task.contrast
    return found


def _name(option: str) -> str:
    return "all of them" if option == ALL else task_name(option)
