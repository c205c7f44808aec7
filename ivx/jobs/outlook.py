"""The outlook: about how long a job will take, from the last one of its kind, and how long one still waits."""

from __future__ import annotations

import threading
from collections import deque

from ivx.jobs.device import Asked, Device
from ivx.jobs.job import Job
from ivx.jobs.queue import Queue

LATELY = 20
"""Jobs whose mean stands for one of which nothing is known."""


class Outlook:
    """What jobs have taken; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._took: dict[tuple, float] = {}
        self._each: deque[float] = deque(maxlen=LATELY)

    def learn(self, job: Job) -> None:
        """A job was computed to its end."""
        with self._lock:
            self._each.append(job.seconds)
            self._took[_alike(job.request)] = job.seconds / _size(job.request)

    def foreseen(self, request: Asked) -> float:
        """Seconds of the device that a request will take, by its samples; 0 where none of its kind was computed yet."""
        with self._lock:
            return self._took.get(_alike(request), 0.0) * _size(request)

    def typical(self) -> float | None:
        """Seconds of the device that a request of no known kind has taken, each with its samples; None before any."""
        with self._lock:
            return sum(self._each) / len(self._each) if self._each else None


def wait_of(
    job: Job, running: Job | None, *, queue: Queue, device: Device, typical: float | None
) -> tuple[int, float | None]:
    """How many are before a waiting job, the running one among them, and about how many seconds its turn is away; None
    where that is not known.

    A long one before it steps back as soon as it has had more. One of which nothing is known is taken for a `typical`
    one.
    """
    before = queue.before(job)
    if running is not None and running is not job:
        before.append((running, queue.margin(running, job)))
    left = [(typical if (known := other.left()) is None else known, margin) for other, margin in before]
    if any(known is None for known, _ in left):
        return len(before), None
    seconds = sum(min(known, margin) for known, margin in left if known is not None)
    return len(before), seconds + (0.0 if device.has(job.request) else device.load_seconds)


def _alike(request: Asked) -> tuple:
    """What two requests have in common that take alike."""
    sites, controls = (len(getattr(request, name, ())) for name in ("sites", "controls"))
    return type(request), request.checkpoint, *request.loading.values(), sites, controls


def _size(request: Asked) -> float:
    """How much it asks for: samples, or those that it names."""
    match getattr(request, "samples", 1):
        case int(number):
            return float(number)
        case named:
            return float(max(1, len(named)))
