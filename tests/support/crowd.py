"""Many sessions at once: `python tests/support/crowd.py [--sessions 30] [--requests 10]`.

Real clients speak Streamlit's own protocol over WebSockets to a fresh app, as its page in a browser does: each opens
the Effects page with its own view, all at the same time, and looks again as often as the app tells it to. Every request
must be computed once, and every session be served its own and nobody else's.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import psutil
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from ivx.jobs.shipped import is_shipped
from ivx.store.store import Store
from tests.support.browser import serving

VIEWS = [
    {"checkpoint": checkpoint, "task": task, "source": source}
    for task in ("noun/plural", "animal/can-fly", "adjective/antonym")
    for source in ("t_inst", "keyword")
    for checkpoint in ("tiny-sft", "tiny-base")
]
RUN = re.compile(r"run <code>([0-9a-f]{12})</code>")


@dataclass
class Client:
    """One session on the Effects page, and what it saw: the run in its trust strip, and the seconds until then."""

    view: dict[str, str]
    run: str = ""
    seconds: float = 0.0
    reruns: int = 0
    served: bool = False
    query: str = ""
    _page: str = ""
    _busy: bool = False
    _timers: dict[str, asyncio.Task] = field(default_factory=dict)

    async def visit(self, url: str, *, patience: float) -> Client:
        """Open the page, and stay until the maps are complete; raises `TimeoutError`."""
        began, self.query = time.monotonic(), urlencode(self.view)
        stream = url.replace("http", "ws") + "/_stcore/stream"
        async with connect(stream, origin=url, subprotocols=["streamlit"], max_size=None, open_timeout=None) as socket:  # type: ignore[arg-type, list-item]
            await self._ask(socket)
            try:
                async with asyncio.timeout(patience):
                    while not self.served:
                        message = ForwardMsg.FromString(await socket.recv())
                        self._heard(message, socket)
            finally:
                self._quiet(*self._timers)
        self.seconds = time.monotonic() - began
        return self

    def _heard(self, message: ForwardMsg, socket: ClientConnection) -> None:
        match message.WhichOneof("type"):
            case "new_session":
                self._busy = True
                if not message.metadata.run.fragment_ids:  # the whole page is drawn anew, with its timers
                    self._quiet(*self._timers)
            case "navigation":
                self._page = message.navigation.page_script_hash
            case "page_info_changed":
                self.query = message.page_info_changed.query_string
            case "auto_rerun":
                told = message.auto_rerun
                self._quiet(told.fragment_id)
                self._timers[told.fragment_id] = asyncio.create_task(
                    self._tick(socket, told.fragment_id, told.interval)
                )
            case "stop_auto_rerun":
                self._quiet(*message.stop_auto_rerun.fragment_ids)
            case "script_finished":
                self._busy = False
            case "delta":
                text = str(message.delta)
                shown = RUN.search(text)
                self.run = shown[1] if shown else self.run
                self.served = bool(self.run) and 'label: "Export"' in text

    async def _tick(self, socket: ClientConnection, fragment: str, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            if not self._busy:
                await self._ask(socket, fragment)

    def _quiet(self, *fragments: str) -> None:
        for fragment in fragments:
            if (timer := self._timers.pop(fragment, None)) is not None:
                timer.cancel()

    async def _ask(self, socket: ClientConnection, fragment: str = "") -> None:
        message = BackMsg()
        asked = message.rerun_script
        asked.query_string, asked.page_script_hash = self.query, self._page
        asked.page_name = "" if self._page else "effects"
        asked.fragment_id, asked.is_auto_rerun = fragment, bool(fragment)
        self.reruns += 1
        await socket.send(message.SerializeToString())


async def watched(pid: int, peak: list[float]) -> None:
    """Keep the largest resident memory of the server, in GB."""
    while True:
        peak[0] = max(peak[0], psutil.Process(pid).memory_info().rss / 1e9)
        await asyncio.sleep(0.2)


async def crowd(url: str, views: list[dict[str, str]], pid: int, *, patience: float) -> tuple[list[Client], float]:
    """All sessions at once; what each saw, and the server's peak memory in GB."""
    peak = [0.0]
    watch = asyncio.create_task(watched(pid, peak))
    found = await asyncio.gather(*(Client(view).visit(url, patience=patience) for view in views))
    watch.cancel()
    return found, peak[0]


def examine(found: list[Client], store: Store) -> int:
    """Each session has its own view's run, and each run was computed once, and whole; how many runs there are."""
    for client in found:
        run = store.find(client.run)
        assert run is not None and run.receipt is not None
        asked = run.asked["request"]
        told = {"checkpoint": asked["checkpoint"], "task": asked["task"], "source": asked["source_token"]}
        assert told == client.view, f"{client.view} was shown the run of {told}"
        shown = {name: parse_qs(client.query).get(name, [""])[0] for name in client.view}
        assert shown == client.view, f"{client.view} has another view in its address bar: {shown}"
    entries = {entry.run: entry for entry in store.entries() if not is_shipped(entry.run)}
    assert set(entries) == {client.run for client in found}
    assert len(entries) == len({tuple(client.view.items()) for client in found})
    for entry in entries.values():
        run = store.find(entry.run)
        # Rows of shards count doubled ones, too: a run that was computed twice has more than its receipt says.
        assert run is not None and run.receipt is not None
        assert entry.rows == run.receipt["rows"], f"run {entry.run} was computed twice"
    return len(entries)


def measured(sessions: int, requests: int, *, patience: float = 300.0) -> str:
    """The figures of one crowd, as a line; raises `AssertionError` where anybody was served wrongly."""
    views = [VIEWS[i % requests] for i in range(sessions)]
    with tempfile.TemporaryDirectory() as folder, serving(IVX_CACHE=folder) as url:
        port = url.rpartition(":")[2]
        children = psutil.Process().children(recursive=True)
        server = next(child.pid for child in children if port in child.cmdline())
        found, peak = asyncio.run(crowd(url, views, server, patience=patience))
        runs = examine(found, Store(Path(folder)))
    seconds = sorted(client.seconds for client in found)
    return (
        f"{sessions} sessions, {runs} distinct requests, each computed once; answers after {seconds[0]:.1f} to "
        f"{seconds[-1]:.1f} s, half of them within {seconds[len(seconds) // 2]:.1f} s; "
        f"{sum(client.reruns for client in found)} runs of the page; peak memory of the server {peak:.2f} GB"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=30)
    parser.add_argument("--requests", type=int, default=10)
    given = parser.parse_args()
    print(measured(given.sessions, given.requests))
