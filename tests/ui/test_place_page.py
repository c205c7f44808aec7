"""The Place page, and every page opening at the place that was found, unless the address or the user names another."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from streamlit.testing.v1 import AppTest

import ivx
from ivx.analyses.place.looked import best_look, look
from ivx.analyses.place.result import Place
from ivx.jobs.worker import worker
from ivx.models.load import load
from ivx.models.registry import EMBEDDED
from ivx.ui.kit.address import OTHERS
from tests.support.browser import PATIENCE, outside
from tests.support.browser import opened as page_opened
from tests.support.pages import plain
from tests.support.recommending import keep

APP = Path(__file__).parents[2] / "app.py"
TWIN, TASK = "tiny-sft-period", "animal/colour"


@pytest.fixture(scope="module")
def found() -> Iterator[Place]:
    result = ivx.place(load(TWIN), TASK)
    keep(worker().store, result)
    yield result
    worker().store.delete(result.run_id)


def opened(page: str, **told: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=240).switch_page(f"ivx/ui/pages/{page}.py")
    for key, value in {"checkpoint": TWIN, "task": TASK, **told}.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    return app


def said(app: AppTest) -> str:
    return plain(" ".join(one.proto.body for one in app.get("html")))


AT = {
    "effects": {"source": "keyword"},
    "interactions": {"from": "keyword", "at": "field"},
    "separability": {"source": "keyword", "put": "field"},
    "training": {"from": "keyword", "at": "field"},
    "pathways": {"patch-from": "keyword", "patch-at": "field"},
}
FAMILY = {"training": {"family": "own choice", "checkpoints": f"tiny-sft,{TWIN}"}}


@pytest.mark.parametrize("page", AT)
def test_a_page_opens_at_the_place_and_goes_back_by_a_click(page: str, found: Place) -> None:
    assert found.at is not None and (found.at.source_token, found.at.position) == ("keyword", "field")
    app = opened(page, **FAMILY.get(page, {}))
    now = {key: app.session_state[key] for key in AT[page]}
    assert now == AT[page] and "At the place found: keyword → “:”" in said(app)
    app.button("placed-otherwise").click().run()
    assert not any(app.session_state[key] == value for key, value in AT[page].items())
    assert "Not at the place found: keyword" in said(app) and app.query_params["placed"] == "published"
    app.button("placed-otherwise").click().run()
    assert {key: app.session_state[key] for key in AT[page]} == AT[page]


def test_what_the_address_names_stays_and_another_task_is_as_published(found: Place) -> None:
    app = opened("effects", source="t_inst")
    assert app.session_state["source"] == "t_inst" and "Not at the place found" in said(app)
    app = opened("effects")
    app.selectbox("task").set_value("animal/can-fly").run()
    assert app.session_state["source"] == "t_inst" and "the place found" not in said(app)
    app.selectbox("task").set_value(TASK).run()
    assert app.session_state["source"] == "keyword"


def test_the_cell_of_the_place_is_selected(found: Place) -> None:
    assert found.at is not None
    app = opened("effects")
    until = time.monotonic() + 120
    while 'data-testid="ivx-card"' not in said(app) and time.monotonic() < until:
        time.sleep(0.5)
        app.run()
    column = found.columns[found.best[0].pair.column]
    assert f"Layer {found.at.layer}, token {column.label}" in said(app)


@pytest.mark.parametrize("page", [*AT, "bench", "overview"])
def test_without_a_search_nothing_changes(page: str) -> None:
    app = opened(page, checkpoint="tiny-dpo", task="animal/can-fly")
    assert "the place found" not in said(app).lower() and "placed" not in app.query_params


def test_the_page_says_what_was_found_and_who_reads_it(found: Place) -> None:
    app = opened("place")
    text, place = said(app), found.found()
    assert place is not None and f"{place.best.value:+.1f}</b> logits" in text and "queries that chose nothing" in text
    readers = found.readers()
    assert readers is not None and f"<b>{readers.blocks[0]}</b>" in text


def test_a_card_shows_the_rows_behind_a_strip(found: Place) -> None:
    pair, layer = best_look(found) or pytest.fail("a place was found")
    shown, place = look(found, pair, layer, "contrast"), found.found()
    assert shown is not None and place is not None and shown.confirmed
    assert shown.effect.value == pytest.approx(place.best.value) and shown.followed[1] == pytest.approx(place.followed)
    assert {name: one.mean for name, one in place.best.against.items()} == pytest.approx(
        {name: one.value for name, one in shown.controls.items()}
    )
    rows = [row["effect"] for row in shown.detail]
    assert sum(rows) / len(rows) == pytest.approx(shown.effect.value)
    assert [found.samples.rows[row["sample"]].query for row in shown.detail] == [row["query"] for row in shown.detail]
    tried = next(p for p in found.panels() if p.pair.column != pair.column and p.pair.source == "first")
    coarse = look(found, tried.pair, tried.layers[-1], "contrast")
    assert coarse is not None and not coarse.confirmed
    assert coarse.effect.value == pytest.approx(tried.effect[-1])
    assert look(found, tried.pair, 2, "contrast") is None, "a layer that the coarse search left out"


def test_a_checkpoint_never_looked_at_is_offered_the_search_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IVX_ROOTS", str(tmp_path))
    shutil.copytree(EMBEDDED / "tiny-base", tmp_path / "new")
    app = AppTest.from_file(str(APP), default_timeout=240).switch_page("ivx/ui/pages/effects.py")
    app.session_state[OTHERS] = [(str(tmp_path / "new"), "auto", "auto", "auto")]
    app.session_state["checkpoint"] = str(tmp_path / "new")
    until, labels = time.monotonic() + 60, []
    while "Search for the place" not in labels and time.monotonic() < until:  # the store is searched first
        assert not app.run().exception
        labels = [button.label for button in app.button if button.label != "Controls"]
    assert labels.index("Search for the place") < labels.index("Run the maps")
    assert "Nobody has looked" in said(app)


@pytest.mark.browser
def test_a_click_on_a_step_opens_its_heads(browser: Browser, app: str) -> None:
    page = page_opened(browser, f"{app}/place?checkpoint={TWIN}&task={TASK}&metric=contrast")
    expect(page.get_by_text("Who reads it")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("click a step of the curve")).to_be_visible(timeout=PATIENCE)
    page.locator("path[aria-label*='this block reads']").first.click()
    expect(page.get_by_text("Heads of block")).to_be_visible(timeout=PATIENCE)
    page.wait_for_url("**block=**", timeout=PATIENCE)
    heads = page.locator("[data-testid=ivx-heads]")
    expect(heads).to_contain_text("head 0", timeout=PATIENCE)
    expect(heads.locator("tr")).to_have_count(8)
    assert outside(page) == []
    page.close()


def test_further_questions_under_a_place_are_asked_side_by_side(found: Place) -> None:
    app = opened("place", through="heads", crossed="4")  # both under way: each has buttons of its own
    until = time.monotonic() + 200
    while not ("passes through" in (text := said(app)) and "Its variance comes from" in text):
        assert time.monotonic() < until, text[-600:]
        time.sleep(0.3)
        app.run()
        assert not app.exception
