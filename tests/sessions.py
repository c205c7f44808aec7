"""Many sessions at once: `python tests/sessions.py [--sessions 30] [--requests 10]`.

Real clients speak Streamlit's own protocol over WebSockets to a fresh app, each with its own view, all at the same
time. Every request must be computed once, every session must be served its own and nobody else's.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import psutil
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from ivx.runs.store import Store  # noqa: E402
from tests.browser import serving  # noqa: E402

VIEWS = [
    {"checkpoint": checkpoint, "task": task, "source": source}
    for task in ("animal/colour", "animal/can-fly", "adjective/antonym")
    for source in ("t_inst", "keyword")
    for checkpoint in ("tiny-sft", "tiny-base")
]
RUN = re.compile(r"run <code>([0-9a-f]{12})</code>")


@dataclass
class Served:
    """What one session saw: the run in its trust strip once its maps were complete, and the seconds until then."""

    view: dict[str, str]
    run: str = ""
    seconds: float = 0.0
    questions: set[str] = field(default_factory=set)


async def session(url: str, view: dict[str, str], *, patience: float) -> Served:
    """Open the Effects page with a view, follow its ticks, and wait until it offers the export."""
    seen, began = Served(view), time.monotonic()
    async with websockets.connect(
        url.replace("http", "ws") + "/_stcore/stream", origin=url, subprotocols=["streamlit"], max_size=None
    ) as socket:
        query, page = urlencode(view), ""
        ticks: dict[str, asyncio.Task] = {}
        idle = asyncio.Event()

        async def ask(fragment: str = "") -> None:
            message = BackMsg()
            message.rerun_script.query_string = query
            message.rerun_script.page_script_hash = page
            message.rerun_script.page_name = "" if page else "effects"
            if fragment:
                message.rerun_script.fragment_id, message.rerun_script.is_auto_rerun = fragment, True
            await socket.send(message.SerializeToString())

        async def tick(fragment: str, interval: float) -> None:
            while True:
                await asyncio.sleep(interval)
                if idle.is_set():
                    await ask(fragment)

        await ask()
        try:
            while time.monotonic() - began < patience:
                message = ForwardMsg()
                message.ParseFromString(await asyncio.wait_for(socket.recv(), patience))
                kind = message.WhichOneof("type")
                if kind == "auto_rerun" and message.auto_rerun.fragment_id not in ticks:
                    told = message.auto_rerun
                    ticks[told.fragment_id] = asyncio.create_task(tick(told.fragment_id, told.interval))
                elif kind == "stop_auto_rerun":
                    for running in ticks.values():
                        running.cancel()
                    ticks.clear()
                elif kind == "new_session":
                    page = message.new_session.page_script_hash
                    idle.clear()
                elif kind == "script_finished":
                    idle.set()
                elif kind == "page_info_changed":
                    query = message.page_info_changed.query_string
                elif kind == "delta":
                    text = str(message.delta)
                    shown = RUN.search(text)
                    seen.run = shown[1] if shown else seen.run
                    if seen.run and 'label: "Export"' in text:
                        break
        finally:
            for running in ticks.values():
                running.cancel()
    seen.seconds = time.monotonic() - began
    seen.questions = {f"{name}={parse_qs(query)[name][0]}" for name in view}
    return seen


async def watched(pid: int, peak: list[float]) -> None:
    """Keep the largest resident memory of the server, in GB."""
    while True:
        peak[0] = max(peak[0], psutil.Process(pid).memory_info().rss / 1e9)
        await asyncio.sleep(0.2)


async def crowd(url: str, views: list[dict[str, str]], pid: int, *, patience: float) -> tuple[list[Served], float]:
    """All sessions at once; what each saw, and the server's peak memory in GB."""
    peak = [0.0]
    watch = asyncio.create_task(watched(pid, peak))
    found = await asyncio.gather(*(session(url, view, patience=patience) for view in views))
    watch.cancel()
    return found, peak[0]


def examine(found: list[Served], store: Store) -> Counter[str]:
    """Each session has its own view's run; each run was computed once, and whole."""
    for served in found:
        assert served.run, f"{served.view} was not served"
        assert served.questions == {f"{name}={value}" for name, value in served.view.items()}, "another session's view"
        run = store.find(served.run)
        assert run is not None and run.receipt is not None
        asked = run.asked["request"]
        told = {"checkpoint": asked["checkpoint"], "task": asked["task"], "source": asked["source_token"]}
        assert told == served.view, f"{served.view} was shown the run of {told}"
    runs = {served.run for served in found}
    assert len(runs) == len({tuple(served.view.items()) for served in found})
    entries = {entry.run: entry for entry in store.entries()}
    assert set(entries) == runs
    for entry in entries.values():
        # Rows of shards count doubled ones, too: a run that was computed twice has more than its receipt says.
        assert entry.rows == store.find(entry.run).receipt["rows"], "a run was computed twice"  # type: ignore[union-attr, index]
    return Counter(served.run for served in found)


def main() -> None:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=30)
    parser.add_argument("--requests", type=int, default=10)
    given = parser.parse_args()
    print(measured(given.sessions, given.requests, patience=300.0))


def measured(sessions: int, requests: int, *, patience: float) -> str:
    """The figures of one crowd, as a line; raises `AssertionError` where anybody was served wrongly."""
    views = [VIEWS[i % requests] for i in range(sessions)]
    with tempfile.TemporaryDirectory() as folder, serving(IVX_CACHE=folder) as url:
        port = int(url.rpartition(":")[2])
        server = next(
            c.pid for c in psutil.Process(os.getpid()).children(recursive=True) if str(port) in " ".join(c.cmdline())
        )
        found, peak = asyncio.run(crowd(url, views, server, patience=patience))
        counts = examine(found, Store(Path(folder)))
    slowest = max(served.seconds for served in found)
    return (
        f"{sessions} sessions, {len(counts)} distinct requests, each computed once; slowest answer {slowest:.1f} s, "
        f"first {min(served.seconds for served in found):.1f} s, peak memory of the server {peak:.2f} GB"
    )


if __name__ == "__main__":
    main()
