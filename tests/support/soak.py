"""Many sessions for a while: `python tests/support/soak.py [--sessions 50] [--minutes 10] [--seed 0]`.

Each visitor goes from page to page by Streamlit's own protocol, asks with words of their own, uploads a task, stops
what is under way, or vanishes in the middle of a page and comes back as somebody else; all of it drawn from a seed. How
long each page took is measured, and the server's memory, descriptors and threads before and after. Nobody may be sent
a word that is another's.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

import psutil
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from ivx.ui.frame import MENUS
from tests.support.browser import serving

PAGES = [name for held in MENUS.values() for name in held]
TASKS = ("noun/plural", "animal/can-fly", "adjective/antonym", "animal/colour")
THINK_SECONDS = (0.5, 6.0)
PATIENCE = 120.0
SETTLE_SECONDS = 150.0
"""Streamlit keeps a session that went for two minutes, should it come back."""
MARK = re.compile(rb"zq[a-p]{12}")
UPLOADER = "CSV, JSON, JSON lines or Parquet"


def mark(draw: random.Random) -> str:
    """A word that nobody else has, which no text of the app holds."""
    return "zq" + "".join(draw.choice("abcdefghijklmnop") for _ in range(12))


def connected(url: str) -> connect:
    """A session of Streamlit's, as the page of this server opens it."""
    return connect(
        url.replace("http", "ws") + "/_stcore/stream",
        origin=Origin(url),
        subprotocols=[Subprotocol("streamlit")],
        max_size=None,
        open_timeout=None,
    )


