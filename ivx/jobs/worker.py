"""The worker: one thread owns the model and the device, another reads what is stored; equal requests are one job.

A long job steps back for one that has spent less, at the end of a pass, when its rows are stored; it goes on from them
when it is its turn again. Whatever a library raises, or does not return from, ends its own job: a thread that died or
froze is noticed, and another serves the next.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from ivx.errors import Cancelled, IvxError
from ivx.jobs import failure, service
from ivx.jobs.compute import Busy, computed, stored
from ivx.jobs.device import Asked, forget_half_a_load, give_back
from ivx.jobs.job import Job
from ivx.jobs.outlook import Outlook, wait_of
from ivx.jobs.queue import Queue
from ivx.jobs.service import Service
from ivx.jobs.turn import Turn
from ivx.models.library import ALONE
from ivx.patching import kept
from ivx.request import LiveRequest
from ivx.store.store import Store

if TYPE_CHECKING:
    from ivx.models.model import Model

KEPT = 48
"""How many ended jobs, with their results, are remembered."""
RELOADS = 4
"""A job steps back for one on another model only if that has spent less by this many load times."""
BUSY_SECONDS = 1.0
SETTLED_SECONDS = 0.5
"""How long a choice must stand before its checkpoint is read ahead: who goes through a list has none of them read."""
WATCHED_SECONDS = 60.0
"""A session that has not looked for so long has closed its page; its job goes on."""
WATCH_SECONDS = 1.0
"""How often it is seen to that both threads serve."""
DIED = "the thread that computed this was ended from within, by a library or a signal: ask again, another one serves"
LOST = "this request was lost between two threads, one of which ended: ask again"
HELD = "an earlier call for this very run was given up and has not returned: ask for it when the server was restarted"
_MAKING = threading.Lock()
_LOG = logging.getLogger("ivx")


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
        self._outlook = Outlook()
        self._limit = service.limit()
        self._tending = threading.Lock()
        self._lost: set[Job] = set()
        self._left: list[tuple[Service, Job]] = []
        self._reader, self._server = self._reading(), self._serving()
        self._reader.start()
        self._server.start()
        self._watch = self._watching()

    def _reading(self) -> Service:
        return Service("ivx-reader", self._read, reads=True)

    def _serving(self) -> Service:
        return Service("ivx-worker", self._serve)

    def _watching(self) -> threading.Thread:
        watch = threading.Thread(target=self._look_after, name="ivx-watch", daemon=True)
        watch.start()
        return watch

    def submit(self, request: Asked, *, session: str = "", compute: bool = True) -> Job:
        """The job of this request, which the session now waits for: the one there is, or a new one.

        Without `compute` it is only looked up in the store, and stopped where it is not there.
        """
        if not self._watch.is_alive():
            self._watch = self._watching()
        if self._reader.is_dead or self._server.is_dead:
            self.tend()
        with self._lock:
            job, idle = self._jobs.get(request), isinstance(request, Wake)
            over = ("stopped", "failed", "refused", *(["done"] if idle else []))  # a model that was read may be gone
            if job is None or job.is_stopping or job.view().state in over:
                job = self._jobs[request] = Job(request, session, idle=idle)
                job.foreseen = 0.0 if idle else self._outlook.foreseen(request)
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

    @property
    def is_well(self) -> bool:
        """Whether both its threads live."""
        return not (self._reader.is_dead or self._server.is_dead)

    @property
    def has_model(self) -> bool:
        """Whether a model is in memory."""
        return self._server.device.model is not None

    def wait(self, job: Job) -> tuple[int, float | None]:
        """How many jobs are before a queued one, the one at the device among them, and about how many seconds its turn
        is away, where that is known."""
        server = self._server
        typical = self._outlook.typical()
        return wait_of(job, server.job, queue=self._queue, device=server.device, typical=typical)

    def under_way(self) -> list[Job]:
        """The jobs that were asked for and have not ended: the one at the device first, then in their turns."""
        with self._lock:
            jobs = [job for job in self._jobs.values() if job.wanted and not job.idle and job.view().live]
        return sorted(jobs, key=lambda job: (job.view().state == "queued", self._queue.ahead(job), job.number))

    def _forget(self) -> None:
        ended = [request for request, job in self._jobs.items() if not job.view().live]
        for request in ended[: max(0, len(self._jobs) - KEPT)]:
            del self._jobs[request]

    def tend(self) -> None:
        """See to it that both threads serve: the job of one that died or froze fails, and another takes its place."""
        with self._tending:
            self._left = [(gone, job) for gone, job in self._left if not gone.is_dead]
            for old in (self._reader, self._server):
                silent = old.frozen_for(self._limit)
                if silent is not None:
                    self._replace(
                        old, f"abandoned: no sign of life for {silent:.0f} s; ask again, another thread serves"
                    )
                elif old.is_dead:
                    self._replace(old, DIED)
            self._find_lost()

    def _look_after(self) -> None:
        while True:
            time.sleep(WATCH_SECONDS)
            try:
                self.tend()
            except Exception as error:  # what it finds in one look, it may not in the next
                _LOG.warning("the worker's threads could not be looked after: %s", error)

    def _replace(self, old: Service, sentence: str) -> None:
        """Leave a thread behind: from here on it owns nothing, and what it does is ignored."""
        job, trace = old.job, failure.stack_of(old.thread.ident)
        if old is self._reader:
            new = self._reader = self._reading()
        else:
            new = self._server = self._serving()
        if job is not None:
            job.abandon(sentence, trace)
            if not old.is_dead:
                self._left.append((old, job))
        ALONE.forsake(old.thread.ident)
        forget_half_a_load()
        new.start()

    def _find_lost(self) -> None:
        """A thread that ends just when it has taken a job leaves it to nobody: twice seen so, it has failed."""
        with self._lock:
            live = [job for job in self._jobs.values() if job.view().live]
        if not self._asked.empty():
            live = [job for job in live if job.sought(0.0)]
        owned = (self._reader.job, self._server.job)
        lost = {job for job in live if job not in owned and not self._queue.holds(job)}
        for job in lost & self._lost:
            job.abandon(LOST)
        self._lost = lost - self._lost

    def _read(self, mine: Service) -> None:
        """The reader's thread: what is stored is answered at once, the rest queued."""
        while mine is self._reader:
            try:
                mine.job = job = self._asked.get()
                job.beaten = time.monotonic()
                self._look_up(mine, job)
            except BaseException as error:  # the job carries it; the reader lives on
                _end(mine.job, error)
            mine.job = None

    def _look_up(self, mine: Service, job: Job) -> None:
        live = isinstance(job.request, LiveRequest)
        found = None if live else stored(self.store, job.request)
        if found is not None:
            job.finish(found, stored=True)
            return
        with self._lock:  # so that nobody wants it in between
            if not job.wanted:
                job.end(Cancelled())
                return
        if not job.is_stopping:
            self._queue.put(job, after=SETTLED_SECONDS if job.idle else 0.0)
            job.miss()

    def _serve(self, mine: Service) -> None:
        """The device's thread. Torch is imported for its first job only: stored results need none."""
        while mine is self._server:
            try:
                mine.job = job = self._queue.take(cost=self._loading)
                job.beaten = time.monotonic()
                self._turn(mine, job)
            except BaseException as error:  # raised into the thread between two jobs, or while one was ended
                _end(mine.job, error)
            mine.job = None

    def _turn(self, mine: Service, job: Job) -> None:
        """A job's time at the device: until it ends, or steps back."""
        began, had, spent = time.monotonic(), job.seconds, False
        back: float | None = None
        try:
            self._answer(mine, job)
        except _SteppedBack:
            back = 0.0
        except Busy:
            if any(left.request == job.request for _, left in self._left):
                job.end(IvxError(HELD))
            else:
                back = BUSY_SECONDS
        except BaseException as error:  # the job carries it; the worker lives on
            spent = failure.is_memory(error)
            _end(job, error)
        if mine is not self._server:
            return
        # What was charged at the end of a pass is not charged twice.
        self._queue.charge(job, time.monotonic() - began - (job.seconds - had))
        if back is not None:
            self._again(job, after=back)
        if job.view().state == "done" and not job.idle:
            self._outlook.learn(job)
        if spent:  # what the model holds is the most that can be given back; another request reads it again
            mine.device.let_go()
            give_back()

    def _again(self, job: Job, *, after: float) -> None:
        try:
            job.enter("queued")
        except Cancelled as stopped:
            job.end(stopped)
        else:
            self._queue.put(job, after=after)

    def _answer(self, mine: Service, job: Job) -> None:
        job.enter("loading")
        model = self._loaded(job.request)
        job.enter("running")
        if isinstance(job.request, LiveRequest):
            job.finish(job.request.answered(model, self.store, beat=job.beat))
            return
        charged = time.monotonic()
        turn = Turn(charged, kept=kept.seconds())

        def between() -> None:
            nonlocal charged
            now = time.monotonic()
            turn.stored(now, kept=kept.seconds())
            self._queue.charge(job, now - charged)
            charged = now
            if turn.may_end(now) and self._queue.is_due(job, cost=self._switching, lasted=now - turn.began):
                raise _SteppedBack

        found = computed(self.store, model, job.request, on_progress=job.progress, beat=job.beat, between=between)
        job.finish(found)

    def _switching(self, other: Job) -> float:
        """Seconds that switching to another job must be worth: 0 where it needs the loaded model."""
        return RELOADS * self._loading(other)

    def _loading(self, job: Job) -> float:
        """Seconds until a job's model is loaded, as long as the last one took: 0 where it is there."""
        device = self._server.device
        return 0.0 if device.has(job.request) else device.load_seconds

    def _loaded(self, asked: Asked) -> Model:
        return self._server.device.loaded(asked)


def _end(job: Job | None, error: BaseException) -> None:
    """End a job with what was raised, whatever that raises in turn."""
    if job is None:
        return
    try:
        job.end(error)
    except BaseException as other:
        job.abandon(f"{type(error).__name__}, and then {type(other).__name__}, while the job was ended")


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
