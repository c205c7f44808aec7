"""The Post-training page as a person meets it: maps, their difference, one cursor for all, and transplants."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

pytestmark = pytest.mark.browser
PATIENCE = 300_000
TABLE = "[data-testid=ivx-stage]"


def opened(browser: Browser, url: str) -> Page:
    page = browser.new_page(viewport={"width": 1440, "height": 1400})
    page.goto(url)
    return page


def complete(page: Page) -> None:
    expect(page.get_by_text("Export")).to_be_visible(timeout=PATIENCE)
    expect(page.locator(TABLE).first).to_be_visible(timeout=PATIENCE)


def chart(page: Page, number: int) -> Locator:
    return page.locator("[data-testid=stVegaLiteChart]").nth(number)


def cell(page: Page, number: int, layer: int, column: int) -> Locator:
    """One cell of the page's chart of that number."""
    return chart(page, number).locator(f"path[aria-label*='column: {column};'][aria-label*='layer: {layer};']").first


def outlined(page: Page, number: int) -> int:
    """How many outlines a chart has: one under, one over the marked cell."""
    return chart(page, number).locator("path[stroke-width='2.2']").count()


def test_the_difference_map_and_one_cursor_for_all(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/training?checkpoints=tiny-base,tiny-sft&task=animal/colour")
    expect(page.get_by_role("heading", name="When does the instruction vector become causal?")).to_be_visible(
        timeout=PATIENCE
    )
    complete(page)
    expect(page.get_by_text("SFT − Base").first).to_be_visible()
    assert [outlined(page, number) for number in range(3)] == [1, 1, 1], "two maps and their difference"
    before, after, change = (
        float(re.search(r"([+−][\d.]+)", row)[1].replace("−", "-"))  # type: ignore[index]
        for row in page.locator(f"{TABLE} tr").all_inner_texts()[1:4]
    )
    assert change == pytest.approx(after - before, abs=0.011)
    page.wait_for_timeout(2_000)  # what was computed just now is drawn once more, as a page that waits for nothing
    page.evaluate("document.querySelectorAll('[data-testid=stVegaLiteChart] svg').forEach((svg) => svg.drawn = true)")
    cell(page, 1, 3, 1).click()
    expect(page.get_by_text("Layer 3, :")).to_be_visible(timeout=PATIENCE)
    page.wait_for_url("**cell=resid_post.3*", timeout=PATIENCE)
    assert [outlined(page, number) for number in range(3)] == [1, 1, 1]
    kept = page.evaluate("[...document.querySelectorAll('[data-testid=stVegaLiteChart] svg')].map((svg) => svg.drawn)")
    assert kept == [True] * 6, "a click moves the outline and draws no chart anew"

    for number, layer in ((0, 5), (1, 3)):  # the last one again, after another was clicked in between
        cell(page, number, layer, 1).click()
        expect(page.get_by_text(f"Layer {layer}, :")).to_be_visible(timeout=PATIENCE)
        page.wait_for_timeout(1_500)  # two addresses within a second are one step
    page.go_back()
    expect(page.get_by_text("Layer 5, :")).to_be_visible(timeout=PATIENCE)
    cell(page, 1, 3, 1).click()  # and after a step Back
    expect(page.get_by_text("Layer 3, :")).to_be_visible(timeout=PATIENCE)
    page.wait_for_url("**cell=resid_post.3*", timeout=PATIENCE)

    other = opened(browser, page.url)
    complete(other)
    expect(other.get_by_text("Layer 3, :")).to_be_visible(timeout=PATIENCE)
    told = page.locator(TABLE).first.inner_text()
    expect(other.locator(TABLE).first).to_have_text(told, use_inner_text=True, timeout=PATIENCE)
    other.close()
    page.close()


def test_transplants_stand_by_receiver_and_donor(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/training?checkpoints=tiny-base,tiny-sft&task=animal/colour&show=transplant")
    expect(page.get_by_text("Into Base", exact=True)).to_be_visible(timeout=PATIENCE)
    complete(page)
    cell(page, 1, 2, 0).click()
    expect(page.get_by_text("Base’s vector, layer 2")).to_be_visible(timeout=PATIENCE)
    page.wait_for_url("**graft=2~tiny-base*", timeout=PATIENCE)
    expect(page.get_by_text(re.compile("into SFT"))).to_have_count(1, timeout=PATIENCE)  # the card; the map says "Into"
    page.close()


def test_too_few_are_told_what_to_do(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/training?checkpoints=tiny-sft")
    expect(page.get_by_text("Nothing to compare yet")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("Choose two checkpoints or more above.")).to_be_visible()
    page.close()