@dataclass
class Seen:
    """What all visitors saw: seconds until a page was drawn, by page; marks of others; pages that broke."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    leaks: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    visits: int = 0
    uploads: int = 0
    stops: int = 0

    def took(self, page: str, seconds: float) -> None:
        self.seconds.setdefault(page, []).append(seconds)

    def every(self) -> list[float]:
        return sorted(one for many in self.seconds.values() for one in many)


class Visitor:
    """One visitor's session: what they ask has their mark in it."""

    def __init__(self, url: str, seen: Seen, draw: random.Random) -> None:
        self.url, self.seen, self.draw, self.mark = url, seen, draw, mark(draw)
        self._session, self._hash, self._page = "", "", ""
        self._stop = self._upload = ""
        self._states: dict[str, WidgetState] = {}

    async def stay(self, until: float) -> None:
        """Look at pages until it is time, or this visitor vanishes."""
        try:
            async with connected(self.url) as socket:
                self.seen.visits += 1
                while time.monotonic() < until:
                    await self._look(socket)
                    if self.draw.random() < 0.15:  # gone in the middle of a page
                        await self._ask(socket, self.draw.choice(PAGES), self._query())
                        await asyncio.sleep(self.draw.uniform(0.0, 0.5))
                        socket.transport.abort()
                        return
        except ConnectionClosed:
            return

    async def _look(self, socket: ClientConnection) -> None:
        page = self.draw.choice(PAGES)
        await self._drawn(socket, page, self._query())
        await self._think(socket)
        if page == "tasks" and self._upload and self.draw.random() < 0.5:
            await self._bring(socket)
        if self._stop and self.draw.random() < 0.5:
            self.seen.stops += 1
            await self._drawn(socket, "", "", WidgetState(id=self._stop, trigger_value=True))

    def _query(self) -> str:
        told = {
            "checkpoint": self.draw.choice(["tiny-sft", "tiny-base", "tiny-dpo"]),
            "task": self.draw.choice(TASKS),
            "source": self.draw.choice(["t_inst", "keyword"]),
            "n": "",
        }
        if self.draw.random() < 0.4:
            told |= {"template": "{instruction} " + self.mark + " {field}: {query}. Answer:", "asked": "plain"}
        if self.draw.random() < 0.4:
            told |= {"source_prompt": f"{self.mark} crow", "target_prompt": f"pig {self.mark}"}
        return urlencode({key: value for key, value in told.items() if value})

    async def _drawn(self, socket: ClientConnection, page: str, query: str, *states: WidgetState) -> None:
        """Ask for a page, and read on until it was drawn."""
        began = time.monotonic()
        await self._ask(socket, page, query, *states)
        try:
            async with asyncio.timeout(PATIENCE):
                while not self._heard(await socket.recv()):
                    pass
        except TimeoutError:
            self.seen.broken.append(f"{page or 'a click'}?{query}: not drawn within {PATIENCE:.0f} s")
        self.seen.took(page or "a click", time.monotonic() - began)

    async def _think(self, socket: ClientConnection) -> None:
        try:
            async with asyncio.timeout(self.draw.uniform(*THINK_SECONDS)):
                while True:
                    self._heard(await socket.recv())
        except TimeoutError:
            return

    def _heard(self, told: bytes | str) -> bool:
        """Note what a message says; whether it ends the drawing of a page."""
        assert isinstance(told, bytes)
        for found in set(MARK.findall(told)) - {self.mark.encode()}:
            self.seen.leaks.append(f"{found.decode()} was sent to {self.mark} on {self._page}")
        message = ForwardMsg.FromString(told)
        match message.WhichOneof("type"):
            case "new_session":
                self._session = message.new_session.initialize.session_id
                self._stop = self._upload = ""
            case "navigation":
                self._hash = message.navigation.page_script_hash
            case "delta":
                element = message.delta.new_element
                kind = element.WhichOneof("type")
                if kind == "button" and element.button.label.startswith("Stop"):
                    self._stop = element.button.id
                elif kind == "file_uploader" and element.file_uploader.label == UPLOADER:
                    self._upload = element.file_uploader.id
                elif kind == "exception":
                    self.seen.broken.append(f"{self._page}: {element.exception.type} {element.exception.message}"[:300])
            case "script_finished":
                return True
        return False

    async def _ask(self, socket: ClientConnection, page: str, query: str, *states: WidgetState) -> None:
        message = BackMsg()
        asked = message.rerun_script
        asked.query_string = query
        if page:
            self._page, asked.page_name = page, page
            self._states = {}
        else:
            asked.page_script_hash = self._hash
        self._states |= {state.id: state for state in states if not state.trigger_value}
        asked.widget_states.widgets.extend([*self._states.values(), *(s for s in states if s.trigger_value)])
        await socket.send(message.SerializeToString())

    async def _bring(self, socket: ClientConnection) -> None:
        """Upload a task of one's own, as the browser does, and have the page take it."""
        content = "query,answer,contrast,instruction\ncrow,black,yes," + self.mark + " colour\npig,pink,no,\n"
        name, number = f"{self.mark}.csv", f"00000000-0000-0000-0000-{self.draw.getrandbits(48):012x}"
        path = f"/_stcore/upload_file/{self._session}/{number}"
        await asyncio.to_thread(_put, self.url, path, name, content.encode())
        state = WidgetState(id=self._upload)
        given = state.file_uploader_state_value.uploaded_file_info.add()
        given.file_id, given.name, given.size = number, name, len(content)
        given.file_urls.file_id, given.file_urls.upload_url, given.file_urls.delete_url = number, path, path
        self.seen.uploads += 1
        await self._drawn(socket, "", "", state)


def _put(url: str, path: str, name: str, content: bytes) -> None:
    """One file, with the token against forged requests that the server hands out."""
    with urllib.request.urlopen(f"{url}/_stcore/health", timeout=30) as answer:
        told = SimpleCookie(answer.headers.get("Set-Cookie", ""))
    token = next(iter(told.values())).value if told else ""
    edge = "ivx-edge"
    body = (
        f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        f"Content-Type: text/csv\r\n\r\n".encode()
        + content
        + f"\r\n--{edge}--\r\n".encode()
    )
    headers = {
        "Content-Type": f"multipart/form-data; boundary={edge}",
        "X-Xsrftoken": token,
        "Cookie": f"_streamlit_xsrf={token}",
    }
    asked = urllib.request.Request(f"{url}{path}", data=body, headers=headers, method="PUT")
    urllib.request.urlopen(asked, timeout=60).close()


