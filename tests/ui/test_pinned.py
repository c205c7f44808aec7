"""Pin: a link opens with two cells side by side, one click lets one go, and one that is not there is dropped."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, expect
from streamlit.testing.v1 import AppTest

from ivx.analyses.effects.request import EffectsRequest
from ivx.analyses.effects.result import Effects
from ivx.charts.numbers import signed
from ivx.ui.kit import checkpoints, moving
from tests.support.browser import CARD, PATIENCE, finished
from tests.support.browser import opened as opened_in
from tests.support.results import shipped_effects
from tests.ui.test_address import named, opened, said

VIEW = {"checkpoint": "tiny-sft", "task": "animal/colour", "metric": "contrast"}
LASTS = "() => Math.max(0, ...document.getAnimations().map((one) => one.effect.getComputedTiming().endTime))"
HERE, THERE = "resid_post.1@0~-1", "resid_post.3@0~-1"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Effects:
    return shipped_effects(tmp_path_factory.mktemp("store"))


def shown(app: AppTest) -> str:
    """What the card says, once the stored run is there."""
    for _ in range(100):
        cards = [one.proto.body for one in app.get("html") if 'data-testid="ivx-card"' in one.proto.body]
        if cards:
            return re.sub("<[^>]+>", " ", cards[0])
        time.sleep(0.2)
        app.run()
    pytest.fail("the stored run is not drawn within 20 s")


def test_a_link_opens_with_both_cells_and_their_difference(result: Effects) -> None:
    app = opened("effects", **VIEW, cell=THERE, pin=HERE)
    between = result.difference(HERE, THERE)
    card = shown(app)
    for told in (HERE, THERE, signed(between.value, 2), f"[{signed(between.low, 2)}, {signed(between.high, 2)}]"):
        assert told in card
    assert f"the same {between.n} samples" in card and named(app, "pin") == HERE
    app.button("pinning").click().run()
    assert "pin" not in app.query_params and "A − B" not in said(app) and named(app, "cell") == THERE
    app.button("pinning").click().run()
    assert named(app, "pin") == THERE and "Pinned as A" in said(app)


def test_a_pin_that_the_map_does_not_have_is_said_and_dropped() -> None:
    for wrong in ("resid_post.99@0~-1", "<b>nonsense</b>"):
        app = opened("effects", **VIEW, cell=THERE, pin=wrong)
        assert "Layer 3" in shown(app)
        assert "it is no longer pinned" in said(app) and "pin" not in app.query_params
        assert "A − B" not in said(app) and "<b>nonsense" not in said(app)


@pytest.mark.parametrize("patch", [HERE, THERE, "resid_post.1@-1~-1", "z.4.3@-1~-1"])
def test_what_moves_is_one_samples_own(result: Effects, patch: str) -> None:
    cell = next(one for site in result.maps for one in result.cells(site) if one.patch == patch)
    told = moving.shown(result, cell, "contrast")
    rows = {
        (row["patch"], row["sample"]): row
        for row in result.table.to_pylist()
        if (row["role"], row["site"]) == ("effect", cell.site)
    }
    token = checkpoints.token_of(result)
    every = [
        (one.query, one.answer, *(token(rows[at, i]["top_ids"][0]) for at in ("", patch)))
        for i, one in enumerate(result.samples.rows)
    ]
    flipped = [one for one in every if one[2] != one[1] == one[3]]
    assert told is not None
    assert (told["layer"], told["column"], told["heads"]) == (cell.layer, cell.column, cell.site == "z")
    assert tuple(told[name] for name in ("query", "answer", "before", "after")) == (flipped or every)[0]
    assert flipped or cell.value < 1, "an effect of a logit makes some answers likeliest"


def test_nothing_moves_where_no_state_is_taken_from_a_source(result: Effects) -> None:
    cell = result.cells("resid_post")[0]
    assert isinstance(result.request, EffectsRequest)
    noise = replace(result, request=replace(result.request, direction="noise"))
    assert moving.shown(noise, cell, "contrast") is None


@pytest.mark.browser
def test_a_patch_moves_for_two_seconds_or_not_at_all_and_a_card_is_kept(browser: Browser, app: str) -> None:
    url = f"{app}/effects?{urlencode(VIEW)}&cell={HERE}"
    page = opened_in(browser, url)
    finished(page)
    page.get_by_role("button", name="watch").click()
    assert 2_000 < page.evaluate(LASTS) < 2_400, "with the answer's second half, less than 2.5 s"
    expect(page.locator(".ivx-moved .dot")).to_have_count(0, timeout=PATIENCE)
    page.close()

    page = opened_in(browser, url, reduced_motion="reduce")
    finished(page)
    page.get_by_role("button", name="watch").click()
    assert page.evaluate(LASTS) == 0
    expect(page.locator(".ivx-moved .dot")).to_have_count(0)
    cone = page.locator(".ivx-moved .edge").last.bounding_box()
    cells = [
        page.locator(f"path[aria-label*='column: {c};'][aria-label*='layer: {k};']").first for k, c in ((7, 0), (2, 5))
    ]
    top, bottom = (one.bounding_box() for one in cells)
    assert cone is not None and top is not None and bottom is not None
    assert abs(cone["x"] - top["x"]) < 3 and abs(cone["y"] - top["y"]) < 3
    assert abs(cone["x"] + cone["width"] - bottom["x"] - bottom["width"]) < 3
    assert abs(cone["y"] + cone["height"] - bottom["y"] - bottom["height"]) < 3
    expect(page.locator(".ivx-moving .answer")).to_contain_text(" → ")

    page.get_by_role("button", name="Pin", exact=True).click()
    page.wait_for_url("**pin=resid_post.1*", timeout=PATIENCE)
    page.locator("path[aria-label*='column: 0;'][aria-label*='layer: 3;']").first.click()
    expect(page.locator(CARD).first).to_contain_text("A − B", timeout=PATIENCE)
    expect(page.locator(".ivx-moved")).to_have_count(0, timeout=PATIENCE)
    page.get_by_role("button", name="Unpin").click()
    expect(page.locator(CARD).first).not_to_contain_text("A − B", timeout=PATIENCE)
    page.wait_for_url(lambda at: "pin=" not in at, timeout=PATIENCE)
    page.close()
