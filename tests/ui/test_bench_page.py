"""The vector bench as a person meets it: its curves, a strength chosen on one, the texts, and the link."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import PATIENCE, opened, outside

pytestmark = pytest.mark.browser
READING, TEXTS = ".ivx-reading", ".ivx-texts"


def test_a_run_its_curve_its_texts_and_its_link(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/bench?checkpoint=tiny-sft&task=animal/colour")
    reading, texts = page.locator(READING).first, page.locator(TEXTS)
    expect(reading).to_contain_text("At α = 1: 90%", timeout=PATIENCE)
    expect(reading).to_contain_text("Beyond both controls from 0.5 on, most at 1.5.")
    expect(texts).to_contain_text("tickarachnidbrownarachnid", timeout=PATIENCE)
    # A strength is chosen on the curve; the texts, the other curve and the link go with it.
    points = page.locator(".st-key-curve-queries path[aria-roledescription='point']")
    expect(points).to_have_count(27)
    at = points.nth(0).bounding_box()
    assert at is not None
    page.mouse.click(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
    expect(reading).to_contain_text("At α = 0 nothing is moved: 30%", timeout=PATIENCE)
    expect(texts).to_contain_text("tickarachnidarachnidarachnid", timeout=PATIENCE)
    page.wait_for_url("**alpha=0*", timeout=PATIENCE)
    box = page.get_by_role("textbox", name="Free text, one a line")
    box.fill("animal : otter .\n<b>hen</b>")
    box.press("Control+Enter")
    expect(page.locator(READING).nth(1)).to_contain_text("At α = 0 nothing is moved", timeout=PATIENCE)
    expect(page.get_by_text("n = 2, % that name an answer")).to_be_visible(timeout=PATIENCE)
    expect(texts).to_contain_text("<b>hen</b>", timeout=PATIENCE)
    other = opened(browser, page.url)
    expect(other.get_by_text("n = 2, % that name an answer")).to_be_visible(timeout=PATIENCE)
    expect(other.locator(TEXTS)).to_contain_text("<b>hen</b>", timeout=PATIENCE)
    other.get_by_text("Export", exact=True).click()
    with other.expect_download() as download:
        other.get_by_text("JSON, curves and texts").click()
    told = json.loads(download.value.path().read_text())
    assert len(told["curves"]["queries"]) == 27 and told["texts"][-1]["shown"] == "<b>hen</b>"
    assert outside(page) == outside(other) == []
    other.close()
    page.close()
