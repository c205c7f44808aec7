"""The Separability page as a person meets it: move a layer, pick wordings, click a dot."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from streamlit.proto.Common_pb2 import DoubleArray
from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates
from streamlit.testing.v1 import AppTest

from ivx.analyses.separability.result import Estimate, ProbeCell
from ivx.tasks.way import Way
from ivx.ui.separability.card import read_and_act
from ivx.ui.separability.subject import COLOURS, Subject, beside_at_first, others, stages
from tests.support.browser import CARD, PATIENCE, opened, outside
from tests.support.pages import separability
from tests.support.results import cell

LONG = 3 * PATIENCE
"""Probes take longer than maps."""


def probed(layer: int, selectivity: float, low: float = 0.1) -> ProbeCell:
    told = Estimate(selectivity, low, 1.0)
    return ProbeCell("resid_post", layer, told, told, told, 40, "ok" if low > 0 else "zero")


def test_what_is_read_and_what_acts_is_told_by_count() -> None:
    probes = [probed(0, 0.7), probed(1, 0.9), probed(2, 0.0, low=-0.1)]
    told = read_and_act("a <b>", probes, [cell("control", 4.0, layer=0), cell("zero", 0.0, layer=1)])
    assert "a &lt;b&gt;" in told and "read at 2 of 3 layers (70–90%)" in told
    assert "<b>none acts</b>" in told
    acting = [replace(cell("ok", 2.0, layer=0), control=0.1), cell("ok", 3.0, layer=2), cell("estimate", 9.0, layer=1)]
    told = read_and_act("a", probes, acting)
    assert "<b>1 acts</b>, most L0, +2.00, control +0.10" in told, "L2 cannot be read: it does not count"
    assert read_and_act("a", [], acting) == read_and_act("a", probes, []) == ""


def test_what_teaches_most_stands_beside_and_is_asked_for_last() -> None:
    for name in ("tiny-base", "tiny-sft", "tiny-dpo", "tiny-sft-period"):
        for source in ("t_inst", "keyword"):
            subject = Subject(name, source)
            beside = beside_at_first(subject)
            assert len(beside) < len(COLOURS) and set(beside) <= set(others(subject)) and subject not in beside
            first, *rest = stages([subject, *beside], "animal/colour", "attn_out", apart="all", way=Way())
            assert {request.checkpoint for request in first.values()} == {name}
            assert len({request for stage in (first, *rest) for request in stage.values()}) == 4 * (1 + len(beside))
    assert beside_at_first(Subject("org/model", "t_inst")) == []


def ready(page: Page) -> None:
    """Every component of the checkpoint is probed."""
    expect(page.get_by_text("read at 8 of 8 layers")).to_be_visible(timeout=LONG)
    expect(page.get_by_text("Stop, keep what is done")).to_have_count(0, timeout=LONG)
    expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_role("slider")).to_have_count(1, timeout=PATIENCE)  # what was drawn before is gone


def chart(page: Page, key: str) -> Locator:
    return page.locator(f"[class*='st-key-{key}']")


def three(dots: list[dict[str, float]]) -> tuple[float, float, float, float]:
    """A rectangle that holds the centres of three dots and of no other."""
    centres = [(dot["x"] + dot["width"] / 2, dot["y"] + dot["height"] / 2) for dot in dots]
    for centre in centres:
        near = sorted(centres, key=lambda other: (other[0] - centre[0]) ** 2 + (other[1] - centre[1]) ** 2)[:6]
        for some in combinations(near, 3):
            (left, right), (top, bottom) = ((min(axis) - 2, max(axis) + 2) for axis in zip(*some, strict=True))
            inside = [(x, y) for x, y in centres if left - 1 <= x <= right + 1 and top - 1 <= y <= bottom + 1]
            if len(inside) == 3:
                return left, top, right, bottom
    pytest.fail("no three dots lie apart from the others")


def loneliest(dots: list[dict[str, float]]) -> tuple[float, float]:
    """The centre of the dot that is farthest from any other."""
    centres = [(dot["x"] + dot["width"] / 2, dot["y"] + dot["height"] / 2) for dot in dots]
    return max(centres, key=lambda c: sorted((o[0] - c[0]) ** 2 + (o[1] - c[1]) ** 2 for o in centres)[1])


def test_a_slider_that_is_left_behind_does_not_take_the_layer_along() -> None:
    """A browser that has not seen a run yet still says what its slider showed before."""
    seen = AppTest.from_function(separability, default_timeout=60)
    seen.query_params.update({"checkpoint": "tiny-sft-period", "beside": "none", "layer": "0"})
    seen.run()
    for component, layer in (("attn_out", 5), ("attn_out", 3), ("resid_post", 3)):
        before = seen.slider[0].proto.id
        shown: Any = seen.slider[0].value
        seen.session_state["component"], seen.session_state["layer"] = component, str(layer)
        seen.run()
        old = WidgetState(id=before, double_array_value=DoubleArray(data=[shown]))
        seen._run(WidgetStates(widgets=[old]))
        assert seen.slider[0].value == layer and seen.session_state["layer"] == str(layer)
    for layer in (6, 2):
        standing = seen.slider[0].proto.id
        seen.slider[0].set_value(layer).run()
        assert seen.session_state["layer"] == str(layer) and seen.slider[0].proto.id == standing


def test_move_a_layer_pick_three_wordings_and_click_a_dot(browser: Browser, app: str, tmp_path: Path) -> None:
    page = opened(browser, f"{app}/separability?checkpoint=tiny-sft-period&beside=none&plane=pca&layer=1")
    ready(page)
    card = page.locator(CARD).last
    expect(card).to_contain_text("Layer 1")
    expect(page.get_by_text("none acts")).to_be_visible()
    expect(page.get_by_text("(dashed)")).to_be_visible()

    slider = page.get_by_role("slider")
    slider.focus()
    slider.press("ArrowLeft")
    expect(card).to_contain_text("Layer 0", timeout=PATIENCE)
    page.wait_for_url("**layer=0**", timeout=PATIENCE)

    plane = chart(page, "plane-")
    dots = plane.locator("circle")
    expect(dots).to_have_count(520, timeout=PATIENCE)
    plane.scroll_into_view_if_needed()
    page.wait_for_timeout(1_000)  # until the points have glided to their layer's places
    boxes = dots.evaluate_all("all => all.map(one => one.getBoundingClientRect().toJSON())")
    left, top, right, bottom = three(boxes)
    page.mouse.move(left, top)
    page.mouse.down()
    for corner in ((right, top), (right, bottom), (left, bottom)):
        page.mouse.move(*corner, steps=3)
    page.mouse.up()
    listed = page.get_by_test_id("ivx-wordings").locator("div")
    expect(listed).to_have_count(3, timeout=PATIENCE)
    picked = listed.all_text_contents()
    assert all(len(text.split()) > 3 for text in picked)
    expect(plane.locator("circle.chosen")).to_have_count(3)
    for count in (4, 3):  # a click picks a point; with shift it is added, and let go again
        page.keyboard.down("Shift")
        page.mouse.click(*loneliest(boxes))
        page.keyboard.up("Shift")
        expect(listed).to_have_count(count, timeout=PATIENCE)
    expect(listed).to_have_text(picked, timeout=PATIENCE)
    page.wait_for_url("**lasso=**", timeout=PATIENCE)

    page.locator("[class*='st-key-headline-'] path[aria-label*='attn_out L5:']").first.click(timeout=PATIENCE)
    expect(card).to_contain_text("Layer 5", timeout=PATIENCE)
    expect(card).to_contain_text("attn_out.5@0~-1")
    page.wait_for_url("**component=attn_out**layer=5**", timeout=PATIENCE)
    ready(page)
    marked = chart(page, "bells").locator("text").filter(has_text="L5")
    expect(marked).to_have_css("font-weight", "700", timeout=PATIENCE)
    outlined = chart(page, "acts-").locator("path[aria-label*='selected: true'], path[stroke-width='2.2']")
    expect(outlined).to_have_count(1, timeout=PATIENCE)
    expect(page.get_by_text("Wordings, layer 5")).to_be_visible()
    expect(listed).to_have_text(picked, timeout=PATIENCE)  # the same wordings, seen in another component

    page.get_by_role("button", name="Erase what is read, patch the rest").click()
    expect(card).to_contain_text("without as much at random", timeout=LONG)

    other = opened(browser, page.url)
    ready(other)
    expect(other.locator(CARD).last).to_contain_text("attn_out.5@0~-1", timeout=PATIENCE)
    expect(other.locator(CARD).last).to_contain_text("without as much at random", timeout=PATIENCE)
    expect(other.get_by_test_id("ivx-wordings").locator("div")).to_have_text(picked, timeout=PATIENCE)
    assert outside(page) == outside(other) == []
    page.get_by_role("button", name="Export").click()
    with page.expect_download(timeout=PATIENCE) as caught:
        page.get_by_text("SVG, read against act").click()
    caught.value.save_as(tmp_path / "headline.svg")
    assert "What is read against what acts" in (tmp_path / "headline.svg").read_text(encoding="utf-8")
    page.keyboard.press("Escape")
    run = page.locator(".ivx-trust code").last.inner_text()
    other.goto(f"{app}/separability?run={run}&layer=3")
    expect(other.get_by_text(f"Run {run}: tiny-sft-period")).to_be_visible(timeout=PATIENCE)
    expect(other.get_by_text("Predicted task, layer 3")).to_be_visible(timeout=PATIENCE)
    other.close()
    page.close()
