"""The Behaviour page as a person meets it, and what every other page says first of what is not followed."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from ivx.ui.kit import session
from tests.support.browser import CARD, PATIENCE, opened, outside

pytestmark = pytest.mark.browser
GATE = "[data-testid='ivx-gate']"
SHORT = "tasks=animal/colour&ways=prompt,query&n=5"


def cell(page: Page, told: str) -> None:
    """Click the cell whose tooltip begins with these words."""
    at = page.locator(f"path[aria-roledescription='rect mark'][aria-label*='{told}']").first.bounding_box()
    assert at is not None
    page.mouse.click(at["x"] + at["width"] / 2, at["y"] + 4)


def test_the_matrix_its_texts_and_its_link(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/behaviour?checkpoint=tiny-sft&{SHORT}")
    card = page.locator(CARD).first
    expect(page.get_by_text("Export", exact=True)).to_be_visible(timeout=4 * PATIENCE)
    expect(page.locator(".ivx-reading").first).to_contain_text("of 2 tasks")
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


def test_one_pair_is_asked_alone() -> None:
    from streamlit.testing.v1 import AppTest

    def page() -> None:
        import streamlit as st

        from ivx.ui.behaviour import page
        from ivx.ui.kit import pairs

        asked = page.controls()
        assert asked is not None
        st.write(" ".join(asked.tasks))
        st.button("Take", on_click=lambda: pairs.choose("tiny-sft", "animal/can-fly"))

    seen = AppTest.from_function(page, default_timeout=60)
    seen.query_params.update({"checkpoint": "tiny-sft"})
    assert seen.run().markdown[0].value == "all"
    offered = seen.selectbox(key="tasks").options
    assert "animal: colour / can fly" in offered and "animal: can fly / colour" not in offered, "a pair once"
    seen.button[-1].click().run()
    assert not seen.exception and seen.markdown[0].value == "animal/colour animal/can-fly"


def test_a_task_of_ones_own_is_asked_first_and_alone(tmp_path: Path) -> None:
    from streamlit.testing.v1 import AppTest

    def page() -> None:
        import streamlit as st

        from ivx.ui.behaviour import page

        asked = page.controls()
        assert asked is not None
        st.write(" ".join(asked.tasks))

    path = str(tmp_path / "own.csv")
    seen = AppTest.from_function(page, default_timeout=60)
    seen.session_state[session.FILES] = [("own.csv", path)]
    seen.session_state["task"] = path
    assert seen.run().markdown[0].value == path and seen.selectbox(key="tasks").options[1] == "own.csv"
    seen.selectbox(key="tasks").select("all").run()
    assert not seen.exception and seen.markdown[0].value == f"all {path}"
