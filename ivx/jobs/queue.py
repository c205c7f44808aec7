"""The queue: who is next on a device, fairly between sessions.

What a job has spent is its own device time plus the recent device time of its session. The job that has spent least
is next; so a small request passes a long one, and one session's thirty requests do not stand before another's first.
Idle jobs are taken when no other waits.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable

from ivx.jobs.job import Job

QUANTUM = 2.0
"""Seconds by which a waiting job must have spent less, for the running one to step back."""
HALF_LIFE = 60.0
"""Seconds in which a session's recorded device time decays to half."""


class Queue:
    """Waiting jobs, and the device time of each session; every method may be called from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: list[Job] = []
        self._had: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))

    def put(self, job: Job, *, after: float = 0.0) -> None:
        """Let a job wait; it is not taken before `after` seconds have passed."""
        with self._changed:
            job.not_before = self._clock() + after
            self._waiting.append(job)
            self._changed.notify()

    def take(self) -> Job:
        """The next job; waits for one."""
        with self._changed:
            while True:
                now = self._clock()
                waiting = [job for job in self._waiting if not job.idle] or self._waiting
                ready = [job for job in waiting if job.not_before <= now]
                if ready:
                    first = min(ready, key=lambda job: (self._spent(job), job.number))
                    self._waiting.remove(first)
                    return first
                soonest = min((job.not_before - now for job in waiting), default=None)
                self._changed.wait(soonest)

    def charge(self, job: Job, seconds: float) -> None:
        """Note that a job, for all who wait for it, has had the device for some seconds."""
        with self._changed:
            job.seconds += seconds
            for session in job.sessions:
                self._had[session] = (self._lately(session) + seconds / len(job.sessions), self._clock())

    def is_due(self, running: Job, *, cost: Callable[[Job], float]) -> bool:
        """Whether a waiting job has spent so much less that the running one steps back; `cost` is that of switching."""
        with self._changed:
            now, spent = self._clock(), self._spent(running)
            ready = [job for job in self._waiting if job.not_before <= now and not job.idle]
            return any(self._spent(job) + max(QUANTUM, cost(job)) < spent for job in ready)

    def ahead(self, job: Job) -> int:
        """How many waiting jobs are taken before this one."""
        with self._changed:
            mine = (job.idle, self._spent(job), job.number)
            others = [other for other in self._waiting if other is not job]
            return sum((other.idle, self._spent(other), other.number) < mine for other in others)

    def _spent(self, job: Job) -> float:
        return job.seconds + min((self._lately(session) for session in job.sessions), default=0.0)

    def _lately(self, session: str) -> float:
        seconds, since = self._had[session]
        return seconds * 0.5 ** ((self._clock() - since) / HALF_LIFE)
