"""The worker: one thread owns the model and the device, and answers requests in the order they come.

Equal requests are computed once, however many sessions ask; the last results stay at hand.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections import OrderedDict
from functools import cache
from typing import TYPE_CHECKING

from ivx.runs.job import Job
from ivx.runs.request import EffectsRequest

if TYPE_CHECKING:
    from ivx.models.model import Model

KEPT = 48
"""How many ended jobs, with their results, are remembered."""


SWITCH_SECONDS = 0.0003


class Worker:
    """Submit requests; never touches the caller's thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: OrderedDict[EffectsRequest, Job] = OrderedDict()
        self._waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._model: Model | None = None
        self._key: tuple | None = None
        threading.Thread(target=self._serve, name="ivx-worker", daemon=True).start()

    def submit(self, request: EffectsRequest) -> Job:
        """The job of this request: the one there is, or a new one when there is none or it did not finish."""
        with self._lock:
            job = self._jobs.get(request)
            if job is None or job.view().state in ("stopped", "failed", "refused"):
                job = self._jobs[request] = Job(request)
                self._waiting.put(job)
            self._jobs.move_to_end(request)
            self._forget()
            return job

    def find(self, request: EffectsRequest) -> Job | None:
        """The job of this request, if it was ever submitted and is still remembered."""
        with self._lock:
            return self._jobs.get(request)

    def _forget(self) -> None:
        ended = [request for request, job in self._jobs.items() if not job.view().live]
        for request in ended[: max(0, len(self._jobs) - KEPT)]:
            del self._jobs[request]

    def _serve(self) -> None:
        import torch

        # The pages' Python and the worker's take turns; at the default of 5 ms, every one of the worker's thousands of
        # small tensor calls would wait that long for its turn while a page is drawn.
        sys.setswitchinterval(SWITCH_SECONDS)
        # One core stays with the pages.
        torch.set_num_threads(max(1, torch.get_num_threads() - 1))
        while True:
            job = self._waiting.get()
            try:
                self._answer(job)
            except Exception as error:  # the job carries it; the worker lives on
                job.end(error)

    def _answer(self, job: Job) -> None:
        from ivx.analysis.effects import compute
        from ivx.models.load import load

        job.enter("loading")
        asked = job.request
        key = (asked.checkpoint, asked.dtype, asked.device, asked.adapter)
        if self._key != key:
            # The old model is let go before the new one is read: two never stand in memory together.
            self._model, self._key = None, None
            self._model = load(asked.checkpoint, dtype=asked.dtype, device=asked.device, adapter=asked.adapter)
            self._key = key
        assert self._model is not None
        job.enter("running")
        job.finish(compute(self._model, asked, on_progress=job.progress))


@cache
def worker() -> Worker:
    """The process's one worker."""
    return Worker()
