"""Failures: what a job that ended without a result says of why, in one sentence.

A library may raise anything: a Rust panic and an exit are no `Exception`, and an error may have no text that can be
read. Nothing here raises.
"""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Iterator

from ivx.errors import Cancelled, IvxError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LONGEST = 300
"""Characters of a library's own words."""


def state_of(error: BaseException) -> str:
    """How a job ends that this was raised in: stopped, refused (a user's mistake) or failed."""
    return "stopped" if isinstance(error, Cancelled) else "refused" if isinstance(error, IvxError) else "failed"


def sentence_of(error: BaseException) -> str:
    """What is said of it."""
    if isinstance(error, Cancelled | IvxError):
        return _words(error)
    if is_memory(error):
        return (
            "memory ran out while this was computed: ask for fewer samples, have the weights streamed "
            f"(weights='stream'), or free memory ({_words(error)})"
        )
    if isinstance(error, RecursionError):
        return (
            f"something was nested deeper than Python goes: a file of the checkpoint or of the task ({_words(error)})"
        )
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return f"the disk has no room for what was computed: free some, then go on ({_words(error)})"
    if not isinstance(error, Exception):
        return (
            f"a library ended this work by {type(error).__name__}, which no other work has to suffer: {_words(error)}"
        )
    return _words(error)


def trace_of(error: BaseException) -> str:
    """The traceback of a failure; of what is no failure, nothing."""
    if state_of(error) != "failed":
        return ""
    try:
        return "".join(traceback.format_exception(error))
    except BaseException:  # an error without words, or no memory for them
        return ""


def stack_of(thread: int | None) -> str:
    """Where a thread is now."""
    frame = sys._current_frames().get(thread or 0)
    return "" if frame is None else "".join(traceback.format_stack(frame))


def is_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the host or on a device, perhaps behind another error that tells of it."""
    return any(_ran_out(one) for one in _behind(error))


def _ran_out(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ in ("OutOfMemoryError", "ArrowMemoryError"):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in _words(error)


def _behind(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it was raised from."""
    seen: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in seen:
        seen.append(one)
        yield one
        one = one.__cause__


def _words(error: BaseException) -> str:
    try:
        first = next(iter(str(error).strip().splitlines()), "")
    except BaseException:  # its own words fail
        first = ""
    return first[:LONGEST] or type(error).__name__
