"""A service: a thread that serves one job after another, and the signs that it is alive.

A sign of life is a beat of its job: progress, a pass over the model, a new state. A thread may also die of what a
library raises into it, or be frozen inside a call that never returns.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ivx.errors import IvxError
from ivx.jobs.device import Device
from ivx.jobs.job import Job

SETTING = "IVX_FROZEN_SECONDS"
FROZEN_SECONDS = 300.0
"""Seconds without a beat and without work after which a job is given up, unless the setting says otherwise."""
SLOW = 6.0
"""So many times as long may pass while a checkpoint is fetched or read, and while the thread uses the processor."""
BUSY = 0.01
"""Share of a core that a thread uses which is at work."""


class Service:
    """A thread that runs `serve` with this; `job` is what it is at, `device` what it has loaded.

    A service that reads (`reads`) may always be slow: it fetches checkpoints.
    """

    def __init__(self, name: str, serve: Callable[[Service], None], *, reads: bool = False) -> None:
        self.job: Job | None = None
        self.device = Device()
        self._reads = reads
        self._since: tuple[float, float | None] = (0.0, None)  # the last beat that was seen, and the work until then
        self.thread = threading.Thread(target=serve, args=(self,), name=name, daemon=True)

    def start(self) -> None:
        """Begin to serve, once whoever asks knows this as the one that does."""
        self.thread.start()

    @property
    def is_dead(self) -> bool:
        """Whether its thread has ended."""
        return self.thread.ident is not None and not self.thread.is_alive()

    def frozen_for(self, limit: float) -> float | None:
        """Seconds since the last sign of life, where these are too many; None while it lives, or has no job."""
        job, now = self.job, time.monotonic()
        if job is None or self.is_dead:
            return None
        beaten, worked = job.beaten, _seconds_of(self.thread.native_id)
        if self._since[0] != beaten:
            self._since = beaten, worked
        silent = now - beaten
        before = self._since[1]
        working = worked is None or before is None or worked - before > BUSY * silent
        slow = working or self._reads or job.view().state == "loading"
        return silent if silent > limit * (SLOW if slow else 1.0) else None


def limit() -> float:
    """Seconds without a sign of life, by the setting.

    Raises:
        IvxError: it is no number of seconds.
    """
    text = os.environ.get(SETTING, "").strip()
    with suppress(ValueError):
        seconds = float(text) if text else FROZEN_SECONDS
        if 1.0 <= seconds < float("inf"):
            return seconds
    raise IvxError(f"{SETTING} is {text!r}: give a number of seconds, at least 1, such as {FROZEN_SECONDS:g}")


def _seconds_of(thread: int | None) -> float | None:
    """Processor time of a thread of this process; None where the system does not tell."""
    try:
        told = Path(f"/proc/self/task/{thread}/stat").read_text().rpartition(")")[2].split()
        return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return None
