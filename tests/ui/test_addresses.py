"""Whatever stands in the address bar, a page is drawn."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect
from streamlit.testing.v1 import AppTest

from ivx.models.registry import EMBEDDED
from ivx.ui import frame
from tests.support.browser import PATIENCE, go, opened, serving

APP = Path(__file__).parents[2] / "app.py"
KEYS = ("layer", "graft", "take", "put", "samples", "alpha", "pair", "cell", "wordings", "checkpoint", "task", "metric")


@pytest.mark.parametrize("page", sorted(path.stem for path in frame.PAGES.glob("[a-z]*.py")))
def test_a_page_outlives_numbers_that_are_none(page: str) -> None:
    for asked in ("²", "٣", "9" * 400):
        at = AppTest.from_file(str(APP), default_timeout=90)
        for key in KEYS:
            at.query_params[key] = asked
        at.switch_page(str((frame.PAGES / f"{page}.py").relative_to(APP.parent))).run()
        assert not at.exception, (page, asked, at.exception[0].message)


OTHERS = {"overview", "lessons", "glossary", "training", "atlas", "runs"}
OWN = {path: title for held in frame.MENUS.values() for path, title in held.items() if path not in OTHERS}
"""Pages on which one checkpoint is chosen, with their titles."""


def shows(page: Page, path: str) -> None:
    """The page of this address stands, with the own checkpoint chosen on it, and says nothing of any other."""
    page.wait_for_url(re.compile(f"/{path}[?].*checkpoint=[^&]*mine"), timeout=PATIENCE)
    expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_visible(timeout=PATIENCE)
    control = page.get_by_role("combobox", name="Open here" if path == "checkpoints" else "Checkpoint").first
    expect(control).to_have_value(re.compile("mine$"), timeout=PATIENCE)
    expect(page.get_by_text("is not open")).to_have_count(0)


@pytest.mark.browser
@pytest.mark.slow
def test_an_own_checkpoint_stays_through_a_link_back_forward_and_reload(browser: Browser, tmp_path: Path) -> None:
    shutil.copytree(EMBEDDED / "tiny-sft", tmp_path / "mine")
    asked = quote(str(tmp_path / "mine"), safe="")
    with serving(IVX_ROOTS=str(tmp_path), IVX_CACHE=str(tmp_path / "store"), HOME=str(tmp_path)) as app:
        for path in OWN:  # each link in a session of its own, which has not heard of the checkpoint
            page = opened(browser, f"{app}/{path}?checkpoint={asked}")
            shows(page, path)
            page.reload()
            shows(page, path)
            page.close()
        paths = ["checkpoints", *(path for path in OWN if path != "checkpoints")]
        page = opened(browser, f"{app}/checkpoints?checkpoint={asked}")
        shows(page, "checkpoints")
        for path in paths[1:]:
            page.wait_for_timeout(1_500)  # as somebody does who looks at it: an address may be completed late
            go(page, OWN[path])
            shows(page, path)
        for path in paths[-2::-1]:
            page.go_back()
            shows(page, path)
        for path in paths[1:]:
            page.go_forward()
            shows(page, path)
        page.reload()
        shows(page, paths[-1])
        page.close()
