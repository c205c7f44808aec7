"""Back, Forward, reload and a link lead to what was on the screen."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import CARD, PATIENCE, finished, go, opened, pick

pytestmark = pytest.mark.browser
IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"


def stepped(page: Page, step: str, url: str) -> None:
    """Go Back, Forward or load again; the address is then this one, and the page has answered to it."""
    {"back": page.go_back, "forward": page.go_forward, "reload": page.reload}[step]()
    page.wait_for_url(url, timeout=PATIENCE)
    expect(page.locator(IDLE)).to_be_visible(timeout=PATIENCE)


def test_the_browser_steps_through_what_was_done(browser: Browser, app: str) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(f"{app}/effects?checkpoint=tiny-sft&task=animal/colour")
    finished(page)
    card, metric = page.locator(CARD).first, page.get_by_role("combobox", name="Metric")
    urls = [page.url]
    for layer, column in ((4, 2), (2, 1)):
        page.locator(f"path[aria-label*='column: {column}'][aria-label*='layer: {layer}']").first.click()
        expect(card).to_contain_text(f"Layer {layer}", timeout=PATIENCE)
        page.wait_for_url(f"**cell=resid_post.{layer}*", timeout=PATIENCE)
        urls.append(page.url)
    pick(page, "Metric", "log-prob")
    page.wait_for_url("**metric=logprob*", timeout=PATIENCE)
    urls.append(page.url)
    go(page, "Runs")
    expect(page.get_by_role("heading", name="What was computed")).to_be_visible(timeout=PATIENCE)

    for k, (layer, named) in ((3, (2, "log-prob")), (2, (2, "contrast")), (1, (4, "contrast"))):
        stepped(page, "back", urls[k])
        expect(card).to_contain_text(f"Layer {layer}", timeout=PATIENCE)
        expect(metric).to_have_value(named, timeout=PATIENCE)
    stepped(page, "back", urls[0])
    expect(card).not_to_contain_text("Layer 4", timeout=PATIENCE)
    stepped(page, "forward", urls[1])
    expect(card).to_contain_text("Layer 4", timeout=PATIENCE)
    stepped(page, "reload", urls[1])
    expect(card).to_contain_text("Layer 4", timeout=PATIENCE)
    stepped(page, "back", urls[0])
    page.close()


METRIC = ("Metric", {"contrast": "contrast", "logprob": "log-prob"})
CHOICES = [
    ("overview", *METRIC),
    *(pytest.param(name, *METRIC, marks=pytest.mark.slow) for name in ("place", "training")),
    pytest.param("interactions", "Show", {"j": "J, the interaction", "both": "effect of both"}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "label", "words"), CHOICES)
def test_a_choice_is_undone_and_done_again(
    browser: Browser, app: str, name: str, label: str, words: dict[str, str]
) -> None:
    page = opened(browser, f"{app}/{name}?checkpoint=tiny-sft&task=animal/colour&game=stream")
    choice = page.get_by_role("combobox", name=label)
    (usual, before), (other, after) = words.items()
    expect(choice).to_have_value(before, timeout=PATIENCE)
    expect(page.locator(IDLE)).to_be_visible(timeout=PATIENCE)
    pick(page, label, after)
    page.wait_for_url(f"**={other}*", timeout=PATIENCE)
    then = page.url
    first = then.replace(f"={other}", f"={usual}")
    for step, url, named in (("back", first, before), ("forward", then, after), ("reload", then, after)):
        stepped(page, step, url)
        expect(choice).to_have_value(named, timeout=PATIENCE)
    page.close()


def test_a_run_stays_chosen_while_the_list_goes_on(browser: Browser, app: str) -> None:
    page, other = opened(browser, f"{app}/effects?checkpoint=tiny-sft&task=animal/colour"), browser.new_page()
    finished(page)
    page.goto(f"{app}/runs")
    table = page.locator("[data-testid=stDataFrame]")
    expect(table).to_be_visible(timeout=PATIENCE)
    expect(page.locator(IDLE)).to_be_visible(timeout=PATIENCE)
    box = table.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 15, box["y"] + 38 + 17)
    page.wait_for_url("**chosen=*", timeout=PATIENCE)
    run = page.url.rpartition("=")[2]
    head = page.get_by_text(f"Run {run}")
    expect(head).to_be_visible(timeout=PATIENCE)
    other.goto(f"{app}/effects?checkpoint=tiny-dpo&task=animal/colour")  # the last used is first in a new list
    finished(other)
    page.get_by_role("button", name="Pin").click()
    expect(page.get_by_role("button", name="Unpin")).to_be_visible(timeout=PATIENCE)
    expect(head).to_be_visible()
    stepped(page, "reload", page.url)
    expect(head).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_role("button", name="Unpin")).to_be_visible(timeout=PATIENCE)
    page.close()
    other.close()
