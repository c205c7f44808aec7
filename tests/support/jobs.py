"""Jobs of a test, ended with it: what went on in a thread would draw random numbers, read checkpoints and be counted
in the tests that come after."""

from __future__ import annotations

import time
from typing import Any
from weakref import WeakSet

from ivx.jobs.worker import Worker

SECONDS = 120
"""How long a job may take to come to the end of its pass, or of its loading."""
_made: WeakSet[Worker] = WeakSet()
_begin = Worker.__init__


def _remembered(self: Worker, *args: Any, **named: Any) -> None:
    _begin(self, *args, **named)
    _made.add(self)


def remember() -> None:
    """Have every worker that is made from here on known to `end`."""
    Worker.__init__ = _remembered  # type: ignore[method-assign]


def end() -> list[str]:
    """Stop all jobs of this process and wait for them; returns what did not end."""
    jobs = [job for worker in _made for job in list(worker._jobs.values())]
    for job in jobs:
        for session in job.sessions:
            job.leave(session)
    until = time.monotonic() + SECONDS
    while (live := [job for job in jobs if job.view().live]) and time.monotonic() < until:
        time.sleep(0.01)
    return [f"{job.request} {job.view().state}" for job in live]
