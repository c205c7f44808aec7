"""A page without a mouse, and the outline that answers a click before the server does."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import CARD, PATIENCE, finished, opened

pytestmark = pytest.mark.browser

ON_MAP = "document.activeElement.getAttribute('aria-label') || ''"
NAMED = """() => { const here = document.activeElement;
  return here.getAttribute("aria-label") || here.innerText.trim() || ""; }"""
OPTION = """() => {
  const here = document.getElementById(document.activeElement.getAttribute("aria-activedescendant") || "");
  return here ? here.innerText.trim() : "";
}"""
OUTLINED = "getComputedStyle(document.activeElement).outlineStyle !== 'none'"
IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"
SAID = ".ivx-heard"
STOPS = 40
"""Tab stops from the top of a page within which each of its parts must be reached."""
ECHO = """async () => {
  const cell = document.querySelector("path[aria-label*='column: 2; layer: 4;']");
  const {left, top, width, height} = cell.getBoundingClientRect();
  const at = {bubbles: true, clientX: left + width / 2, clientY: top + height / 2, view: window};
  const seen = new Promise((found) => new MutationObserver(() => {
    const line = document.querySelector(".echo-set .over");
    if (line) found([performance.now(), line.getAttribute("d") === cell.getAttribute("d")]);
  }).observe(cell.ownerSVGElement, {childList: true, subtree: true}));
  const began = performance.now();
  cell.dispatchEvent(new MouseEvent("click", at));
  const [ended, same] = await seen;
  return [ended - began, same];
}"""


def test_from_the_start_to_a_card_and_the_export_by_keyboard_alone(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/effects?checkpoint=tiny-sft&task=animal/colour&metric=contrast&source=t_inst")
    finished(page)
    _tab_to(page, "Effect map, resid_post")
    # The walk begins at the chosen cell, which is the strongest: L1 at the answer position.
    expect(page.locator(SAID)).to_contain_text("L1 :")
    for key in ("Home", "ArrowRight", "ArrowUp", "ArrowUp"):
        page.keyboard.press(key)
    expect(page.locator(SAID)).to_contain_text("L3 :")
    expect(page.locator(".cursor-set")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator(CARD).first).to_contain_text("Layer 3", timeout=PATIENCE)
    page.wait_for_url("**cell=resid_post.3*", timeout=PATIENCE)
    assert "Effect map, resid_post" in page.evaluate(ON_MAP), "the map keeps the focus when the server draws it anew"
    page.keyboard.press("ArrowUp")
    expect(page.locator(SAID)).to_contain_text("L4 :")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_have_count(0)
    for _ in range(STOPS):
        if "Export" in page.evaluate("document.activeElement.innerText || ''"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Zip: rows, figures")).to_be_visible(timeout=PATIENCE)
    page.close()


@pytest.mark.slow
def test_from_the_first_page_to_an_exported_figure_by_tab_arrows_and_enter(browser: Browser, app: str) -> None:
    page = opened(browser, app)
    finds(page, "Export")
    _stop_at(page, "Checkpoint")
    for _ in range(STOPS):
        page.keyboard.press("ArrowDown")
        page.wait_for_timeout(100)
        if page.evaluate(OPTION) == "toy · SFT":
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**checkpoint=tiny-sft&*", timeout=PATIENCE)
    finds(page, "Causal effect")
    page.evaluate("document.activeElement.blur()")  # else the walk begins behind the bar, and ends there
    _stop_at(page, "Explore")
    page.keyboard.press("Enter")
    for _ in range(STOPS):
        if page.evaluate(NAMED).startswith("Effects"):
            break
        page.wait_for_timeout(100)
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/effects?*", timeout=PATIENCE)
    finished(page)
    _tab_to(page, "Effect map, resid_post")
    for key in ("Home", "ArrowUp", "Enter"):
        page.keyboard.press(key)
    page.wait_for_url("**cell=resid_post*", timeout=PATIENCE)
    expect(page.locator(IDLE)).to_be_visible(timeout=PATIENCE)
    _stop_at(page, "Export")
    assert page.evaluate(OUTLINED), "one sees where one is"
    page.keyboard.press("Enter")
    finds(page, "SVG")
    _stop_at(page, "SVG")
    with page.expect_download(timeout=PATIENCE) as caught:
        page.keyboard.press("Enter")
    assert "tiny-sft" in caught.value.path().read_text(encoding="utf-8")
    page.close()


def test_a_click_is_outlined_within_50_ms_and_the_server_has_the_last_word(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/effects?checkpoint=tiny-sft&task=animal/colour&metric=contrast&source=t_inst")
    finished(page)
    expect(page.locator(".ivx-walk")).to_have_count(2)
    took, same = page.evaluate(ECHO)
    print(f"outlined {took:.1f} ms after the click")
    assert took <= 50 and same
    expect(page.locator(CARD).first).to_contain_text("Layer 4", timeout=PATIENCE)
    expect(page.locator(".echo-set")).to_have_count(0, timeout=PATIENCE)
    page.close()


def finds(page: Page, name: str) -> None:
    """The page shows this, and nothing runs any more."""
    expect(page.get_by_text(name, exact=name == "SVG").first).to_be_visible(timeout=PATIENCE)
    expect(page.locator(IDLE)).to_be_visible(timeout=PATIENCE)


def _stop_at(page: Page, name: str) -> None:
    """Press Tab until what has the focus begins with this name."""
    for _ in range(2 * STOPS):
        if page.evaluate(NAMED).startswith(name):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"{name} is not within {2 * STOPS} stops of the Tab key")


def _tab_to(page: Page, name: str) -> None:
    for _ in range(STOPS):
        page.keyboard.press("Tab")
        if name in page.evaluate(ON_MAP):
            return
    pytest.fail(f"{name} is not within {STOPS} stops of the Tab key")
