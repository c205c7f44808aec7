"""What a confined process may take, held by the system."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from ivx.errors import Ended


@dataclass(frozen=True)
class Bounds:
    """What a process may take: bytes of memory beyond what it begins with, and seconds for one answer."""

    memory: int
    seconds: float

    def too_long(self) -> Ended:
        """That its time was over."""
        return Ended(f"took more than {self.seconds:.0f} s")

    def too_large(self) -> Ended:
        """That its memory did not suffice."""
        return Ended(f"took more than {self.memory / 1e9:.1f} GB of memory")


def confine(bounds: Bounds, *, writes: int | None = 0) -> None:
    """Bound this process, for good; `writes` is the size of the largest file that it may write, None for any."""
    limits = {resource.RLIMIT_CORE: 0}
    if sys.platform == "linux":  # what it writes to; a file that is mapped to be read may be as large as it likes
        limits[resource.RLIMIT_DATA] = psutil.Process().memory_info().data + bounds.memory
    else:
        limits[resource.RLIMIT_AS] = bounds.memory
    if writes is not None:
        limits[resource.RLIMIT_FSIZE] = writes
    for limit, bound in limits.items():
        with suppress(ValueError, OSError):  # a system may not know the limit, or hold a lower one already
            resource.setrlimit(limit, (bound, bound))
    with suppress(OSError):  # where the machine runs out of memory all the same, this process goes first
        Path("/proc/self/oom_score_adj").write_text("1000")


def allow_seconds(seconds: float) -> None:
    """Let this process compute for so long from now on, whatever it did before."""
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    with suppress(ValueError, OSError):
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + 1, most))
