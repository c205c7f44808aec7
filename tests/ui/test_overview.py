"""The Overview: what a glance asks, the runs that come with ivx, and a layer that is selected in every panel."""

from __future__ import annotations

import csv
import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from ivx.analyses.defaults import SHIPPED, glance
from ivx.jobs.compute import stored
from ivx.jobs.replay import ReplayRequest, replay
from ivx.jobs.shipped import is_shipped, shipped
from ivx.models.load import load
from ivx.models.registry import RUNS
from ivx.store.store import Store
from tests.support.browser import opened, outside, serving

PATIENCE = 120_000


def test_what_is_asked_at_first_came_with_ivx_and_nothing_else(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for request in shipped():
        found = stored(store, request)
        assert found is not None, f"{request} is not among the runs that come with ivx: `python -m ivx.tiny runs`"
        assert found.request == request
    assert {path.stem for path in RUNS.glob("*")} == {entry.run for entry in store.entries()}


def test_what_came_with_ivx_is_what_is_computed_here(tmp_path: Path) -> None:
    store, model = Store(tmp_path), load("tiny-sft")
    for request in shipped():
        if request.checkpoint != "tiny-sft":
            continue
        found = stored(store, request)
        assert found is not None and is_shipped(found.run_id)
        if request.kind != "separability":
            again = replay(store, model, ReplayRequest("tiny-sft", found.run_id, rows=8))
            assert again.largest < 1e-3


def test_a_deleted_run_that_came_with_ivx_comes_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    request = glance("tiny-sft", SHIPPED[0])["effects"]
    first = stored(store, request)
    assert first is not None
    store.delete(first.run_id)
    again = stored(store, request)
    assert again is not None and again.table.equals(first.table)


@pytest.mark.browser
def test_a_cold_open_paints_three_panels(browser: Browser) -> None:
    with serving() as url:
        began = time.monotonic()
        page = opened(browser, url)
        expect(page.locator(".ivx-reading")).to_have_count(3, timeout=PATIENCE)
        expect(page.locator("svg.marks")).to_have_count(3, timeout=PATIENCE)
        print(f"three panels {time.monotonic() - began:.1f} s after the first request")
        expect(page.locator(".ivx-trust")).to_contain_text("came with ivx")
        assert outside(page) == []
        page.close()


@pytest.mark.browser
def test_a_layer_selected_in_one_panel_is_selected_in_all(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/overview?checkpoint=tiny-sft")
    expect(page.locator(".ivx-reading")).to_have_count(3, timeout=PATIENCE)
    page.locator("path[aria-label*='column: 0'][aria-label*='layer: 4']").first.click()
    expect(page.locator(".ivx-reading").nth(1)).to_contain_text("At layer 4", timeout=PATIENCE)
    page.wait_for_url(re.compile("layer=4"), timeout=PATIENCE)

    other = opened(browser, page.url)
    expect(other.locator(".ivx-reading").nth(1)).to_contain_text("At layer 4", timeout=PATIENCE)
    panels = other.locator("svg.marks")
    expect(panels).to_have_count(3, timeout=PATIENCE)
    assert bold_layers(other, 0) == ["L4"]
    other.close()
    page.close()


@pytest.mark.browser
def test_the_overview_leaves_as_one_picture_with_its_numbers(browser: Browser, app: str, tmp_path: Path) -> None:
    """Three clicks: Export, SVG, CSV; then the address, from the clipboard."""
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(f"{app}/overview?checkpoint=tiny-sft&layer=4")
    page.get_by_text("Export", exact=True).click(timeout=PATIENCE)
    with page.expect_download(timeout=PATIENCE) as caught:
        page.get_by_role("button", name="SVG", exact=True).click()
    svg = caught.value.path().read_text(encoding="utf-8")
    assert "<title>Where does the instruction live?</title>" in svg
    for said in ("tiny-sft", "Causal effect", "Linear separability", "Interactions", "n = 40 (effects)"):
        assert said in svg
    with page.expect_download(timeout=PATIENCE) as caught:
        page.get_by_role("button", name="CSV, plotted").click()
    first = next(csv.DictReader(caught.value.path().open(encoding="utf-8")))
    effects = stored(Store(tmp_path), glance("tiny-sft", SHIPPED[0])["effects"])
    assert effects is not None
    cell = effects.cells("resid_post")[0]
    assert (first["cell"], first["state"]) == (cell.patch, cell.state)
    assert [float(first[name]) for name in ("mean", "low", "high", "p", "control")] == pytest.approx(
        [cell.value, cell.low, cell.high, cell.p, cell.control]
    )
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_text("Link copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.url and "layer=4" in page.url
    page.get_by_role("button", name="Copy image").click()
    expect(page.get_by_text("Image copied")).to_be_visible(timeout=PATIENCE)
    kinds = page.evaluate("navigator.clipboard.read().then((all) => all.flatMap((one) => one.types))")
    assert kinds == ["image/png"]
    context.close()


def bold_layers(page: Page, panel: int) -> list[str]:
    """Layer labels of a panel that are bold."""
    texts = page.locator("svg.marks").nth(panel).locator("text")
    bold = texts.evaluate_all("all => all.filter(t => +getComputedStyle(t).fontWeight >= 600).map(t => t.textContent)")
    return [label for label in bold if re.fullmatch(r"L\d+", label)]
