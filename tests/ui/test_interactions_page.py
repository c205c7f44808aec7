"""The page Interactions: J beside its control, other players, triples, halves, and the link to a pair."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import CARD, PATIENCE, finished, opened, outside

pytestmark = pytest.mark.browser


def test_a_pair_has_its_control_its_text_and_a_link_that_shows_it(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/interactions?checkpoint=tiny-sft&task=animal/colour&pairs_n=12")
    finished(page)
    page.locator("path[aria-label*='column: 1'][aria-label*='layer: 3']").first.click()
    card = page.locator(CARD).first
    expect(card).to_contain_text("L1 and L3", timeout=PATIENCE)
    for part in ("J against its controls", "other task", "random", "adjusted p", "same sign", "followed", "After both"):
        expect(card).to_contain_text(part)
    expect(page.locator("[data-testid=ivx-text]")).to_contain_text(
        re.compile("before → after.*→", re.DOTALL), timeout=PATIENCE
    )
    expect(page.get_by_text("tested on the other half alone")).to_be_visible()
    page.get_by_role("button", name="Link").click()
    link = page.locator("code", has_text="interactions?").first.inner_text()
    other = opened(browser, link)
    expect(other.locator(CARD).first).to_contain_text("L1 and L3", timeout=PATIENCE)
    expect(other.locator(CARD).first).to_contain_text("n = 12")
    assert outside(page) == outside(other) == []
    other.close()
    page.close()


@pytest.mark.parametrize(
    ("asked", "title", "first"),
    [
        ("over=components&among=attn_out,mlp_out", "Do attention and MLPs act together?", "mlp_out"),
        ("over=positions", "Do the tokens of a layer act together?", "L0"),
        ("among=attn_out,resid_post", "Do layers act together?", "resid_post"),
    ],
)
def test_players_of_every_kind_have_a_map(browser: Browser, app: str, asked: str, title: str, first: str) -> None:
    page = opened(browser, f"{app}/interactions?checkpoint=tiny-sft&pairs_n=10&{asked}")
    expect(page.get_by_role("heading", name=title)).to_be_visible(timeout=PATIENCE)
    finished(page)
    expect(page.locator(CARD).first).to_contain_text(first)
    expect(page.get_by_text("One alone")).to_be_visible()
    page.close()


def test_triples_are_told_where_they_were_asked_for(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/interactions?checkpoint=tiny-sft&pairs_n=10&order=3")
    finished(page)
    expect(page.get_by_text("Three together")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("triples interact beyond their pairs")).to_be_visible()
    page.close()


def test_the_page_opens_on_the_game_that_overwrites_nothing(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/interactions?checkpoint=tiny-sft")
    expect(page.get_by_text("Both layers: Shapley interaction")).to_be_visible(timeout=PATIENCE)
    finished(page)
    expect(page.locator(CARD).first).to_contain_text("Shapley value of each", timeout=PATIENCE)
    expect(page.locator(".ivx-reading").first).to_contain_text("more together than apart")
    assert "game=" not in page.url
    old = opened(browser, f"{app}/interactions?checkpoint=tiny-sft&pairs_n=10&show=gain")
    expect(old.get_by_text("overwrites of the earlier one")).to_be_visible(timeout=PATIENCE)
    old.close()
    page.close()
