"""Presenting: a lesson on a projector, by arrow keys alone, with nothing below the fold and nothing too small."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from ivx.ui import frame
from ivx.ui.kit import present
from ivx.ui.lessons.stories import STORIES, Story
from tests.support.browser import PATIENCE, opened
from tests.ui.test_address import named
from tests.ui.test_address import opened as opened_by_itself

SIZE: ViewportSize = {"width": 1280, "height": 720}
FOLD = """() => Math.max(document.documentElement.scrollHeight,
  document.querySelector("[data-testid=stMain]").scrollHeight)"""
SHORT = ("effects", "interactions", "behaviour", "lens", "bench", "checkpoints", "runs", "overview?checkpoint=tiny-sft")
LONG = ("separability", "place", "pathways", "glossary")
"""Pages of one picture, and of several; all but one are looked at in the slow tests."""
PICTURES = ".ivx-head, .ivx-glossary > div"
ROWS = """(pictures) => {
  const page = document.querySelector("[data-testid=stMain]");
  const tops = [...page.querySelectorAll(pictures)].filter((one) => one.checkVisibility())
    .map((one) => Math.floor(one.getBoundingClientRect().top + page.scrollTop));
  const rows = [...new Set(tops)].sort((a, b) => a - b);
  return rows.map((top, k) => [top, rows[k + 1] ?? page.scrollHeight]);
}"""
LETTERS = """() => {
  const walker = document.createTreeWalker(document.querySelector("[data-testid=stMain]"), NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const one = walker.currentNode.parentElement;
    const seen = one.checkVisibility({visibilityProperty: true}) && !one.matches("style, script");
    if (!walker.currentNode.data.trim() || !seen) continue;
    const size = parseFloat(getComputedStyle(one).fontSize), least = one.closest("svg") ? 16 : 18;
    const {width, height} = one.getBoundingClientRect();
    if (size < least && width > 1 && height > 1 && !one.closest("[data-testid=stIconMaterial]"))
      found.push([size, walker.currentNode.data.slice(0, 40)]);
  }
  return found;
}"""


def settled(page: Page) -> None:
    """Nothing runs, and no chart is still to come."""
    expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("[data-testid=stSkeleton]")).to_have_count(0, timeout=PATIENCE)
    expect(page.locator("[data-stale=true]")).to_have_count(0, timeout=PATIENCE)


def computed(page: Page) -> None:
    """What the page begins by itself has ended, and is drawn."""
    expect(page.locator(PICTURES).first).to_be_visible(timeout=PATIENCE)
    for _ in range(2):
        page.wait_for_timeout(1_000)
        expect(page.get_by_text("Stop, keep what is done")).to_have_count(0, timeout=PATIENCE)
        settled(page)


def seen(page: Page) -> None:
    """All of it is above the fold, and is read from afar."""
    settled(page)
    assert page.evaluate(FOLD) <= SIZE["height"], f"{page.url} reaches below the fold"
    assert page.evaluate(LETTERS) == []
    expect(page.get_by_test_id("stTopNav")).to_be_hidden()
    expect(page.locator(".ivx-trust")).to_be_hidden()
    expect(page.get_by_text("Export")).to_be_hidden()
    assert "present=1" in page.url


def test_every_text_of_the_style_sheet_grows_to_what_is_read_from_afar() -> None:
    sizes = [
        float(size) for size in re.findall(r"font-size: ([\d.]+)px", present.style(frame.STYLE.read_text("utf-8")))
    ]
    assert len(sizes) > 30 and min(sizes) >= present.LEAST and max(sizes) >= 40


def test_the_address_keeps_that_a_page_is_presented_until_it_is_left() -> None:
    app = opened_by_itself("lessons", lesson="twin", present="1")
    for _ in range(2):
        app.button("step-on").click().run()
        assert named(app, "present") == "1"
    assert named(app, "step") == "2"
    app.switch_page("ivx/ui/pages/glossary.py").run()
    assert named(app, "present") == "1"
    next(button for button in app.button if button.label == "Leave").click().run()
    assert "present" not in app.query_params
    next(button for button in app.button if button.label == "Present").click().run()
    assert named(app, "present") == "1"


@pytest.mark.browser
@pytest.mark.parametrize("path", ["training", *(pytest.param(path, marks=pytest.mark.slow) for path in LONG)])
def test_a_page_is_gone_through_by_arrow_keys_picture_by_picture(browser: Browser, app: str, path: str) -> None:
    page = opened(browser, f"{app}/{path}?present=1")
    page.set_viewport_size(SIZE)
    computed(page)
    where = "document.querySelector('[data-testid=stMain]').scrollTop"
    tops = [page.evaluate(where)]
    while True:
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(300)
        if page.evaluate(where) == tops[-1]:
            break
        tops.append(page.evaluate(where))
    assert tops[0] == 0 and len(tops) >= 2 and tops == sorted(set(tops))
    expect(page.locator(PICTURES).last).to_be_in_viewport()
    for begins, ends in page.evaluate(ROWS, PICTURES):
        assert any(top <= begins and ends <= top + SIZE["height"] for top in tops), "a picture is never seen whole"
    for top in reversed(tops[:-1]):
        page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(300)
        assert page.evaluate(where) == top
    page.close()


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("path", SHORT)
def test_a_page_of_one_picture_is_all_above_the_fold(browser: Browser, app: str, path: str) -> None:
    page = opened(browser, f"{app}/{path}{'&' if '?' in path else '?'}present=1")
    page.set_viewport_size(SIZE)
    computed(page)
    assert page.evaluate(FOLD) <= SIZE["height"]
    page.close()


@pytest.mark.browser
@pytest.mark.parametrize(
    "story",
    [pytest.param(one, id=one.key, marks=[pytest.mark.slow] * (one.key in ("twin", "together"))) for one in STORIES],
)
def test_a_lesson_is_gone_through_by_arrow_keys_above_the_fold(browser: Browser, app: str, story: Story) -> None:
    page = opened(browser, f"{app}/lessons?lesson={story.key}&present=1")
    page.set_viewport_size(SIZE)
    count = len(story.steps)
    for k in range(count):
        page.wait_for_url(re.compile(f"step={k + 1}"), timeout=PATIENCE)
        expect(page.get_by_role("button", name="Reveal")).to_be_enabled(timeout=PATIENCE)
        expect(page.get_by_role("heading", level=1)).to_have_text(story.steps[k].question, timeout=PATIENCE)
        seen(page)
        page.keyboard.press("ArrowRight")
        expect(page.get_by_test_id("ivx-card")).to_be_visible(timeout=PATIENCE)
        seen(page)
        if story.key == "where" and k < 2:  # the cell that it speaks of is patched as one looks
            expect(page.locator(".ivx-moved .edge")).to_have_count(2, timeout=PATIENCE)
            expect(page.locator(".ivx-moving .answer")).to_contain_text(re.compile("[→=]"), timeout=PATIENCE)
        page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile("step=score"), timeout=PATIENCE)
    expect(page.get_by_test_id("ivx-score")).to_be_visible(timeout=PATIENCE)
    seen(page)
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(re.compile(f"step={count}"), timeout=PATIENCE)
    page.keyboard.press("Escape")
    page.wait_for_url(lambda url: "present" not in url, timeout=PATIENCE)
    expect(page.get_by_test_id("stTopNav")).to_be_visible(timeout=PATIENCE)
    page.close()
