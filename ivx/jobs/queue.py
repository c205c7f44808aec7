"""The queue: who is next on a device, fairly between users, and so that nobody waits for ever.

What a job claims is its own device time, what it has had or will take, plus the recent device time of its user. The job
that claims least is next; so a small request passes a long one, and thirty requests of one user, in however many
sessions, do not stand before another's first. A quarter of the time goes to whoever has waited longest, whatever it
claims: with n jobs waiting, and turns of at most T seconds, none waits longer than n · (5 T + `PATIENCE`). Idle jobs
are taken when no other waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ivx.jobs.job import Job
from ivx.jobs.tally import TALLY

QUANTUM = 2.0
"""Seconds by which a waiting job must have spent less, for the running one to step back."""
HALF_LIFE = 60.0
"""Seconds in which a user's recorded device time decays to half."""
PATIENCE = 10.0
"""Seconds that a job waits before its turn may come for the length of its wait alone."""
LEAST = 1e-3
"""Seconds of recorded device time under which a user is forgotten."""
SHARE = 4
"""One in so many seconds goes to whoever has waited longest."""


def nothing(_: Job) -> float:
    """The cost of switching where there is none."""
    return 0.0


class Queue:
    """Waiting jobs, and the device time of each user; every method may be called from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: list[Job] = []
        self._had: dict[str, tuple[float, float]] = {}  # by user: seconds, and when these were counted
        self._owed = 0.0  # seconds given by claims, less those that this earned to whoever waited longest

    def put(self, job: Job, *, after: float = 0.0) -> None:
        """Let a job wait; it is not taken before `after` seconds have passed."""
        with self._changed:
            job.since = self._clock()
            job.not_before, job.is_oldest = job.since + after, False
            self._waiting.append(job)
            self._changed.notify()

    def take(self, *, cost: Callable[[Job], float] = nothing) -> Job:
        """The next job; waits for one. `cost` is that of switching to a job, in seconds."""
        with self._changed:
            while True:
                now = self._clock()
                waiting = [job for job in self._waiting if not job.idle] or self._waiting
                ready = [job for job in waiting if job.not_before <= now]
                if ready:
                    oldest = self._overdue(ready, now)
                    first = oldest or min(ready, key=lambda job: (self._claim(job) + cost(job), job.number))
                    first.is_oldest = oldest is not None
                    self._waiting.remove(first)
                    return first
                soonest = min((job.not_before - now for job in waiting), default=None)
                self._changed.wait(soonest)

    def holds(self, job: Job) -> bool:
        """Whether a job waits here."""
        with self._changed:
            return job in self._waiting

    def charge(self, job: Job, seconds: float) -> None:
        """Note that a job, for all who wait for it, has had the device for some seconds."""
        with self._changed:
            job.seconds += seconds
            TALLY.charge(seconds)
            users, now = job.users, self._clock()
            lately = {user: self._lately(user) for user in {*self._had, *users}}
            lately |= {user: lately[user] + seconds / len(users) for user in users}
            self._had = {user: (had, now) for user, had in lately.items() if had >= LEAST}
            if any(not other.idle for other in self._waiting):
                self._owed += -(SHARE - 1) * seconds if job.is_oldest else seconds
            else:
                self._owed = 0.0

    def is_due(self, running: Job, *, cost: Callable[[Job], float], lasted: float = 0.0) -> bool:
        """Whether the running job steps back: for one that claims so much less, or for one that has waited longest.

        Args:
            cost: of switching to a job, what that must be worth in seconds.
            lasted: seconds of the running job's turn.
        """
        with self._changed:
            now, claim = self._clock(), self._claim(running)
            ready = [job for job in self._waiting if job.not_before <= now and not job.idle]
            oldest = self._overdue(ready, now)
            if oldest is not None and lasted >= cost(oldest):
                return True
            return any(self._claim(job) + max(QUANTUM, cost(job)) < claim for job in ready)

    def ahead(self, job: Job) -> int:
        """How many waiting jobs are taken before this one."""
        return len(self.before(job))

    def before(self, job: Job) -> list[tuple[Job, float]]:
        """The waiting jobs that are taken before this one, and how many seconds each may have until it claims as much,
        and steps back."""
        with self._changed:
            mine = self._rank(job)
            others = [other for other in self._waiting if other is not job and self._rank(other) < mine]
            return [(other, self._margin(other, job)) for other in others]

    def margin(self, running: Job, job: Job) -> float:
        """Seconds until a running job steps back for a waiting one, at most."""
        with self._changed:
            return self._margin(running, job)

    def _overdue(self, ready: list[Job], now: float) -> Job | None:
        """Who has waited longest, where it is its turn for that alone."""
        waited = [job for job in ready if not job.idle and now - job.since >= PATIENCE]
        if not waited or self._owed < PATIENCE:
            return None
        return min(waited, key=lambda job: (job.since, job.number))

    def _margin(self, other: Job, job: Job) -> float:
        return max(0.0, self._claim(job) - self._claim(other)) + QUANTUM

    def _rank(self, job: Job) -> tuple[bool, float, int]:
        return job.idle, self._claim(job), job.number

    def _claim(self, job: Job) -> float:
        lately = min((self._lately(user) for user in job.users), default=0.0)
        return max(job.seconds, job.foreseen) + lately

    def _lately(self, user: str) -> float:
        seconds, since = self._had.get(user, (0.0, 0.0))
        return seconds * 0.5 ** ((self._clock() - since) / HALF_LIFE)