@dataclass(frozen=True)
class Held:
    """What the server's process holds: resident memory in MB, descriptors, threads."""

    memory: float
    descriptors: int
    threads: int

    @classmethod
    def by(cls, server: psutil.Process) -> Held:
        with server.oneshot():
            return cls(server.memory_info().rss / 1e6, server.num_fds(), server.num_threads())

    def __str__(self) -> str:
        return f"{self.memory:,.0f} MB, {self.descriptors} descriptors, {self.threads} threads"


async def crowd(url: str, seen: Seen, *, sessions: int, seconds: float, seed: int) -> None:
    """So many visitors at every moment: who vanishes is followed by another."""
    until = time.monotonic() + seconds

    async def seat(number: int) -> None:
        for draw in _draws(f"{seed}-{number}"):
            if time.monotonic() >= until:
                return
            await Visitor(url, seen, draw).stay(until)

    await asyncio.gather(*(seat(number) for number in range(sessions)))


def _draws(seed: str) -> Iterator[random.Random]:
    """A source of chance for each visitor of a seat."""
    number = 0
    while True:
        yield random.Random(f"{seed}-{number}")
        number += 1


async def every_page(url: str, seen: Seen) -> None:
    """One visitor who opens every page once, so that what is read once is read."""
    visitor = Visitor(url, seen, random.Random("before"))
    async with connected(url) as socket:
        for page in PAGES:
            await visitor._drawn(socket, page, "checkpoint=tiny-sft&task=noun/plural")
            await visitor._think(socket)


@dataclass(frozen=True)
class Soaked:
    """What a soak found."""

    seen: Seen
    before: Held
    after: Held

    def __str__(self) -> str:
        seconds = self.seen.every()
        return (
            f"{self.seen.visits} visits, {len(seconds)} pages ({self.seen.uploads} uploads, {self.seen.stops} stops): "
            f"half within {seconds[len(seconds) // 2]:.2f} s, 99 of 100 within "
            f"{seconds[int(len(seconds) * 0.99)]:.2f} s, the slowest {seconds[-1]:.2f} s; "
            f"before {self.before}; after {self.after}; {len(self.seen.leaks)} words of others, "
            f"{len(self.seen.broken)} broken pages"
        )


def soaked(
    sessions: int, seconds: float, *, seed: int = 0, settle: float = SETTLE_SECONDS, **environment: str
) -> Soaked:
    """Soak a fresh server.

    Args:
        seconds: how long the visitors stay.
        settle: seconds until what they left is measured.
        environment: of the server.
    """
    with tempfile.TemporaryDirectory() as folder:
        # With roots it is a shared server, on which one's words are one's own.
        told = {"IVX_CACHE": folder, "IVX_ROOTS": folder, **environment}
        with serving(**told) as url:  # type: ignore[arg-type]
            return _soaked(url, sessions, seconds, seed=seed, settle=settle)


def _soaked(url: str, sessions: int, seconds: float, *, seed: int, settle: float) -> Soaked:
    seen = Seen()
    port = url.rpartition(":")[2]
    server = next(one for one in psutil.Process().children(recursive=True) if port in one.cmdline())
    asyncio.run(every_page(url, Seen()))
    asyncio.run(crowd(url, Seen(), sessions=2, seconds=min(20.0, seconds), seed=-1))
    time.sleep(5)
    before = Held.by(server)
    asyncio.run(crowd(url, seen, sessions=sessions, seconds=seconds, seed=seed))
    time.sleep(settle)
    return Soaked(seen, before, Held.by(server))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    found = soaked(given.sessions, 60 * given.minutes, seed=given.seed)
    print(found)
    for page, times in sorted(found.seen.seconds.items()):
        print(f"  {page:16} {len(times):6} pages, slowest {max(times):.2f} s")
    for line in [*dict.fromkeys(found.seen.leaks), *dict.fromkeys(found.seen.broken)][:40]:
        print(f"  {line}")
