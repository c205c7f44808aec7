"""A real family's Overview and lesson, on a stand-in of embedded checkpoints whose runs are made by the same code."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from ivx.analyses.compare.text import says
from ivx.analyses.place.drawing import acting
from ivx.analyses.place.result import Place
from ivx.charts.numbers import signed
from ivx.jobs import shipped
from ivx.models.registry import REAL_RUNS
from ivx.store.store import Store
from ivx.taught import runs
from ivx.ui.kit import family as kit
from ivx.ui.lessons import learnt
from ivx.ui.lessons.guesses import Truth
from ivx.ui.lessons.score import GUESSES
from tests.support.families import TOY

TASK = TOY.tasks[0]


@pytest.fixture(scope="module")
def found() -> dict[str, Place]:
    """The stand-in's places, stored where the pages look, and its exchange beside them."""
    maker = runs.Maker(Store(), lambda _: None)
    places = {name: maker.answer(TOY.place(name, TASK)) for name in TOY.names}
    at = runs.place_of(maker, TOY)
    vectors = {name: maker.answer(TOY.vectors(name, TASK, at)).run_id for name in TOY.names}
    for _, donor, receiver in TOY.keys(TASK):
        maker.answer(TOY.transplant(receiver, TASK, at, vectors=vectors[donor]))
    return places


def overview() -> None:
    import streamlit as st

    from ivx.charts.palette import LIGHT
    from ivx.ui.overview import family
    from tests.support.families import TOY

    asked = family.Asked(TOY, st.query_params.get("checkpoint", TOY.subject), TOY.tasks[0], "contrast")
    family.show(asked, LIGHT)


def lesson() -> None:
    from ivx.charts.palette import LIGHT
    from ivx.ui.lessons import page, score, stories
    from tests.support.families import TOY

    stories.STORIES = score.STORIES = page.STORIES = (stories.learnt_by(TOY),)
    stories.story.cache_clear()
    page.show(LIGHT)


def absent() -> None:
    from dataclasses import replace

    from ivx.charts.palette import LIGHT
    from ivx.ui.lessons import page, score, stories
    from tests.support.families import TOY

    stories.STORIES = score.STORIES = page.STORIES = (stories.learnt_by(replace(TOY, subject="nowhere")),)
    stories.story.cache_clear()
    page.show(LIGHT)


def soon(look: Callable[[], Any]) -> Any:
    """What is stored, once it is found: a page does not wait for long, and looks again."""
    until = time.monotonic() + 30
    while (found := look()) is None and time.monotonic() < until:
        time.sleep(0.1)
    return found


def shown(page: AppTest) -> str:
    assert not page.exception
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", " ".join(part.proto.body for part in page.get("html"))))


def test_the_overview_says_what_the_stored_runs_say(found: dict[str, Place]) -> None:
    text = shown(AppTest.from_function(overview, default_timeout=120).run())
    place, at = found[TOY.subject].found(), soon(lambda: kit.anchored(TOY))
    assert place is not None and at is not None and place.kind == "place"
    best = place.best
    assert f"{signed(best.value, 2)} logits [{signed(best.low, 2)}, {signed(best.high, 2)}]" in text
    readers = found[TOY.subject].readers()
    assert readers is not None and kit.blocks(readers) in text
    exchange = soon(lambda: kit.exchanged(TOY, TASK, at))
    assert exchange is not None and says(exchange.changes()[0].parts) in text


def test_the_bars_are_the_confirming_samples_alone(found: dict[str, Place]) -> None:
    result = found[TOY.subject]
    place, rows = result.found(), result.table.to_pylist()
    assert place is not None
    chosen = set(result.parts.confirming)
    pair = result.best[0].pair

    def mean(patch: str) -> float:
        own = [
            r["logit"] - r["contrast"]
            for r in rows
            if (r["role"], r["patch"]) == ("effect", patch) and r["sample"] in chosen
        ]
        bare = [
            r["logit"] - r["contrast"]
            for r in rows
            if (r["role"], r["patch"]) == ("effect", "") and r["sample"] in chosen
        ]
        return float(np.mean(own) - np.mean(bare))

    for bar in acting(place):
        address = f"resid_post.{bar.layer}@{result.columns[pair.column].position}~{pair.source}"
        assert bar.value == pytest.approx(mean(address), abs=1e-9)


