"""The worker: one thread owns the model and the device, another reads what is stored; equal requests are one job.

A long job steps back for one that has spent less, at the end of a pass, when its rows are stored; it goes on from them
when it is its turn again.
"""

from __future__ import annotations

import gc
import queue
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from ivx.errors import Cancelled
from ivx.jobs.compute import Busy, computed, stored
from ivx.jobs.job import Job
from ivx.jobs.queue import Queue
from ivx.models.library import ALONE
from ivx.request import BaseRequest, LiveRequest
from ivx.store.store import Store

if TYPE_CHECKING:
    from ivx.models.model import Model

Asked = BaseRequest | LiveRequest

KEPT = 48
"""How many ended jobs, with their results, are remembered."""
RELOADS = 4
"""A job steps back for one on another model only if that has spent less by this many load times."""
BUSY_SECONDS = 1.0
SETTLED_SECONDS = 0.5
"""How long a choice must stand before its checkpoint is read ahead: who goes through a list has none of them read."""
WATCHED_SECONDS = 60.0
"""A session that has not looked for so long has closed its page; its job goes on."""
SWITCH_SECONDS = 0.0003
_MAKING = threading.Lock()


class _SteppedBack(Cancelled):
    """Ends a job's turn at the device; its rows are stored."""


class Worker:
    """Answers submitted requests, in threads of its own."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._lock = threading.Lock()
        self._jobs: OrderedDict[Asked, Job] = OrderedDict()
        self._asked: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._queue = Queue()
        self._model: Model | None = None
        self._key: tuple | None = None
        self._load_seconds = 0.0
        for name, serve in (("ivx-reader", self._read), ("ivx-worker", self._serve)):
            threading.Thread(target=serve, name=name, daemon=True).start()

    def submit(self, request: Asked, *, session: str = "", compute: bool = True) -> Job:
        """The job of this request, which the session now waits for: the one there is, or a new one.

        Without `compute` it is only looked up in the store, and stopped where it is not there.
        """
        with self._lock:
            job, idle = self._jobs.get(request), isinstance(request, Wake)
            over = ("stopped", "failed", "refused", *(["done"] if idle else []))  # a model that was read may be gone
            if job is None or job.is_stopping or job.view().state in over:
                job = self._jobs[request] = Job(request, session, idle=idle)
                self._asked.put(job)
            if idle:
                self._supersede(request, session)
            job.join(session)
            job.wanted |= compute
            self._jobs.move_to_end(request)
            self._forget()
            return job

    def _supersede(self, newest: Asked, session: str) -> None:
        """A session wants one checkpoint read ahead: that of its newest choice."""
        for request, job in self._jobs.items():
            if isinstance(request, Wake) and request != newest and session in job.sessions:
                job.leave(session)

    def find(self, request: Asked) -> Job | None:
        """The job of this request, if it was ever submitted and is still remembered."""
        with self._lock:
            return self._jobs.get(request)

    def leave(self, request: Asked, *, session: str) -> None:
        """A session waits no longer; the job stops when nobody does."""
        job = self.find(request)
        if job is not None:
            job.leave(session)

    def watched(self) -> int:
        """How many sessions look at a job that is under way."""
        with self._lock:
            return sum(job.watchers(within=WATCHED_SECONDS) for job in self._jobs.values() if job.view().live)

    def ahead(self, job: Job) -> int:
        """How many jobs are before a queued one."""
        return self._queue.ahead(job)

    def under_way(self) -> list[Job]:
        """The jobs that were asked for and have not ended: the one at the device first, then in their turns."""
        with self._lock:
            jobs = [job for job in self._jobs.values() if job.wanted and not job.idle and job.view().live]
        return sorted(jobs, key=lambda job: (job.view().state == "queued", self._queue.ahead(job), job.number))

    def _forget(self) -> None:
        ended = [request for request, job in self._jobs.items() if not job.view().live]
        for request in ended[: max(0, len(self._jobs) - KEPT)]:
            del self._jobs[request]

    def _read(self) -> None:
        """The reader's thread: what is stored is answered at once, the rest queued."""
        while True:
            job = self._asked.get()
            try:
                live = isinstance(job.request, LiveRequest)
                found = None if live else stored(self.store, job.request)
            except Exception as error:  # the job carries it; the reader lives on
                job.end(error)
                continue
            if found is not None:
                job.finish(found, stored=True)
                continue
            with self._lock:  # so that nobody wants it in between
                if not job.wanted:
                    job.end(Cancelled())
                    continue
            if not job.is_stopping:
                self._queue.put(job, after=SETTLED_SECONDS if job.idle else 0.0)
                job.miss()

    def _serve(self) -> None:
        """The device's thread. Torch is imported for its first job only: stored results need none."""
        first = self._queue.take()
        with suppress(Cancelled):  # its turn ends a stopped job
            first.enter("loading")
        with ALONE:
            import torch

            from ivx.models import load  # noqa: F401  (with all of transformers that it needs)

        # The pages' Python and the worker's take turns; at the default of 5 ms, every one of the worker's thousands of
        # small tensor calls would wait that long for its turn while a page is drawn.
        sys.setswitchinterval(SWITCH_SECONDS)
        # One core stays with the pages.
        torch.set_num_threads(max(1, torch.get_num_threads() - 1))
        self._turn(first)
        while True:
            self._turn(self._queue.take())

    def _turn(self, job: Job) -> None:
        """A job's time at the device: until it ends, or steps back."""
        began, had = time.monotonic(), job.seconds
        try:
            self._answer(job)
        except (_SteppedBack, Busy) as reason:
            self._again(job, after=BUSY_SECONDS if isinstance(reason, Busy) else 0.0)
        except Exception as error:  # the job carries it; the worker lives on
            job.end(error)
        # What was charged at the end of a pass is not charged twice.
        self._queue.charge(job, time.monotonic() - began - (job.seconds - had))

    def _again(self, job: Job, *, after: float) -> None:
        try:
            job.enter("queued")
        except Cancelled as stopped:
            job.end(stopped)
        else:
            self._queue.put(job, after=after)

    def _answer(self, job: Job) -> None:
        job.enter("loading")
        model = self._loaded(job.request)
        job.enter("running")
        if isinstance(job.request, LiveRequest):
            job.finish(job.request.answered(model, self.store, beat=job.beat))
            return
        began, rows = time.monotonic(), 0

        def progress(result: Any, done: int, total: int) -> None:
            nonlocal began, rows
            job.progress(result, done, total)
            if result.table.num_rows > rows and done < total:
                rows, now = result.table.num_rows, time.monotonic()
                self._queue.charge(job, now - began)
                began = now
                if self._queue.is_due(job, cost=self._switching):
                    raise _SteppedBack

        job.finish(computed(self.store, model, job.request, on_progress=progress, beat=job.beat))

    def _switching(self, other: Job) -> float:
        """Seconds that switching to another job must be worth: 0 where it needs the loaded model."""
        return 0.0 if _key_of(other.request) == self._key else RELOADS * self._load_seconds

    def _loaded(self, asked: Asked) -> Model:
        with ALONE:
            from ivx.models.load import load

        key = _key_of(asked)
        if self._key != key or self._model is None:
            # The old model is let go before the new one is read: two never stand in memory together.
            self._model, self._key = None, None
            gc.collect()  # one whose weights are streamed refers to itself
            began = time.monotonic()
            self._model = load(asked.checkpoint, **asked.loading)
            self._key, self._load_seconds = key, time.monotonic() - began
        return self._model


def _key_of(asked: Asked) -> tuple:
    return asked.checkpoint, *asked.loading.values()


def worker() -> Worker:
    """The process's one worker, on the default store; however many sessions ask for it at once, there is one."""
    with _MAKING:
        return _worker()


@cache
def _worker() -> Worker:
    return Worker(Store())


@dataclass(frozen=True)
class Wake(LiveRequest):
    """Loads torch and a checkpoint ahead of time, so that the next request need not wait for them.

    It is done when no other job waits, and given up for the session's next one. What it fails at, the checkpoint's
    first request tells.
    """

    def answered(self, model: Model, store: Store, *, beat: Callable[[], None]) -> None:
        """Do nothing: the load was all."""
