"""What stands where a result is not: one card on every page, the true axes of the model, the cost; and a quick look."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from streamlit.testing.v1 import AppTest

from ivx.engine.plan.forecast import Counted, Forecast
from ivx.jobs.worker import worker
from ivx.ui.kit.address import OTHERS
from ivx.ui.kit.blanks import together
from tests.support.random_models import random_model
from tests.support.tokenizers import tokenizer

APP = Path(__file__).parents[2] / "app.py"
LAYERS = 11
PAGES = {
    "effects": 2, "behaviour": 0, "interactions": 2, "place": 1, "pathways": 2, "separability": 2, "lens": 2,
    "training": 6, "overview": 2,
}  # fmt: skip
"""Pages, and how many charts with a row for every layer each has before anything is asked."""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint of one's own on disk, with more layers than the embedded ones."""
    folder = tmp_path_factory.mktemp("own") / "eleven"
    words = tokenizer("bos", 4000)
    sizes: dict[str, Any] = {"num_hidden_layers": LAYERS, "max_position_embeddings": 512}
    random_model("llama", dtype=torch.float32, tokenizer=words, **sizes).hf.save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)


@pytest.fixture(autouse=True)
def allowed(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IVX_ROOTS", str(Path(own).parent))


def opened(page: str, own: str, **told: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=240).switch_page(f"ivx/ui/pages/{page}.py")
    app.session_state[OTHERS] = [(own, "auto", "auto", "auto")]
    for key, value in {"checkpoint": own, **told}.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    return app


def said(app: AppTest) -> str:
    every = [one.proto.body for one in app.get("html")] + [one.value for one in app.markdown]
    return re.sub(r"<[^>]*>", "", " ".join(every))


def until(app: AppTest, there: Callable[[AppTest], bool], *, seconds: float = 240) -> AppTest:
    end = time.monotonic() + seconds
    while not there(app) and time.monotonic() < end:
        time.sleep(0.2)
        app.run()
        assert not app.exception
    assert there(app), said(app)
    return app


def press(app: AppTest, label: str) -> None:
    next(button for button in app.button if button.label == label).click().run()


def main(app: AppTest) -> list[str]:
    return [button.label for button in app.button if button.proto.type == "primary"]


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def rows_in(app: AppTest) -> list[int]:
    """How many rows each chart has whose vertical axis counts layers."""
    found = []
    for one in app.get("vega_lite_chart"):
        spec = json.loads(one.proto.spec)
        domains = [ends for ends in _domains(spec) if len(ends) > 2]
        told = re.search(r", (\d+) layers", spec.get("description", ""))
        found += [len(domains[0])] if domains else [int(told[1])] if told else []
    return found


def _domains(spec: Any) -> Iterator[list[Any]]:
    for key, part in spec.items() if isinstance(spec, dict) else enumerate(spec) if isinstance(spec, list) else ():
        if key == "y" and isinstance(part, dict) and "domain" in (part.get("scale") or {}):
            yield part["scale"]["domain"]
        yield from _domains(part)


@pytest.mark.parametrize("page", PAGES)
def test_an_unasked_page_has_one_card_its_own_axes_and_one_main_button(page: str, own: str) -> None:
    told = {"family": "own choice", "checkpoints": f"{own},{own}"} if page == "training" else {}
    app = until(opened(page, own, **told), lambda one: bool(main(one)))  # the store is searched first
    text = said(app)
    assert "Not measured yet" in text and "nothing asked yet" not in text
    assert len(main(app)) == 1, labels(app)
    assert rows_in(app).count(LAYERS) >= PAGES[page]
    costs = until(app, lambda one: "on this machine" in said(one) or "not forecast" in said(one))
    assert re.search(r"\d rows|\d places|\d prompts", said(costs))


def test_a_refused_page_keeps_its_card_and_a_page_that_is_refused_has_a_heading(own: str) -> None:
    app = until(opened("effects", own, layers="40"), lambda one: "Run the maps" in labels(one))
    press(app, "Run the maps")
    until(app, lambda one: "This cannot be measured" in said(one))
    assert "What to do" in said(app) and "Run again" in labels(app) and "refused" in said(app)
    for page in ("overview", "effects", "interactions", "place", "behaviour", "lens", "bench"):
        app = AppTest.from_file(str(APP), default_timeout=60).switch_page(f"ivx/ui/pages/{page}.py")
        app.query_params["checkpoint"] = "nonsense"
        app.run()
        heads = re.findall(r"<h1[^>]*>(.*?)</h1>", " ".join(one.proto.body for one in app.get("html")))
        assert heads == ["nonsense is not open here"], page


def test_a_game_that_a_task_is_refused_for_names_one_that_can_be_played(own: str) -> None:
    told = {"task": "word/capitalise", "spelling": "capital", "asked": "plain"}
    app = until(opened("interactions", own, **told), lambda one: "Run the pairs" in labels(one))
    press(app, "Run the pairs")
    until(app, lambda one: "This cannot be measured" in said(one))
    assert "is about capitals" in said(app) and "Another task can be played" in said(app)
    (link,) = app.get("page_link")
    assert link.proto.page == "interactions" and "task=adjective%2Fcomparative" in link.proto.query_string


def test_a_quick_look_follows_its_chain_and_is_refined(own: str) -> None:
    app = until(opened("overview", own), lambda one: "Start the quick look" in labels(one))
    until(app, lambda one: "on this machine" in said(one))
    press(app, "Start the quick look")
    until(app, lambda one: "Refine: the full map" in labels(one))
    text = said(app)
    assert "tasks are followed" in text or "No task is followed" in text
    assert "Small run (n = 10)." in text and text.index("Where does that act?") < text.index("A small map there")
    store = worker().store
    mine = [run for run in store.of_kind("effects") if run.asked["request"]["checkpoint"] == own]
    small = next(run for run in mine if run.receipt is not None)
    assert small.asked["request"]["samples"] == 10 and small.asked["request"]["sites"] == ["resid_post"]
    press(app, "Refine: the full map")
    assert "Which states carry the instruction?" in said(app) and "Run the maps" not in labels(app)
    until(
        app,
        lambda one: any(
            run.receipt is not None and run.asked["request"]["samples"] == 40
            for run in store.of_kind("effects")
            if run.asked["request"]["checkpoint"] == own
        ),
    )
    made = [run.receipt for run in store.of_kind("effects") if run.asked["request"]["checkpoint"] == own]
    full = next(receipt for receipt in made if receipt is not None and receipt["samples"] > 10)
    # A random model prefers no spelling: where more samples choose another one, nothing is the same, and none is taken.
    same = json.dumps(full.get("spelling")) == json.dumps(small.receipt.get("spelling"))  # type: ignore[union-attr]
    assert not same or full["begun_by"] == small.id and full["resumed_rows"] >= LAYERS * 10


def test_the_cost_of_many_is_that_of_all_as_far_as_it_is_known() -> None:
    one, two = Forecast(100, 2, 1e9, 0, 1e9, 50.0), Forecast(300, 3, 2e9, 0, 4e9, 250.0)
    told = together([one, two], of=2)
    assert told == ["About 5 min on this machine: 400 rows in 5 passes, 4.0 GB of memory beside the weights."]
    (some,) = together([one, Counted(9)], of=3)
    assert some.startswith("About 50 s") and some.endswith("; that is 1 of 3, others to come.")
    assert together([], of=3) == together([Counted(9)], of=1) == []
