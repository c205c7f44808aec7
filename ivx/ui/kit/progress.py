"""What pages say of a job: how far it is, that it was stopped, that it was refused or failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import streamlit as st

from ivx.jobs.job import Job, View
from ivx.jobs.worker import Asked
from ivx.models.registry import embedded
from ivx.request import BaseRequest
from ivx.ui.kit import address, pieces, session

YOUNG_SECONDS = 2.0
"""How long a job without results is polled often: its first may come at any moment."""


def follow(request: BaseRequest, *, draw: Callable[[View], None], blank: Callable[[View | None], None]) -> None:
    """Draw a request's job as it goes on: begun at once on an embedded checkpoint, on a click on any other.

    Args:
        blank: draws the page while there is nothing to show: nothing asked, waited for, refused or failed.
    """

    def look(views: Mapping[str, View | None]) -> None:
        now = views[""]
        if now is None or now.result is None or now.state in ("refused", "failed"):
            blank(now)
        else:
            draw(now)

    follow_several({"": request}, draw=look)


def follow_or_open(
    request: BaseRequest | None,
    kinds: Sequence[str],
    *,
    draw: Callable[[Any, View], None],
    blank: Callable[[Any, View | None], None],
    view: Callable[[Any], Mapping[str, str]],
) -> None:
    """Draw a request's job as it goes on, or, without a request, the stored run that the address bar names.

    Args:
        kinds: of the stored runs that this page draws.
        blank: draws the page while there is nothing to show of the request.
        view: what the address bar says besides the run: of a request, or of a stored run (None).
    """
    if request is None:
        found = session.stored_run(*kinds)
        if found is not None:
            rows = found.table.num_rows
            draw(found.request, View("done", rows, rows, None, found, "", "", stored=True))
            address.to_url(run=found.run_id, **view(None))
        return
    asked: BaseRequest = request

    def drawn(now: View) -> None:
        draw(asked, now)
        address.to_url(**view(asked))  # a click reruns the fragment alone

    address.to_url(**view(asked))
    follow(asked, draw=drawn, blank=lambda now: blank(asked, now))


def follow_several(
    requests: Mapping[str, Asked],
    *,
    draw: Callable[[Mapping[str, View | None]], None],
    unasked: Collection[str] = (),
) -> None:
    """Draw several requests' jobs as they go on, each begun at once on an embedded checkpoint.

    Those named in `unasked` are looked up, and not begun. `draw` is told each one's state by its name, refused and
    failed ones too: None where it is neither stored nor asked for.
    """
    begin = [name for name, one in requests.items() if name not in unasked and embedded(one.checkpoint) is not None]
    jobs = session.jobs(requests, compute=begin)

    def now() -> dict[str, View | None]:
        return {
            name: None if job is None or session.is_absent(job) else job.view(session.session())
            for name, job in jobs.items()
        }

    def pace(views: Mapping[str, View | None]) -> str:
        if not any(one is not None and one.live for one in views.values()):
            return "ended"
        bare = all(one is None or one.result is None for one in views.values())
        young = any(job is not None and time.monotonic() - job.born < YOUNG_SECONDS for job in jobs.values())
        return "first" if bare and young else "on"

    begun = pace(now())

    def look() -> None:
        views = now()
        if begun != "ended" and pace(views) != begun:
            st.rerun()  # the whole page once more, with another timer or none
        draw(views)

    st.fragment(look, run_every=None if begun == "ended" else session.tick(first=begun == "first"))()


def waiting(request: Asked, now: View) -> str:
    """The text shown while nothing can be drawn yet."""
    return waiting_for(now, f"waiting for its turn{_behind(request)}" if now.state == "queued" else "")


def _behind(request: Asked) -> str:
    """What a waiting request waits behind: what is being computed, for whomever, how many are before it, and for about
    how long."""
    running, (before, seconds) = session.running(), session.wait(request)
    told = "" if running is None or running.request == request else f" behind {named(running)}"
    return f"{told}, {before} before this one{_about(seconds)}" if before else told


def _about(seconds: float | None) -> str:
    """How long a wait is, roughly."""
    if seconds is None:
        return "; for how long is known when the first has ended"
    return f"; about {max(1, round(seconds))} s" if seconds < 90 else f"; about {round(seconds / 60)} min"


def named(job: Job) -> str:
    """A job in words: what it is, how far, how long still, and whether anybody looks at it."""
    asked, now = job.request, job.view()
    if not session.may_know(job):
        return "somebody else’s request"
    tasks = (asked.task,) if hasattr(asked, "task") else getattr(asked, "tasks", ())
    named = ", ".join(map(_without_folder, (asked.checkpoint, *tasks)))
    what = f"{getattr(asked, 'kind', 'a short question')} on {named}"
    far = status(now) if now.total else waiting_for(now)
    if now.state == "queued":
        before, seconds = session.wait(asked)
        far += f", {before} before this one{_about(seconds)}" if before else ""
    return f"{what} ({far}{'' if session.is_watched(job) else ', nobody looks at it'})"


def _without_folder(name: str) -> str:
    """A name that is a path, without where it lies: the job may be somebody else's."""
    return name.rstrip("/").rpartition("/")[2] if name.startswith(("/", "~", ".")) else name


