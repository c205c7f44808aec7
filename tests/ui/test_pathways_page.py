"""The Pathways page in a browser: a click leads to the card, a link shows the same, a vector is patched in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from ivx.archive.unpack import read as read_archive
from tests.support.browser import outside, pick, watched

pytestmark = pytest.mark.browser
PATIENCE = 120_000
CARD = "[data-testid=ivx-card]"


def opened(browser: Browser, url: str, **options: Any) -> Page:
    page = watched(browser.new_page(viewport={"width": 1440, "height": 1500}, **options))
    page.goto(url)
    expect(page.get_by_text("Export")).to_be_visible(timeout=PATIENCE)
    expect(page.locator(CARD)).to_be_visible(timeout=PATIENCE)
    return page


def test_a_click_leads_to_the_card_and_its_link(browser: Browser, app: str, tmp_path: Path) -> None:
    page = opened(browser, f"{app}/pathways?checkpoint=tiny-sft&task=animal/colour")
    card = page.locator(CARD)
    expect(card).to_contain_text("L4 H3", timeout=PATIENCE)
    expect(page.get_by_text(re.compile(r"Of 20 edges each, \d+ are shared"))).to_be_visible()
    expect(page.get_by_text(re.compile(r"Area 0\.\d+, random sets 0\.\d+"))).to_be_visible()
    page.get_by_text("checks passed").click()
    expect(page.get_by_text("all edges kept: cosine 1.000000, norm ratio 1.000000")).to_be_visible()

    page.locator("path[aria-label^='L5 H6']").first.click(force=True)
    expect(card).to_contain_text("L5 H6", timeout=PATIENCE)
    expect(card).to_contain_text("under each instruction")
    page.wait_for_url("**edge=5.6**", timeout=PATIENCE)
    expect(page.get_by_text("Attention of L5 H6")).to_be_visible()

    page.locator("svg.marks").nth(1).get_by_text("L3 H4", exact=True).last.click(force=True)
    expect(card).to_contain_text("L3 H4: all tokens", timeout=PATIENCE)
    page.wait_for_url("**side=there**", timeout=PATIENCE)

    slider = page.get_by_role("slider")
    slider.focus()
    slider.press("ArrowLeft")
    expect(page.get_by_text(re.compile(r"Of 15 edges each"))).to_be_visible(timeout=PATIENCE)
    page.wait_for_url("**edges=15**", timeout=PATIENCE)

    other = opened(browser, page.url)
    expect(other.locator(CARD)).to_contain_text("L3 H4: all tokens", timeout=PATIENCE)
    expect(other.get_by_text(re.compile(r"Of 15 edges each"))).to_be_visible()
    assert outside(page) == outside(other) == []
    other.close()

    page.get_by_text("Export").click()
    with page.expect_download(timeout=PATIENCE) as caught:
        page.get_by_text("Zip: rows, figures").click()
    caught.value.save_as(tmp_path / "run.zip")
    found = read_archive(tmp_path / "run.zip")
    assert found.receipt["origin"] in page.locator(".ivx-trust").inner_text() and found.by_head()[4, 3] > 2
    page.close()


def test_a_patched_vector_and_the_published_sum(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/pathways?checkpoint=tiny-sft&task=animal/colour&patch=3&published=1")
    expect(page.get_by_text("Summed logits against the model’s own")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text(re.compile(r"published sum of [\d,]+ paths"))).to_be_visible()
    page.get_by_text("Does the instruction’s vector").click()
    expect(page.get_by_text(re.compile(r"with the vector at L3"))).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text(re.compile(r"layers? behind it becomes? more like the told run’s"))).to_be_visible()
    page.close()


@pytest.mark.slow
def test_another_checkpoint_beside_this_one(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/pathways?checkpoint=tiny-sft&task=animal/colour")
    page.get_by_text("Does another checkpoint take the same path?").click()
    page.wait_for_timeout(1_000)  # while an expander opens, what is in it takes no choice
    pick(page, "The same instruction", "tiny-base")
    told = page.get_by_text(re.compile(r"Least alike at L\d: \d+%, each with itself"))
    expect(told).to_be_visible(timeout=PATIENCE)
    page.wait_for_url("**versus=tiny-base**", timeout=PATIENCE)

    other = opened(browser, page.url)
    expect(other.get_by_text(told.inner_text())).to_be_visible(timeout=PATIENCE)
    other.close()
    page.close()


def test_nothing_overflows_when_narrow_and_dark_is_dark(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/pathways?checkpoint=tiny-sft&task=animal/colour", color_scheme="dark")
    page.set_viewport_size({"width": 1024, "height": 900})
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") == 1024
    heads = page.locator(".ivx-head")
    named = [heads.filter(has_text=text).first for text in ("colour", "can fly", "Overlap")]
    tops = [head.bounding_box()["y"] for head in named]  # type: ignore[index]
    assert max(tops) - min(tops) < 2, "the three panels stand side by side"
    page.close()
