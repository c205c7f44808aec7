"""The patch lens as a person meets it: two grids, a drop, the text it writes, its link."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.browser import PATIENCE, opened, outside, serving

pytestmark = pytest.mark.browser
TEXTS = ".ivx-reading"


def cell(page: Page, grid: str, layer: int, column: int) -> Locator:
    return page.locator(f".st-key-grid-{grid} path[aria-label*='column: {column};'][aria-label*='layer: {layer};']")


def test_a_drop_its_text_and_its_link(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/lens?checkpoint=tiny-sft")
    texts = page.locator(TEXTS)
    expect(texts.nth(2)).to_contain_text("Writes “grey”, unpatched “mollusc”", timeout=PATIENCE)
    expect(texts.nth(2)).to_contain_text("with a random vector of the same norm “mollusc”")
    # Put behind the last reader, the same state changes nothing that is written.
    cell(page, "target", 7, 0).first.click()
    expect(texts.nth(2)).to_contain_text("Writes “mollusc”, unpatched “mollusc”", timeout=PATIENCE)
    expect(page.get_by_text("The patch can reach 1 of 48 cells")).to_be_visible(timeout=PATIENCE)
    cell(page, "source", 3, 2).first.click()
    page.wait_for_url("**take=3.2&put=7.0", timeout=PATIENCE)
    # The link changes before the grids are drawn anew, and a click on a grid that is being replaced is nobody's.
    expect(page.locator(".stApp")).to_have_attribute("data-test-script-state", "notRunning", timeout=PATIENCE)
    cell(page, "patched", 3, 0).first.click()
    page.wait_for_url("**take=3.2&put=3.0", timeout=PATIENCE)
    expect(page.get_by_text("The patch can reach 25 of 48 cells")).to_be_visible(timeout=PATIENCE)
    said = texts.nth(2).inner_text()
    other = opened(browser, page.url)
    expect(other.locator(TEXTS).nth(2)).to_have_text(said, timeout=PATIENCE)
    other.get_by_text("Export", exact=True).click()
    with other.expect_download() as download:
        other.get_by_text("CSV, patched").click()
    rows = download.value.path().read_text().splitlines()
    columns = '"layer","position","token","rank","id","word","probability","change","reached"'
    assert len(rows) == 1 + 48 * 5 and rows[0] == columns
    assert outside(page) == outside(other) == []
    other.close()
    page.close()


def test_a_link_to_two_cells_holds_in_a_server_that_has_read_nothing_yet(browser: Browser, tmp_path: Path) -> None:
    with serving(IVX_CACHE=str(tmp_path)) as app:
        page = opened(browser, f"{app}/lens?checkpoint=tiny-dpo&take=4.3&put=6.2")
        expect(page.get_by_text("The patch can reach 5 of 48 cells")).to_be_visible(timeout=PATIENCE)
        page.wait_for_url("**take=4.3&put=6.2", timeout=PATIENCE)
        page.close()


def test_a_prompt_that_cannot_be_read_is_refused_in_its_panel(browser: Browser, app: str) -> None:
    long = "+".join(["animal"] * 60)
    page = opened(browser, f"{app}/lens?checkpoint=tiny-sft&source_prompt={long}&target_prompt=<b>animal</b>+:")
    expect(page.get_by_text("the prompt has 60 tokens, and at most 48 are shown")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("of its words are unknown to this tokenizer")).to_have_count(0)
    expect(page.locator(".st-key-grid-target path[aria-label*='layer: 0;']").first).to_be_visible(timeout=PATIENCE)
    box = page.get_by_role("textbox", name="Source prompt")
    box.fill("name the colour of zzz")
    box.press("Enter")
    expect(page.locator(TEXTS).first).to_contain_text("1 of its words are unknown", timeout=PATIENCE)
    page.close()