def waiting_for(now: View, turn: str = "waiting for its turn") -> str:
    """The stage of a job without results; `turn` is the text for one that waits in the queue."""
    return {"queued": turn, "loading": "reading the checkpoint", "running": "building the prompts"}.get(
        now.state, now.state
    )


def running(request: BaseRequest, now: View, *, key: str = "stop") -> None:
    """A progress bar, and a button to stop the job."""
    pieces.progress(now.done, now.total)
    if st.button("Stop, keep what is done", key=key):
        session.leave(request)
        st.rerun()


def running_several(requests: Mapping[str, Asked], views: Mapping[str, View | None]) -> None:
    """A progress bar for all requests and a button to stop them; or, where they were stopped, to go on."""
    live = _live(views)
    stopped = [name for name, now in views.items() if now is not None and now.state == "stopped"]
    if live:
        bar, stop = st.columns([4, 1], gap="medium", vertical_alignment="center")
        with bar:
            _bar(views)
        if stop.button("Stop, keep what is done", key="stop", width="stretch"):
            for name in live:
                session.leave(requests[name])
            st.rerun()
    elif stopped:
        st.caption("Stopped; what was done is kept, and a new start goes on from there.")
        if st.button("Go on"):
            for name in stopped:
                session.start(requests[name])
            st.rerun()


def stopping(requests: Mapping[str, Asked], views: Mapping[str, View | None], *, key: str) -> None:
    """A progress bar for all requests, and under it a button to stop them."""
    _bar(views)
    if st.button("Stop, keep what is done", key=key):
        for name in _live(views):
            session.leave(requests[name])
        st.rerun()


def _live(views: Mapping[str, View | None]) -> dict[str, View]:
    return {name: now for name, now in views.items() if now is not None and now.live}


def _bar(views: Mapping[str, View | None]) -> None:
    live = _live(views)
    ended = sum(now is not None and not now.live for now in views.values())
    shares = [now.done / now.total for now in live.values() if now.total]
    pieces.progress(int(100 * (ended + sum(shares))), 100 * (ended + len(live)))


def under(request: BaseRequest, now: View, *, key: str = "stop") -> None:
    """Draw under an incomplete chart, in place of its reading: the progress, or a button to go on.

    Args:
        key: of the buttons, another for each chart of a page.
    """
    if now.live:
        running(request, now, key=key)
    elif now.state == "stopped":
        stopped(request, key=f"{key}-on")


def status(now: View) -> str:
    """Rows done, and the time left."""
    left = "" if now.seconds_left is None else f" · {max(1, round(now.seconds_left))} s left"
    return f"{now.done:,} of {now.total:,} rows{left}"


def stopped(request: BaseRequest, *, key: str = "stop-on") -> None:
    """Say that it was stopped, and offer to go on."""
    st.caption("Stopped; what was done is kept, and a new start goes on from there.")
    if st.button("Go on", key=key):
        session.start(request)
        st.rerun()
