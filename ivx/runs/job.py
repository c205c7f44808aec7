"""A job: one request under way, seen from any number of threads."""

from __future__ import annotations

import threading
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ivx.errors import Cancelled, IvxError
from ivx.runs.request import EffectsRequest

if TYPE_CHECKING:
    from ivx.analysis.result import Effects

LIVE = ("queued", "loading", "running")


@dataclass(frozen=True)
class View:
    """One moment of a job. `state` is queued, loading, running, done, stopped, refused (a user's mistake) or failed."""

    state: str
    done: int
    total: int
    seconds_left: float | None
    result: Effects | None
    message: str
    trace: str

    @property
    def live(self) -> bool:
        """Whether it may still change."""
        return self.state in LIVE


class Job:
    """A request and its progress; every method may be called from any thread."""

    def __init__(self, request: EffectsRequest) -> None:
        self.request = request
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._state, self._done, self._total = "queued", 0, 0
        self._began = time.monotonic()
        self._result: Effects | None = None
        self._message = self._trace = ""

    def view(self) -> View:
        """Its state now."""
        with self._lock:
            left = None
            if self._state == "running" and self._done:
                left = (time.monotonic() - self._began) / self._done * (self._total - self._done)
            return View(self._state, self._done, self._total, left, self._result, self._message, self._trace)

    def stop(self) -> None:
        """Ask it to end; rows that are done are kept."""
        self._stop.set()
        with self._lock:
            if self._state == "queued":
                self._state = "stopped"
                self._ended.set()

    def wait(self, seconds: float) -> bool:
        """Wait for its end; whether it has ended."""
        return self._ended.wait(seconds)

    def enter(self, state: str) -> None:
        """The worker's: begin loading or running; raises `Cancelled` when it was stopped before."""
        if self._stop.is_set():
            raise Cancelled
        with self._lock:
            self._state, self._began = state, time.monotonic()

    def progress(self, result: Effects, done: int, total: int) -> None:
        """The worker's: rows so far; raises `Cancelled` when it was stopped."""
        with self._lock:
            self._result, self._done, self._total = result, done, total
        if self._stop.is_set():
            raise Cancelled

    def finish(self, result: Effects) -> None:
        """The worker's: the whole result."""
        with self._lock:
            self._result, self._state, self._done = result, "done", self._total
        self._ended.set()

    def end(self, error: Exception) -> None:
        """The worker's: it ended otherwise."""
        state = "stopped" if isinstance(error, Cancelled) else "refused" if isinstance(error, IvxError) else "failed"
        with self._lock:
            self._state = state
            self._message = str(error) or type(error).__name__
            self._trace = "" if state != "failed" else "".join(traceback.format_exception(error))
        self._ended.set()
