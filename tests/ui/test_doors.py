"""The way in: three doors on the Overview, menus that fit, and tabs that say what page they are."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from ivx.ui.frame import MENUS
from tests.support.browser import PATIENCE, go, opened

pytestmark = pytest.mark.browser
BAND = ".st-key-doors"


def through(page: Page, door: str, where: str, *, title: str, question: str) -> None:
    page.get_by_role("link", name=door).click()
    page.wait_for_url(re.compile(where), timeout=PATIENCE)
    expect(page).to_have_title(title, timeout=PATIENCE)
    expect(page.get_by_role("heading", name=question)).to_be_visible(timeout=PATIENCE)
    go(page, "Overview")
    expect(page).to_have_title("Overview · ivx", timeout=PATIENCE)


def test_each_door_leads_and_a_hidden_band_stays_hidden(browser: Browser, app: str) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(app)
    expect(page.locator(BAND)).to_contain_text(
        "ivx shows where a language model keeps an instruction", timeout=PATIENCE
    )
    expect(page.locator("svg.marks")).to_have_count(3, timeout=PATIENCE)
    reading = page.locator(".ivx-reading").last.bounding_box()
    band = page.locator(BAND).bounding_box()
    assert reading and reading["y"] + reading["height"] < 900 and band and band["height"] < 50
    through(page, "A three-minute lesson", "/lessons", title="Lessons · ivx", question="At which layer")
    through(page, "Read this map", r"/effects\?.*run=", title="Effects · ivx", question="Which states carry")
    expect(page.get_by_role("link", name="My checkpoint")).to_have_attribute("href", re.compile("checkpoints$"))
    page.get_by_role("button", name="Hide").click()
    expect(page.locator(BAND)).to_have_count(0, timeout=PATIENCE)
    page.wait_for_function("document.cookie.includes('ivx_doors=hidden')")
    page.reload()
    expect(page.locator("svg.marks")).to_have_count(3, timeout=PATIENCE)
    expect(page.locator(BAND)).to_have_count(0)
    context.close()


def test_the_map_of_the_toy_is_read_with_what_is_shown(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/overview?checkpoint=tiny-dpo&task=animal/can-fly&metric=logprob")
    page.get_by_role("link", name="Read this map").click()
    page.wait_for_url(
        re.compile(r"/effects\?checkpoint=tiny-dpo&task=animal(/|%2F)can-fly&metric=logprob"), timeout=PATIENCE
    )
    page.close()


def test_the_menus_fit_and_hold_every_page(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/glossary")
    page.set_viewport_size({"width": 1024, "height": 768})
    bar = page.get_by_test_id("stTopNav")
    expect(bar).to_be_visible(timeout=PATIENCE)
    items = bar.locator(".rc-overflow-item:not(.rc-overflow-item-rest)")
    expect(items).to_have_count(len(MENUS))
    boxes = [box for box in (item.bounding_box() for item in items.all()) if box]
    assert len(boxes) == len(MENUS) and max(box["y"] for box in boxes) < 30
    assert max(box["x"] + box["width"] for box in boxes) < 1024 and max(box["height"] for box in boxes) < 45
    assert page.evaluate("document.documentElement.scrollWidth") <= 1024
    here = bar.get_by_role("button", name="Learn", exact=True)
    other = bar.get_by_role("button", name="Explore", exact=True)
    weight = "e => getComputedStyle(e).backgroundColor"
    assert here.evaluate(weight) != other.evaluate(weight), "the menu that holds the page is marked"
    for menu, held in MENUS.items():
        if menu:
            bar.get_by_role("button", name=menu, exact=True).click()
            expect(page.get_by_role("menuitem")).to_have_text(list(held.values()))
            page.keyboard.press("Escape")
    page.close()
