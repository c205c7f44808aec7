"""A session: which jobs it waits for, and which stored run it looks at."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ivx.errors import IvxError
from ivx.jobs import shipped
from ivx.jobs.compute import id_of, result_of
from ivx.jobs.job import Job, user_of
from ivx.jobs.worker import WATCHED_SECONDS, Asked, Wake, worker
from ivx.request import BaseRequest
from ivx.ui.kit import owned, pieces, roots, visitor
from ivx.ui.kit.address import RUN, from_url
from ivx.ui.kit.limits import JOBS, limits
from ivx.ui.kit.visitor import session

Name = TypeVar("Name")

TICK_SECONDS = 0.6
FIRST_TICK_SECONDS = 0.2
SEEK_SECONDS = 0.25
"""How long a page waits for a result that may be stored, so as not to draw a needless wait."""
SEEN = "ivx.seen"
"""Session set of requests that were looked up or joined."""
FILES = "ivx.files"
"""Session list of the user's own task files: (shown name, path)."""


def job(request: Asked, *, compute: bool, seeks: bool = True) -> Job | None:
    """The job of a request, which this session now waits for; None where it is neither stored nor under way.

    Without `compute` nothing is started that was not asked for; a session that left a job does not join it again. The
    store is waited for a moment, if it `seeks`.
    """
    found = worker().find(request)
    seen = st.session_state.setdefault(SEEN, set())
    new, wanted = request not in seen, found is not None and found.wanted
    if (compute and (new or not wanted)) or (new and found is None):
        found = _submitted(request, compute=compute)
        found.sought(SEEK_SECONDS if seeks else 0.0)
    elif found is not None and new:
        found.join(session())
    seen.add(request)
    if found is not None:
        _noted(found)
    return None if found is None or is_absent(found) else found


def jobs(requests: Mapping[Name, Asked], *, compute: Collection[Name]) -> dict[Name, Job | None]:
    """The jobs of several requests by name, those in `compute` begun; the store is waited for once, not for each."""
    found = {name: job(request, compute=name in compute, seeks=False) for name, request in requests.items()}
    until = time.monotonic() + SEEK_SECONDS
    for one in filter(None, found.values()):
        one.sought(max(0.0, until - time.monotonic()))
        _noted(one)
    return {name: None if one is None or is_absent(one) else one for name, one in found.items()}


def _submitted(request: Asked, *, compute: bool = True) -> Job:
    """Submit a request for this session, if its user may have it computed here.

    Raises:
        IvxError: the checkpoint may not be opened here, or as many requests of this user wait as may.
    """
    if compute:
        roots.admitted(request.checkpoint)
        known, allowed = worker().find(request), limits().jobs
        waiting = [one for one in worker().under_way() if one is not known and _is_mine(one)]
        if len(waiting) >= allowed and not isinstance(request, Wake):
            raise IvxError(
                f"{len(waiting)} of your requests wait or are computed, as many as this server allows one user: wait "
                f"for one, stop one on the page Runs, or ask the server's owner to raise {JOBS}"
            )
    return worker().submit(request, session=session(), compute=compute)


def _is_mine(found: Job) -> bool:
    """Whether this user waits for a job, in this session or another."""
    return visitor.user() in found.users


def _noted(found: Job) -> None:
    """Remember the run of a job that has rows: this user asked for it."""
    now = found.view()
    if now.result is not None and session() in found.sessions:
        owned.note(getattr(now.result, "run_id", ""), made=found.wanted and not now.stored)


def is_absent(found: Job) -> bool:
    """Whether a job was looked up, is not stored and never started."""
    return not found.wanted and found.view().state == "stopped"


def is_sought(request: Asked) -> bool:
    """Whether a request was only looked up in the store so far: nobody asked for it to be computed."""
    found = worker().find(request)
    return found is not None and not found.wanted


def stored_run(*kinds: str) -> Any | None:
    """The result of the run that the address bar names; None where the store has none of that name and these kinds."""
    run = from_url(RUN, "")
    try:
        found = _result(run) if owned.may_see(run) else None
    except LookupError:
        return None
    if found is None:
        return None
    return found if found.request.kind in kinds else None


