"""The address bar: the whole view as a link, and links to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from ivx.models.registry import embedded
from ivx.tasks import catalogue
from ivx.tasks.catalogue import COLLECTIONS

OTHERS = "ivx.checkpoints"
"""Session list of further checkpoints: (name, dtype, device)."""


RUN = "run"


def from_url(key: str, default: str, allowed: Sequence[str] | None = None) -> str:
    """One value of the view: the session's, else the address bar's if it is allowed, else the default."""
    if key not in st.session_state:
        asked = st.query_params.get(key, default)
        st.session_state[key] = asked if allowed is None or asked in allowed else default
    elif allowed is not None and st.session_state[key] not in allowed:
        st.session_state[key] = default if default in allowed else allowed[0]
    return str(st.session_state[key])


def hold(key: str, default: str, allowed: Sequence[str] | None = None) -> None:
    """Set the widget of this key, drawn next, to `from_url`'s answer, in every run.

    Set in one run only, it would be lost on leaving the page, and in a browser for which that run was cut short, which
    then begins with the first option.
    """
    st.session_state[key] = from_url(key, default, allowed)


def to_url(**parts: Any) -> None:
    """Write the whole view into the address bar; empty parts are left out."""
    wanted = {key: str(value) for key, value in parts.items() if value not in (None, "")}
    if dict(st.query_params) != wanted:
        st.query_params.from_dict(wanted)


def to_view(**parts: Any) -> str:
    """The address of this page with these parts; empty ones are left out."""
    wanted = {key: str(value) for key, value in parts.items() if value not in (None, "")}
    return f"{str(st.context.url or '').partition('?')[0]}?{urlencode(wanted, safe='@~*=,/')}"


def link(result: Any, **parts: Any) -> str:
    """An address that shows this view in any session.

    A checkpoint that a user opened and a task from a user's file are session-only: there the link names the stored run.
    """
    request = result.request
    given = embedded(request.checkpoint) is not None and any(request.task in catalogue.tasks(c) for c in COLLECTIONS)
    if st.session_state.get(RUN) or not given:
        kept = {key: parts[key] for key in parts if key in ("metric", "show", "cell", "pair")}
        parts = {RUN: result.run_id, **kept}
    return to_view(**parts)
