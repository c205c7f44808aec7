"""A job: one request under way, seen from any number of threads."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass
from typing import Any

from ivx.errors import Cancelled
from ivx.jobs import failure
from ivx.jobs.pace import Pace
from ivx.jobs.tally import TALLY

LIVE = ("queued", "loading", "running")
_numbers = itertools.count()


@dataclass(frozen=True)
class View:
    """A snapshot of a job.

    `state` is queued, loading, running, done, stopped, refused (a user's mistake) or failed; `result` holds what is
    done so far, also while it waits for its turn again; `stored` says that it was read, not computed.
    """

    state: str
    done: int
    total: int
    seconds_left: float | None
    result: Any
    message: str
    trace: str
    stored: bool = False

    @property
    def live(self) -> bool:
        """Whether it may still change."""
        return self.state in LIVE


def user_of(session: str) -> str:
    """Whose session it is: what stands before a slash in its name, or the session itself where nobody signs in."""
    return session.partition("/")[0]


class Job:
    """A request and its progress; every method may be called from any thread.

    `sessions` wait for it; it is `wanted` where one of them wants it computed, not only looked up. An `idle` one is
    done when nothing else waits. `seconds` is its device time so far, `foreseen` about how much it will take in all, 0
    where that is not known; `number` its order of arrival, `born` its time of arrival; `beaten` is when it last gave a
    sign of life. `not_before`, `since` and `is_oldest` belong to the queue. What it ended as stays: a thread that was
    given up and comes back changes nothing.
    """

    def __init__(self, request: Any, session: str = "", *, idle: bool = False) -> None:
        self.request, self.idle = request, idle
        self.sessions, self.wanted = {session}, False
        self._looked: dict[str, float] = {}
        self.number, self.seconds, self.foreseen = next(_numbers), 0.0, 0.0
        self.not_before, self.since, self.is_oldest = 0.0, 0.0, False
        self.born = self.beaten = time.monotonic()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._ended, self._sought = threading.Event(), threading.Event()
        self._state, self._done, self._total = "queued", 0, 0
        self._pace = Pace()
        self._left: float | None = None
        self._result: Any = None
        self._stored = False
        self._message = self._trace = ""

    def view(self, session: str | None = None) -> View:
        """Its state now; for a session that has left it, stopped."""
        with self._lock:
            if session is not None:
                self._looked[session] = time.monotonic()
            state = self._state
            left = self._pace.left(time.monotonic()) if state == "running" else None
            if session is not None and session not in self.sessions and state in LIVE:
                state = "stopped"
            done, total = self._done, self._total
            return View(state, done, total, left, self._result, self._message, self._trace, self._stored)

    def watchers(self, *, within: float) -> int:
        """How many waiting sessions looked at it within so many seconds: a closed browser waits, but does not look."""
        with self._lock:
            since = time.monotonic() - within
            return sum(self._looked.get(session, 0.0) > since for session in self.sessions)

    @property
    def users(self) -> set[str]:
        """Who waits for it, in however many sessions each."""
        return {user_of(session) for session in self.sessions}

    def join(self, session: str) -> None:
        """Add a session that waits for it."""
        self.sessions = self.sessions | {session}

    def leave(self, session: str) -> None:
        """Remove a waiting session; when none is left, the job is asked to end. Rows that are done are kept."""
        self.sessions = self.sessions - {session}
        if self.sessions:
            return
        self._stop.set()
        with self._lock:
            if self._state == "queued":
                self._state = "stopped"
                self._ended.set()

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to end."""
        return self._stop.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for the job to end; returns whether it has."""
        return self._ended.wait(seconds)

    def sought(self, seconds: float) -> bool:
        """Wait until the store has been searched for its result; returns whether it has."""
        return self._sought.wait(seconds)

    def miss(self) -> None:
        """Called by the reader: the result is not stored."""
        self._sought.set()

    def enter(self, state: str) -> None:
        """Called by the worker: begin loading or running, or wait again; raises `Cancelled` where it was stopped."""
        self.beat()
        with self._lock:
            if self._state not in LIVE:
                raise Cancelled
            if state == "queued":
                self._left = self._pace.left(time.monotonic())
            self._state, self._pace = state, Pace()

    def progress(self, result: Any, done: int, total: int) -> None:
        """Called by the worker: rows so far; raises `Cancelled` when it was stopped."""
        work = getattr(result, "work", None) or (done, total)
        with self._lock:
            if self._state in LIVE:
                TALLY.rows(_rows(result) - _rows(self._result))
                self._result, self._done, self._total = result, done, total
                self._pace.told(time.monotonic(), *work)
        self.beat()

    def left(self) -> float | None:
        """About how many seconds of the device it still takes; None where nothing is known of that."""
        with self._lock:
            paced = self._pace.left(time.monotonic()) if self._state == "running" else self._left
        if paced is None and self.foreseen:
            return max(0.0, self.foreseen - self.seconds)
        return paced

    def beat(self) -> None:
        """Called by the worker now and then, as a sign of life: raises `Cancelled` when it was stopped."""
        self.beaten = time.monotonic()
        if self._stop.is_set():
            raise Cancelled

    def finish(self, result: Any, *, stored: bool = False) -> None:
        """Called by the worker or reader: the whole result."""
        with self._lock:
            if self._state in LIVE:
                TALLY.rows(0 if stored else _rows(result) - _rows(self._result))
                self._result, self._state, self._stored = result, "done", stored
                self._done = self._total
        self._over()

    def end(self, error: BaseException) -> None:
        """Called by the worker or reader: the job ended without a result."""
        self._fail(failure.state_of(error), failure.sentence_of(error), failure.trace_of(error))

    def abandon(self, message: str, trace: str = "") -> None:
        """Given up: whatever the thread that was at it does later is ignored, and it ends with its next beat."""
        self._stop.set()
        self._fail("failed", message, trace)

    def _fail(self, state: str, message: str, trace: str) -> None:
        with self._lock:
            if self._state in LIVE:
                self._state, self._message, self._trace = state, message, trace
        self._over()

    def _over(self) -> None:
        if self.wanted and not (self.idle or self._stored or self._ended.is_set()):
            TALLY.ended(self._state)
        self._ended.set()
        self._sought.set()


def _rows(result: Any) -> int:
    """Rows of a result; 0 where it is none, or a short answer."""
    return getattr(getattr(result, "table", None), "num_rows", 0)
