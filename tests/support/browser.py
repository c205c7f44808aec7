"""A fresh app on a free port, and a real Chromium to look at it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from playwright.sync_api import Browser, Page, Request, expect
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from ivx.ui.frame import MENUS

ROOT = Path(__file__).parents[2]
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str:
    """Path of Chromium; a clear failure, not a skip, where there is none."""
    path = os.environ.get("IVX_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.fail("the browser tests need Chromium: `apt-get install chromium`, or set IVX_CHROMIUM to its path")
    return path


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(port: int | None = None, *, folder: Path = ROOT, **environment: str) -> Iterator[str]:
    """A fresh server, started in a folder, on a free port unless one is named; yields its address."""
    port = port or free_port()
    command = [sys.executable, "-m", "ivx", "app", "--port", str(port)]
    server = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{url}/_stcore/health", timeout=2).close()
                break
            except OSError:
                time.sleep(0.1)
        else:
            pytest.fail("the app did not start within 30 s")
        yield url
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:  # a busy machine: what it was asked is answered already
            server.kill()
            server.wait()


CARD, CELL = ".ivx-card", "path[aria-roledescription='rect mark'], path[aria-label*='layer: ']"


PATIENCE = 60_000


_ASKED: WeakKeyDictionary[Page, list[str]] = WeakKeyDictionary()


def watched(page: Page) -> Page:
    """The page, whose requests to other hosts are noted from now on."""
    asked: list[str] = []
    _ASKED[page] = asked

    def note(request: Request) -> None:
        if "127.0.0.1" not in request.url.split("/")[2]:
            asked.append(request.url)

    page.on("request", note)
    return page


def outside(page: Page) -> list[str]:
    """What a watched page has asked of other hosts."""
    return _ASKED[page]


_OPENED: WeakKeyDictionary[Page, list[str]] = WeakKeyDictionary()
"""The pages that were opened, and what went wrong in each: errors of its code, requests that failed."""


def opened(browser: Browser, url: str, **options: Any) -> Page:
    """A page that notes what it asks of the outside."""
    page = watched(browser.new_page(viewport={"width": 1440, "height": 900}, **options))
    wrong = _OPENED[page] = []
    page.on("pageerror", lambda error: wrong.append(f"{error}\n{error.stack or ''}"))
    page.on("requestfailed", lambda request: wrong.append(f"{request.url}: {request.failure}"))
    page.on("console", lambda told: wrong.append(told.text) if told.type == "error" else None)
    page.goto(url)
    return page


def shown() -> str:
    """What each page that is still open shows: told with a test that failed, whose words alone say nothing of it."""
    told = []
    for page, wrong in list(_OPENED.items()):
        if not page.is_closed():
            told += wrong
            try:
                state = page.locator(".stApp").get_attribute("data-test-script-state", timeout=2_000)
                told.append(f"{page.url} ({state})\n{page.inner_text('body', timeout=2_000)}")
            except PlaywrightError as hung:
                told.append(f"{page.url} says nothing: {hung}")
    return "\n\n".join(told)


def pick(page: Page, label: str, option: str) -> None:
    """Choose from a select box; one that was drawn anew while it stood open is opened again."""
    until = time.monotonic() + PATIENCE / 1000
    while True:
        page.get_by_role("combobox", name=label).click()
        try:
            page.get_by_role("option", name=option).click(timeout=3_000)
            return
        except PlaywrightTimeout:
            if time.monotonic() > until:
                raise
            page.keyboard.press("Escape")


def go(page: Page, name: str) -> None:
    """Open a page, by its title, from the bar or from the menu that holds it."""
    bar = page.get_by_test_id("stTopNav")
    menu = next(menu for menu, held in MENUS.items() if name in held.values())
    if menu:
        bar.get_by_role("button", name=menu, exact=True).click()
        page.get_by_role("menuitem", name=name, exact=True).click()
    else:
        bar.get_by_role("link", name=name, exact=True).click()


def finished(page: Page) -> None:
    """The maps are complete: the trust strip names all rows and the stop button is gone."""
    expect(page.get_by_text("Export")).to_be_visible(timeout=PATIENCE)
    expect(page.locator(CARD).first).to_be_visible(timeout=PATIENCE)