def test_a_checkpoint_without_a_stored_search_offers_one() -> None:
    page = AppTest.from_function(overview, default_timeout=120)
    page.query_params["checkpoint"] = "tiny-dpo"
    text = shown(page.run())
    assert "The place is searched for on tiny-dpo" in text
    assert [button.label for button in page.button] == ["Search for the place"]


def test_the_lesson_asks_before_it_shows(found: dict[str, Place]) -> None:
    at = soon(lambda: kit.anchored(TOY))
    exchange = None if at is None else soon(lambda: kit.exchanged(TOY, TASK, at))
    assert exchange is not None
    results: dict[str, Any] = {"place": found[TOY.subject], "before": found[TOY.names[0]]}
    results |= {f"{donor} in {receiver}": one for (_, donor, receiver), one in exchange.transplants.items()}
    rules: list[Callable[..., Truth]] = [learnt.follows, learnt.taken_from, learnt.read_by, learnt.WhoLearnt(TOY)]
    for step, rule in enumerate(rules):
        truth = rule(results)
        said = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", truth.said))
        page = AppTest.from_function(lesson, default_timeout=120)
        page.query_params.update({"lesson": "learnt", "step": str(step + 1)})
        page.session_state[GUESSES] = {("learnt", step): next(iter(truth.best))}
        assert said not in shown(page.run())
        next(button for button in page.button if button.label == "Reveal").click().run()
        assert said in shown(page) and "+2" in shown(page)


def test_the_lesson_says_how_runs_are_had_that_are_not_here() -> None:
    page = AppTest.from_function(absent, default_timeout=120)
    page.query_params.update({"lesson": "learnt"})
    assert "python -m ivx.taught runs" in shown(page.run())


def test_runs_of_the_stand_in_ship_and_come_back(
    found: dict[str, Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = found[TOY.subject]
    run = Store().find(result.run_id)
    assert run is not None
    table = shipped.cut(result.table, 1)
    numbers = shipped.tokens_in(table)
    to = shipped.ship(run, tmp_path / "runs", table=table, tokens={n: f"token {n}" for n in numbers})
    assert to.stat().st_size < 400_000
    monkeypatch.setattr(shipped, "REAL_RUNS", tmp_path / "runs")
    store = Store(tmp_path / "store")
    back = shipped.adopted(store, result.run_id)
    assert back is not None and back.receipt is not None
    kept = ["role", "patch", "sample", "logit", "contrast", "rank"]
    again = back.table(("role", "site", "patch", "sample"))
    assert again is not None and again.select(kept).equals(result.table.select(kept))
    assert shipped.texts_of(store, result.run_id)[str(numbers[0])] == f"token {numbers[0]}"
    assert {len(ids) for ids in again["top_ids"].to_pylist() if ids is not None} == {1}


def test_a_run_is_named_by_its_id_alone() -> None:
    assert not shipped.is_shipped("../runs/" + "a" * 12)


@pytest.mark.skipif(not REAL_RUNS.is_dir(), reason="`python -m ivx.taught runs` was not run yet")
def test_the_real_family_is_drawn_without_weights_and_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from ivx.analyses.family import REAL; from ivx.jobs.compute import id_of, stored\n"
        "from ivx.jobs.shipped import is_shipped; from ivx.store.store import Store; store = Store()\n"
        "at = stored(store, REAL.anchor).at\n"
        "for one in (*REAL.before(), *REAL.there(at)): assert is_shipped(id_of(store, one)), one\n"
        "for task in REAL.tasks:\n"
        "  runs = {name: id_of(store, REAL.vectors(name, task, at)) for name in REAL.names}\n"
        "  for _, donor, name in REAL.keys(task):\n"
        "    assert stored(store, REAL.transplant(name, task, at, vectors=runs[donor])) is not None\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"IVX_CACHE": str(tmp_path)}, cwd=Path.cwd())
    assert sum(path.stat().st_size for path in REAL_RUNS.glob("*")) <= 8_000_000
