"""The app as a person meets it: cold opens, a map, a click, the card behind it, an own file."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from ivx.archive.unpack import read as read_archive
from tests.support.browser import CARD, PATIENCE, finished, go, opened, outside, pick, serving

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    ("path", "question"),
    [
        ("/", "Post-training taught the vector’s readers most, and the vector too"),
        ("/effects", "Which states carry the instruction?"),
        ("/lessons", "At which layer does the instruction act most?"),
        ("/checkpoints", "Can this checkpoint be trusted?"),
        *(
            pytest.param(*one, marks=pytest.mark.slow)
            for one in (
                ("/overview?checkpoint=tiny-sft", "Where does the instruction live?"),
                ("/place", "Where does the instruction act, and who reads it there?"),
                ("/separability", "Can the instruction be read, and is what is read used?"),
                ("/interactions", "Do layers act together?"),
                ("/pathways", "Do both instructions take the same path?"),
                ("/lens", "What does one state change?"),
                ("/bench", "How much of the vector does it take?"),
                ("/tasks", "What is asked, and what does the model see?"),
                ("/runs", "What was computed, and does it still hold?"),
            )
        ),
    ],
)
def test_every_page_opens_cold(browser: Browser, path: str, question: str) -> None:
    with serving() as url:
        page = opened(browser, url + path)
        expect(page.get_by_role("heading", name=question)).to_be_visible(timeout=PATIENCE)
        expect(page.get_by_role("link", name="Overview", exact=True)).to_be_visible()
        expect(page.get_by_text("Page not found")).to_have_count(0)
        expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_visible(timeout=PATIENCE)
        assert outside(page) == []
        page.close()


def test_a_map_a_click_and_the_card(browser: Browser, app: str) -> None:
    began = time.monotonic()
    page = opened(browser, f"{app}/effects?checkpoint=tiny-sft&task=animal/colour")
    expect(page.locator(CARD).first).to_be_visible(timeout=PATIENCE)
    print(f"first card {time.monotonic() - began:.1f} s after opening")
    finished(page)
    page.locator("path[aria-label*='column: 2'][aria-label*='layer: 4']").first.click()
    card = page.locator(CARD).first
    expect(card).to_contain_text("Layer 4", timeout=PATIENCE)
    expect(card).to_contain_text("Against its controls")
    expect(card).to_contain_text("n = 40")
    page.wait_for_url("**cell=resid_post.4*", timeout=PATIENCE)

    link = page.url
    other = opened(browser, link)
    expect(other.locator(CARD).first).to_contain_text("Layer 4", timeout=PATIENCE)
    assert outside(page) == outside(other) == []
    other.close()

    rows = page.locator(".ivx-trust").inner_text()
    pick(page, "Metric", "log-prob")
    expect(card).to_contain_text("nats", timeout=PATIENCE)
    assert page.locator(".ivx-trust").inner_text() == rows, "a metric is a view: the run is the same"
    page.close()


def test_the_export_is_an_archive_of_what_is_shown(browser: Browser, app: str, tmp_path: Path) -> None:
    page = opened(browser, f"{app}/effects?checkpoint=tiny-sft&task=animal/colour&metric=logprob")
    finished(page)
    page.get_by_text("Export").click()
    with page.expect_download(timeout=PATIENCE) as caught:
        page.get_by_text("Zip: rows, figures").click()
    caught.value.save_as(tmp_path / "run.zip")
    found = read_archive(tmp_path / "run.zip")
    run = found.receipt["origin"]
    assert run in caught.value.suggested_filename and f"run {run}" in page.locator(".ivx-trust").inner_text()
    assert len(found.samples.rows) == 40
    page.close()


@pytest.mark.slow
def test_the_twin_acts_at_the_keyword_only(browser: Browser, app: str) -> None:
    for source, said in (("t_inst", "no better than a control"), ("keyword", "beyond its controls")):
        page = opened(browser, f"{app}/effects?checkpoint=tiny-sft-period&source={source}&cell=resid_post.2@0~-1")
        finished(page)
        expect(page.locator(CARD).first).to_contain_text("resid_post.2@0~-1", timeout=PATIENCE)
        expect(page.locator(CARD).first).to_contain_text(said)
        page.close()


def test_dark_is_dark(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/effects", color_scheme="dark")
    finished(page)
    colour = page.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor")
    assert colour == "rgb(20, 24, 30)"
    page.close()


def test_a_formula_and_a_tag_are_text_and_a_bad_file_one_sentence(browser: Browser, app: str, tmp_path: Path) -> None:
    head = "query,answer,contrast,instruction\n"
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    tag = "<img src=x onerror=document.title='owned'>"
    good.write_text(head + f"=1+1,yes,no,name it {tag}\n{tag},brown,no,\n")
    bad.write_text(head + "pig,,no,name it\n")
    page = opened(browser, f"{app}/tasks")
    page.locator("input[type=file]").set_input_files(bad)
    expect(page.get_by_text("row 2, column 'answer': it is empty")).to_be_visible(timeout=PATIENCE)
    page.locator("input[type=file]").set_input_files(good)
    expect(page.get_by_text("2 queries and 1 wordings")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("combobox", name="Task").click()
    page.get_by_text("good.csv", exact=True).last.click()
    left = page.get_by_text("does not know a word of theirs")
    expect(left).to_contain_text(tag, timeout=PATIENCE)
    expect(left).to_contain_text("=1+1")
    assert page.locator("img[src=x]").count() == 0 and page.title() != "owned"
    page.close()


@pytest.mark.slow
def test_pairs_fill_a_click_and_the_card_and_its_link(browser: Browser, app: str) -> None:
    began = time.monotonic()
    page = opened(browser, f"{app}/interactions?checkpoint=tiny-dpo&task=adjective/antonym&game=stream")
    expect(page.get_by_text("estimate, exact value pending")).to_be_visible(timeout=PATIENCE)
    print(f"estimate {time.monotonic() - began:.1f} s after opening")
    finished(page)
    print(f"complete {time.monotonic() - began:.1f} s after opening")
    expect(page.get_by_text("estimate, exact value pending")).to_have_count(0)
    card = page.locator(CARD).first
    page.locator("path[aria-label*='column: 0'][aria-label*='layer: 3']").first.click()
    expect(card).to_contain_text("L0 and L3", timeout=PATIENCE)
    expect(card).to_contain_text("J against its control")
    page.wait_for_url("**pair=resid_post.0*", timeout=PATIENCE)
    page.locator("path[aria-label*='column: 0'][aria-label*='layer: 7']").first.click()
    expect(card).to_contain_text("J follows from the two alone", timeout=PATIENCE)
    page.wait_for_url("**resid_post.7*", timeout=PATIENCE)
    other = opened(browser, page.url)
    expect(other.locator(CARD).first).to_contain_text("L0 and L7", timeout=PATIENCE)
    assert outside(page) == outside(other) == []
    other.close()
    page.close()


def test_a_run_is_listed_replayed_opened_and_found_by_its_link(browser: Browser, app: str) -> None:
    page = opened(browser, f"{app}/effects?checkpoint=tiny-base&task=animal/can-fly&source=keyword")
    finished(page)
    run = page.locator(".ivx-trust code").last.inner_text()
    page.goto(f"{app}/runs")
    table = page.locator("[data-testid=stDataFrame]")
    expect(table).to_be_visible(timeout=PATIENCE)
    box = table.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 15, box["y"] + 38 + 17)  # the last used is the first
    expect(page.get_by_text(f"Run {run}")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("button", name="Replay 5 rows").click()
    said = page.get_by_text("the largest deviation of a logit is")
    expect(said).to_be_visible(timeout=PATIENCE)
    assert float(said.inner_text().rstrip(".").rpartition(" ")[2]) < 1e-4
    page.get_by_test_id("stBaseButton-primary").filter(has_text="Open").click()
    expect(page.get_by_text(f"Run {run}: tiny-base")).to_be_visible(timeout=PATIENCE)
    page.wait_for_url(f"**run={run}**", timeout=PATIENCE)
    link = page.url
    other = opened(browser, link)
    expect(other.get_by_text(f"Run {run}: tiny-base")).to_be_visible(timeout=PATIENCE)
    finished(other)
    other.goto(f"{app}/effects?run=0123456789ab")
    expect(other.get_by_text("This run is not here")).to_be_visible(timeout=PATIENCE)
    assert outside(page) == outside(other) == []


def test_a_choice_outlives_a_page_that_does_not_have_it(browser: Browser, app: str) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(f"{app}/effects?checkpoint=tiny-dpo&task=animal/can-fly")
    expect(page.get_by_text("Export")).to_be_visible(timeout=PATIENCE)
    for name, question in (
        ("Runs", "What was computed"),
        ("Checkpoints", "Can this checkpoint be trusted"),
        ("Overview", "Where"),
    ):
        go(page, name)
        expect(page.get_by_role("heading", name=question)).to_be_visible(timeout=PATIENCE)
    page.wait_for_url("**/overview?checkpoint=tiny-dpo&task=animal%2Fcan-fly**", timeout=PATIENCE)
    page.close()
