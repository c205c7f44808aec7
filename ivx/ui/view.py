"""The view: what the address bar says, and what the page's controls say back."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import streamlit as st

from ivx.models.registry import CHECKPOINTS, embedded
from ivx.runs.job import Job
from ivx.runs.request import Request
from ivx.runs.worker import worker

OTHERS = "ivx.checkpoints"
"""Session list of further checkpoints: (name, dtype, device)."""
SESSION = "ivx.session"
SEEN = "ivx.seen"
"""Session set of requests that were looked up or joined."""
FILES = "ivx.files"
"""Session list of the user's own task files: (shown name, path)."""


def session() -> str:
    """Who asks: one name for each open page, the same until it is closed."""
    return str(st.session_state.setdefault(SESSION, secrets.token_hex(8)))


def job(request: Request, *, compute: bool) -> Job | None:
    """The job of a request, which this session now waits for; None where it is neither stored nor under way.

    Without `compute` nothing is started that was not asked for; a session that left a job does not join it again.
    """
    found = worker().find(request)
    seen = st.session_state.setdefault(SEEN, set())
    if found is None and (compute or request not in seen):
        found = worker().submit(request, session=session(), compute=compute)
    elif found is not None and request not in seen:
        found.join(session())
    seen.add(request)
    return None if found is None or (not compute and _is_absent(found)) else found


def _is_absent(found: Job) -> bool:
    """Whether a job was looked up, not there, and never begun."""
    now = found.view()
    return now.state == "stopped" and now.result is None


def start(request: Request) -> None:
    """Compute a request, or go on with it."""
    worker().submit(request, session=session())


def leave(request: Request) -> None:
    """This session waits no longer; what is done is kept."""
    worker().leave(request, session=session())


def from_url(key: str, default: str, allowed: Sequence[str] | None = None) -> str:
    """A part of the view: the session's, or at first the address bar's when it is one that exists, or the default."""
    if key not in st.session_state:
        asked = st.query_params.get(key, default)
        st.session_state[key] = asked if allowed is None or asked in allowed else default
    elif allowed is not None and st.session_state[key] not in allowed:
        st.session_state[key] = default if default in allowed else allowed[0]
    return str(st.session_state[key])


def to_url(**parts: Any) -> None:
    """Write the whole view into the address bar; empty parts are left out."""
    wanted = {key: str(value) for key, value in parts.items() if value not in (None, "")}
    if dict(st.query_params) != wanted:
        st.query_params.from_dict(wanted)


def checkpoints() -> list[str]:
    """The checkpoints to choose from: embedded, and those this session has opened."""
    found = [c.name for c in CHECKPOINTS if c.path is not None and c.path.is_dir()]
    return found + [name for name, *_ in st.session_state.get(OTHERS, []) if name not in found]


def collection_of(name: str) -> str:
    """The task collection that fits a checkpoint."""
    known = embedded(name)
    return known.collection if known else "english"


def loading(name: str) -> dict[str, str]:
    """dtype and device chosen for a checkpoint of this session."""
    chosen = {n: {"dtype": dtype, "device": device} for n, dtype, device in st.session_state.get(OTHERS, [])}
    return chosen.get(name, {})
