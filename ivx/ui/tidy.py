"""Tidying up behind sessions that have gone, while the server runs.

Streamlit keeps a session that lost its connection for two minutes, and lets it go at the next one's end: on a server
that nobody visits any more, never. Here it goes in time, and its uploads with it; and memory that was freed goes back
to the system, which by itself neither Python's garbage, nor Arrow's pool, nor glibc's arenas do soon.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pyarrow as pa
from streamlit import runtime
from streamlit.starlette import App

from ivx.jobs.device import trim

EVERY_SECONDS = 20.0
M_ARENA_MAX, ARENAS = -8, 2
"""glibc's number of its option, and how many heaps threads share: each thread that draws a page would have its own, and
keep what it freed."""


def few_arenas() -> None:
    """Let all threads share few heaps; to be called before they are begun. Nothing where there is no glibc."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(M_ARENA_MAX, ARENAS)


def sessions() -> int:
    """How many sessions have their page open."""
    if not runtime.exists():
        return 0
    return len(runtime.get_instance()._session_mgr.list_active_sessions())


def ended() -> int:
    """Let sessions go whose time has passed; returns how many are kept. Only for the thread of the event loop."""
    kept = runtime.get_instance()._session_mgr._session_storage._cache  # type: ignore[attr-defined]
    return len(kept)  # whoever asks for its length has it drop what is over


def give_back() -> None:
    """Give freed memory back to the system, Arrow's, too."""
    pa.default_memory_pool().release_unused()
    trim()


@asynccontextmanager
async def lifespan(_app: App) -> AsyncIterator[None]:
    """Tidy up as long as the app runs."""
    task = asyncio.create_task(_tidying())
    try:
        yield
    finally:
        task.cancel()


async def _tidying() -> None:
    before = 0
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        now = ended() + sessions()
        # A collection stops all threads for a quarter of a second: only where something may have gone.
        if now < before:
            await asyncio.to_thread(give_back)
        before = now