def run_strip(kinds: str | Sequence[str], told: Callable[[Any], str]) -> DeltaGenerator:
    """Draw, in place of the controls, the shown run and a button back; returns a column for one more control."""
    run, found = from_url(RUN, ""), stored_run(*([kinds] if isinstance(kinds, str) else kinds))
    what, more, back = st.columns([3.2, 0.8, 0.8], gap="medium", vertical_alignment="bottom")
    back.button("Controls", on_click=close_run, width="stretch", help="Back from this run to the controls.")
    with what:
        if found is None:
            pieces.refusal(
                "This run is not here",
                f"The store has no complete run {run!r} of this kind.",
                "Go back to the controls, or bring the run as a zip on the page Runs.",
            )
        else:
            pieces.note(f"Run {run}{', imported' * bool(found.receipt.get('imported'))}: {told(found.request)}")
    return more


def looked_up(request: BaseRequest) -> Any | None:
    """The result of a request that is stored, at once; None where there is none, or its checkpoint is not known."""
    try:
        found = _result(id_of(worker().store, request))
    except (LookupError, IvxError):
        return None
    owned.note(found.run_id, made=False)
    return found


@st.cache_resource(max_entries=64, show_spinner=False)
def _result(run: str) -> Any:
    store = worker().store
    found = shipped.found(store, run)
    result = None if found is None else result_of(found)
    if result is None:
        raise LookupError(run)  # so that its absence is not remembered
    return result


def open_run(run: str, page: str) -> None:
    """Go to the page that draws this run, and show it there."""
    st.session_state[RUN] = run
    go(page)


def go(page: str) -> None:
    """Go to another page, with what the session has chosen."""
    st.switch_page(Path(__file__).parents[1] / "pages" / f"{page}.py")


def close_run() -> None:
    """Return from the stored run to the controls."""
    st.session_state[RUN] = ""


def request_of(asked: dict[str, Any]) -> BaseRequest:
    """The request that a run was computed for."""
    from ivx.analyses.registry import request_of

    return request_of(asked)


def wait(request: Asked) -> tuple[int, float | None]:
    """How many requests are before this one, and about how many seconds its turn is away, where that is known."""
    found = worker().find(request)
    return (0, 0.0) if found is None else worker().wait(found)


def running() -> Job | None:
    """The job at the device, whoever asked for it."""
    first = next(iter(worker().under_way()), None)
    return None if first is None or first.view().state == "queued" else first


def is_watched(found: Job) -> bool:
    """Whether a session that waits for a job looks at it, or began it just now."""
    return time.monotonic() - found.born < WATCHED_SECONDS or found.watchers(within=WATCHED_SECONDS) > 0


def stop(found: Job) -> None:
    """Leave a job, for all of this user's sessions; on one's own server for all who wait for it, where none of them
    looks. What is done is kept."""
    for one in found.sessions:
        if user_of(one) == visitor.user() or (roots.own() and not is_watched(found)):
            found.leave(one)


def may_stop(found: Job) -> bool:
    """Whether a job is this user's, or, on one's own server, nobody looks at it."""
    return _is_mine(found) or (roots.own() and not is_watched(found))


def may_know(found: Job) -> bool:
    """Whether this user may be told what a job is about."""
    return roots.own() or _is_mine(found) or not owned.is_private({"request": asdict(found.request)})


def tick(*, first: bool = False) -> float:
    """Seconds between two polls of a live job: longer the more sessions poll, since drawing slows computing."""
    return (FIRST_TICK_SECONDS if first else TICK_SECONDS) * max(1.0, worker().watched() / 2)


def start(request: Asked) -> None:
    """Compute a request, or go on with it."""
    _submitted(request)


def go_on(before: Iterable[Asked], then: Iterable[Asked]) -> None:
    """Start requests that are made of what others found, where this session had one of those computed: it asked for the
    whole. What was looked up, begun or stopped already is left as it is."""
    jobs = [worker().find(request) for request in before]
    if any(one is not None and one.wanted and session() in one.sessions for one in jobs):
        for request in then:
            if worker().find(request) is None:
                start(request)


def wake(checkpoint: str, **loading: str) -> None:
    """Read a checkpoint ahead of its first request; `loading` is what that will say of dtype and device."""
    _submitted(Wake(checkpoint, **loading))


def leave(request: Asked) -> None:
    """This session waits no longer; what is done is kept."""
    worker().leave(request, session=session())
