"""The Behaviour page as a person meets it, and what every other page says first of what is not followed."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import CARD, PATIENCE, opened, outside

pytestmark = pytest.mark.browser
GATE = "[data-testid='ivx-gate']"
SHORT = "ways=prompt,query&n=5"


def cell(page: Page, told: str) -> None:
    """Click the cell whose tooltip begins with these words."""
    at = page.locator(f"path[aria-roledescription='rect mark'][aria-label*='{told}']").first.bounding_box()
    assert at is not None
    page.mouse.click(at["x"] + at["width"] / 2, at["y"] + 4)


def test_the_matrix_its_texts_and_its_link(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/behaviour?checkpoint=tiny-sft&{SHORT}")
    card = page.locator(CARD).first
    expect(page.get_by_text("Export", exact=True)).to_be_visible(timeout=4 * PATIENCE)
    expect(page.locator(".ivx-reading").first).to_contain_text("of 13 tasks")
    cell(page, "animal/colour by query")
    expect(card).to_contain_text("animal/colour by query", timeout=PATIENCE)
    expect(card).to_contain_text("100%")
    expect(card).to_contain_text("untold 0%")
    page.wait_for_url("**cell=animal%2Fcolour~query*", timeout=PATIENCE)
    other = opened(browser, page.url)
    expect(other.locator(CARD).first).to_contain_text("animal/colour by query", timeout=2 * PATIENCE)
    other.get_by_text("Effects, asked so").click()
    other.wait_for_url("**/effects?*format=query*", timeout=PATIENCE)
    assert outside(page) == outside(other) == []
    other.close()
    page.close()


def test_what_is_not_followed_is_said_first_on_page_card_caption_and_csv(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/effects?checkpoint=tiny-base&task=animal/colour")
    said = "tiny-base does not follow animal/colour when asked like this (told "
    expect(page.locator(GATE)).to_contain_text(said, timeout=2 * PATIENCE)
    expect(page.get_by_text("Export", exact=True)).to_be_visible(timeout=2 * PATIENCE)
    expect(page.locator(CARD).first).to_contain_text("Not followed (told ", timeout=PATIENCE)
    expect(page.locator(".ivx-reading").first).to_contain_text("Not followed (told ")
    # Once the card's texts are there the page is drawn anew, which would take a click along.
    expect(page.locator("[data-testid='ivx-text'] code").first).to_be_visible(timeout=2 * PATIENCE)
    page.get_by_text("Export", exact=True).click()
    expect(page.get_by_text(said).nth(1)).to_be_visible(timeout=PATIENCE)
    with page.expect_download() as download:
        page.get_by_text("CSV, all rows").click()
    head, first, *_ = download.value.path().read_text().splitlines()
    assert head.startswith('"note",') and first.startswith(f'"{said}')
    page.close()


def test_where_it_is_followed_nothing_is_said(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/effects?checkpoint=tiny-sft&task=animal/colour")
    expect(page.locator(CARD).first).to_be_visible(timeout=2 * PATIENCE)
    expect(page.locator(GATE)).to_have_count(0)
    page.close()
