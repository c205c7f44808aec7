"""Whose runs are whose, on a server that several people use.

A run is private where its request holds words or files of somebody's own: it is there for those who asked for it, and
for nobody else, not by its name either. On one's own server nothing is kept from anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from ivx.jobs.shipped import is_shipped
from ivx.jobs.worker import worker
from ivx.models.registry import FETCHED, TAUGHT, embedded
from ivx.tasks import catalogue
from ivx.ui.kit import roots, visitor
from ivx.ui.kit.limits import limits

RUNS = "ivx.runs.asked"
"""Session dictionary: the runs that this user asked for, and whether they had them computed or brought them."""
MOST = 2_000
"""Runs that are remembered of one user."""
WORDS = ("template", "system", "prompt", "source", "texts", "adapter", "against")
"""Fields of requests that hold what somebody wrote, or a file of theirs."""


def nothing_is_kept() -> str:
    """A sentence that the store can only be read, why, and the cure; empty where it can be written to."""
    store = worker().store
    if not store.read_only:
        return ""
    if roots.own():
        where, cure = f"the store {store.root}", "see to its rights, or name another folder in IVX_CACHE"
    else:
        where, cure = "this server’s store", "ask its owner to see to its rights"
    why = f"{where} can only be read ({store.read_only}); {cure}."
    return f"What is stored opens, and nothing new is computed or kept: {why}"


def note(run: str, *, made: bool) -> None:
    """Remember that this user asked for a run; `made` where they had it computed, or brought it."""
    if not run or roots.own():
        return
    known = _known()
    if known.get(run, None) in (True, made):
        return
    known.pop(run, None)
    known[run] = made
    while len(known) > MOST:
        del known[next(iter(known))]
    if visitor.signed_in():
        worker().store.put(_place(), known)


def may_see(run: str, asked: Mapping[str, Any] | None = None) -> bool:
    """Whether this user may see a run, of which the store knows that this was `asked`."""
    if roots.own() or is_shipped(run) or run in _known():
        return True
    if asked is None:
        found = worker().store.find(run)
        asked = {} if found is None else found.asked
    return not is_private(asked)


def may_change(run: str) -> bool:
    """Whether this user may delete, pin or unpin a run."""
    return roots.own() or (not is_shipped(run) and _known().get(run, False))


def is_private(asked: Mapping[str, Any]) -> bool:
    """Whether a run holds what is somebody's own; so is one of which nothing can be told."""
    request = asked.get("request")
    if not isinstance(request, dict) or asked.get("imported"):
        return True
    if any(request.get(field) for field in WORDS) or not _is_public(str(request.get("checkpoint", ""))):
        return True
    named = [request["task"]] if "task" in request else request.get("tasks", [])
    return any(catalogue.is_file(str(name)) for name in named)


def _is_public(checkpoint: str) -> bool:
    """Whether a checkpoint is one that everybody may open here."""
    if embedded(checkpoint) or checkpoint in {one.name for one in (*FETCHED, *TAUGHT)}:
        return True
    return checkpoint in (limits().checkpoints or ())


def _known() -> dict[str, bool]:
    known: dict[str, bool] = st.session_state.setdefault(RUNS, {})
    if visitor.signed_in():
        match worker().store.get(_place()):
            case dict(kept):
                for run, made in kept.items():
                    known[str(run)] = known.get(str(run), False) or made is True
    return known


def _place() -> str:
    return f"users/{visitor.user()}"
