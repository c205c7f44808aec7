"""Nothing jumps: the layout shift of every page as it opens, measured by the browser as Web Vitals define it."""

from __future__ import annotations

import re
import urllib.request

import pytest
from playwright.sync_api import Browser, expect

from ivx.ui.dressed import CODE
from tests.support.browser import PATIENCE, watched

pytestmark = pytest.mark.browser

BOUND = 0.05
"""Half of what Web Vitals call good."""
QUIET = 1500
"""ms without which a page may still be drawing."""
WATCH = """window.shifts = [];
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) window.shifts.push([one.startTime, one.value]);
}).observe({type: "layout-shift", buffered: true});"""
FAST = ("overview", "effects", "lessons")
SLOW = (
    "overview?checkpoint=tiny-sft", "behaviour", "place", "separability", "interactions", "pathways", "training",
    "lens", "bench", "checkpoints", "tasks", "runs",
)  # fmt: skip


@pytest.mark.parametrize("path", [*FAST, *(pytest.param(path, marks=pytest.mark.slow) for path in SLOW)])
def test_a_page_opens_without_a_jump(browser: Browser, app: str, path: str) -> None:
    page = watched(browser.new_page(viewport={"width": 1440, "height": 900}))
    page.add_init_script(WATCH)
    page.goto(f"{app}/{path}")
    expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=PATIENCE)
    expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_visible(timeout=PATIENCE)
    page.wait_for_timeout(QUIET)
    found = score(page.evaluate("window.shifts"))
    print(f"{path}: layout shift {found:.3f}")
    assert found <= BOUND
    page.close()


def test_the_first_page_is_dressed_and_nothing_else_is(app: str) -> None:
    asked = urllib.request.Request(f"{app}/effects", headers={"Accept": "text/html", "Accept-Encoding": "gzip"})
    with urllib.request.urlopen(asked) as told:
        said = told.read()
        assert int(told.headers["Content-Length"]) == len(said) and "Content-Encoding" not in told.headers
    assert said.count(b"</head>") == 1 and b".ivx-q {" in said.split(b"</head>")[0]
    early = re.findall(rb'modulepreload" crossorigin href="\./(static/js/(?:Html|ArrowVegaLiteChart)\.[^"]+)"', said)
    assert len(early) == 2
    for path in early:
        with urllib.request.urlopen(f"{app}/{path.decode()}") as told:
            assert told.read() == (CODE / path.decode().rsplit("/", 1)[1]).read_bytes()


def test_a_page_that_fell_comes_back_by_itself_and_not_for_ever(browser: Browser, app: str) -> None:
    page = watched(browser.new_page(viewport={"width": 1440, "height": 900}))
    loads: list[str] = []
    page.on("load", lambda loaded: loads.append(loaded.url))
    page.goto(f"{app}/glossary")
    for fallen in (1, 2):
        expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=PATIENCE)
        page.evaluate("document.getElementById('root').replaceChildren()")
        if fallen == 1:
            page.wait_for_event("load", timeout=PATIENCE)
    page.wait_for_timeout(3_000)
    assert len(loads) == 2 and page.locator(".stApp").count() == 0
    page.close()


def score(shifts: list[list[float]]) -> float:
    """The worst window of shifts, `[ms, value]`: no gap of a second in it, and five seconds at most."""
    worst = total = 0.0
    start = last = float("-inf")
    for time, value in shifts:
        if time - last > 1000 or time - start > 5000:
            total, start = 0.0, time
        total, last = total + value, time
        worst = max(worst, total)
    return worst


def test_the_score_is_that_of_web_vitals() -> None:
    assert score([]) == 0
    assert score([[0, 0.1], [900, 0.1], [3000, 0.15]]) == pytest.approx(0.2)
    assert score([[900 * k, 0.1] for k in range(8)]) == pytest.approx(0.6), "no window is longer than five seconds"
