"""The view *vector or reader*: what it says is what the library finds, and its place stands in the address."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import ivx
from ivx.analyses.compare.text import says
from ivx.charts.numbers import signed
from ivx.models.registry import EMBEDDED
from tests.support.pages import plain

TASKS = ["animal/colour", "animal/can-fly"]
VIEW = {"checkpoints": "tiny-base,tiny-sft", "task": TASKS[0], "show": "exchange", "also": TASKS[1]}
ROWS = 200
"""Of one transplant: 40 samples, untouched, and at two layers the vector and its control."""
PLACE = {"from": "keyword", "at": "mark", "layers": "1-2"}


def training() -> None:
    from ivx.charts.palette import LIGHT
    from ivx.ui.training import page

    page.show(page.controls(), LIGHT)


def shown(page: AppTest) -> str:
    return re.sub(r"<[^>]+>", " ", plain(" ".join(part.proto.body for part in page.get("html"))))


def finished(page: AppTest, *, transplants: int = 8, seconds: float = 300) -> str:
    """What the page shows when the strip under what is done counts the rows of so many transplants."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        page.run()
        assert not page.exception
        if f" {transplants * ROWS:,} rows" in (text := shown(page)):
            return text
        time.sleep(0.3)
    raise AssertionError(shown(page))


def test_the_page_says_what_the_library_finds_for_each_task() -> None:
    page = AppTest.from_function(training, default_timeout=120)
    page.query_params.update({**VIEW, **PLACE})
    text = finished(page)
    found = ivx.exchange(["tiny-base", "tiny-sft"], TASKS, source_token="keyword", position="mark", layers="1-2")
    for change in found.changes():
        assert says(change.parts) in text
        assert signed(change.parts.interaction.value, 2) in text
    assert "written at the first token behind the query of the bare prompt, layers 1-2, averaged" in text
    assert dict(page.query_params).items() >= (VIEW | PLACE).items()


def test_layers_that_are_none_are_refused_in_words() -> None:
    page = AppTest.from_function(training, default_timeout=120)
    page.query_params.update({**VIEW, **PLACE, "also": "", "layers": "40"})
    until = time.monotonic() + 200
    while "which has 0 to 7" not in shown(page.run()) and time.monotonic() < until:
        assert not page.exception
        time.sleep(0.3)
    assert "layers '40' are none of this checkpoint, which has 0 to 7: name one" in shown(page).replace("&#x27;", "'")
    page.text_input(key="layers").set_value("x").run()
    assert not page.exception and "There are no such layers" in shown(page)


def test_one_click_asks_for_the_vectors_and_for_the_transplants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    shutil.copytree(EMBEDDED / "tiny-sft", own)
    monkeypatch.setenv("IVX_ROOTS", str(tmp_path))
    page = AppTest.from_function(training, default_timeout=120)
    page.query_params.update({**VIEW, **PLACE, "checkpoints": f"tiny-sft,{own}", "also": ""})
    until = time.monotonic() + 200
    while not page.run().button or not any(one.label == "Run the comparison" for one in page.button):
        assert time.monotonic() < until and not page.exception
        time.sleep(0.3)
    next(one for one in page.button if one.label == "Run the comparison").click()
    assert f" {4 * ROWS:,} rows" in finished(page, transplants=4)
