"""The page Effects: what lies behind More, a scan, controls beside every cell, texts, and pictures to take away."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import CARD, PATIENCE, finished, opened, outside, pick

pytestmark = pytest.mark.browser
TEXT = "[data-testid=ivx-text]"


def test_a_card_has_every_control_a_text_a_link_and_its_python(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/effects?checkpoint=tiny-sft&task=animal/colour&n=12&cell=resid_post.3@0~-1")
    finished(page)
    card = page.locator(CARD).first
    for name in ("this vector", "other task", "random", "idle words", "other sample"):
        expect(card).to_contain_text(name)
    text = page.locator(TEXT)
    expect(text).to_contain_text(re.compile("before → after(.*→){2}", re.DOTALL), timeout=PATIENCE)
    assert len(re.findall("→", text.inner_text())) == 3, "a heading and two samples"
    page.get_by_role("button", name="Python").click()
    code = page.locator("code", has_text="import ivx").first
    expect(code).to_contain_text("controls=('task', 'random', 'neutral', 'shuffled')")
    expect(code).to_contain_text("'resid_post.3@0~-1'")
    scope: dict = {}
    lines = code.inner_text().splitlines()
    exec("\n".join([*lines[:-1], f"cell = {lines[-1]}"]), scope)  # what a reader would paste
    shown = card.locator(".big").inner_text()
    assert f"{abs(scope['cell'].value):.2f}" == shown.lstrip("+−")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Link").click()
    link = page.locator("code", has_text="effects?").first.inner_text()
    other = opened(browser, link)
    expect(other.locator(CARD).first).to_contain_text("resid_post.3@0~-1", timeout=PATIENCE)
    expect(other.locator(CARD).first).to_contain_text("n = 12")
    expect(other.get_by_role("button", name="More · 1")).to_be_visible()
    assert outside(page) == outside(other) == []
    other.close()
    page.close()


@pytest.mark.slow
def test_a_scan_is_a_view_of_the_page_and_opens_from_the_runs(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/effects?checkpoint=tiny-sft-period&task=animal/colour&n=12")
    finished(page)
    page.get_by_role("radio", name="each").click()
    expect(page.get_by_text("The same tokens, each fed alone")).to_be_visible(timeout=PATIENCE)
    finished(page)
    card = page.locator(CARD).first
    for name in ("source token", "token alone", "word alone"):
        expect(card).to_contain_text(name, timeout=PATIENCE)
    expect(page.get_by_text(re.compile("from T_inst at most"))).to_be_visible()
    page.wait_for_url("**source=all**", timeout=PATIENCE)
    run = page.locator(".ivx-trust code").last.inner_text()
    page.goto(f"{app}/effects?run={run}")
    expect(page.get_by_text(f"Run {run}: tiny-sft-period")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("Layer × source token")).to_be_visible(timeout=PATIENCE)
    assert outside(page) == []
    page.close()


def test_more_changes_what_is_asked_and_what_cannot_be_is_said(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/effects?checkpoint=tiny-sft&n=12")
    finished(page)
    page.get_by_role("button", name="More").click()
    pick(page, "Direction", "noise: bare states")
    expect(page.get_by_text("puts one state of the bare prompt into the instructed run")).to_be_visible(
        timeout=PATIENCE
    )
    page.wait_for_url("**direction=noise**", timeout=PATIENCE)
    finished(page)
    page.goto(f"{app}/effects?checkpoint=tiny-sft&n=12&position=19")
    expect(page.get_by_text("This cannot be measured")).to_be_visible(timeout=PATIENCE)
    assert outside(page) == []
    page.close()


def test_a_figure_is_taken_as_a_picture_with_its_caption(browser: Browser, app: str, tmp_path: Path) -> None:
    page = opened(browser, f"{app}/effects?checkpoint=tiny-sft&n=12")
    finished(page)
    page.get_by_text("Export").click()
    for kind, begins in (("PNG", b"\x89PNG"), ("SVG", b"<svg")):
        with page.expect_download(timeout=PATIENCE) as caught:
            page.get_by_role("button", name=kind, exact=True).click()
        caught.value.save_as(tmp_path / kind)
        assert (tmp_path / kind).read_bytes().startswith(begins)
    run = page.locator(".ivx-trust code").last.inner_text()
    caption = page.locator("code", has_text="n = 12").first
    expect(caption).to_contain_text(run)
    expect(caption).to_contain_text("Hatched: different from 0, but no better than a control")
    page.close()
