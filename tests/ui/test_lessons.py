"""Lessons: what is true is read off the runs, against a slow recomputation; and a lesson from start to score."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from ivx.analyses.effects.result import Effects
from ivx.analyses.interactions.result import Interactions
from ivx.analyses.registry import analysis_of
from ivx.jobs.worker import Worker
from ivx.patching.roles import role_of, variant
from ivx.patching.table import numbers, rows_of
from ivx.store.store import Store
from ivx.ui.lessons import answers as truths
from ivx.ui.lessons import planted
from ivx.ui.lessons.guesses import EXACT, NEAR, NOWHERE, Ask, Truth, beside, ordered, pair_key
from ivx.ui.lessons.stories import TOGETHER, TOY, TWINS, WHERE
from ivx.ui.lessons.story import Story

PATIENCE = 120_000


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """Every story's results by name: those that came with ivx, the others computed here."""
    worker = Worker(Store(tmp_path_factory.mktemp("store")))
    jobs = {s.key: {name: worker.submit(request) for name, request in s.requests.items()} for s in TOY}
    for some in jobs.values():
        for job in some.values():
            assert job.wait(300) and job.view().state == "done", job.view().message
    yield {key: {name: job.view().result for name, job in some.items()} for key, some in jobs.items()}


def contrast(result: Any, *, role: str, patch: str) -> np.ndarray:
    """The answer's logit minus the contrast answer's, straight from the rows."""
    rows = numbers(rows_of(result.table, role=role, site="resid_post", patch=patch))
    return rows["logit"] - rows["contrast"]


def first(result: Effects, role: str = "effect") -> dict[int, np.ndarray]:
    """Effects of every sample at the first token by layer, by plain subtraction."""
    start = result.samples.rows[0].first
    base = contrast(result, role=role, patch="")
    patches = {layer: variant(role, f"resid_post.{layer}@{start}~-1") for layer in range(result.layers)}
    return {layer: contrast(result, role=role, patch=patch) - base for layer, patch in patches.items()}


def beats(result: Effects) -> dict[int, float]:
    """Mean effect at the first token of the layers that clearly beat 0 and every control, by a plain t."""

    def clear(values: np.ndarray) -> bool:
        return abs(values.mean()) > max(0.05, 3.5 * values.std(ddof=1) / np.sqrt(len(values)))

    mine = first(result)
    controls = [first(result, role_of(name)) for name in result.controls if name != "shuffled"]
    return {
        layer: float(effect.mean())
        for layer, effect in mine.items()
        if clear(effect)
        and all(clear(effect - theirs[layer]) for theirs in controls)
        and all(
            (effect - theirs[layer]).mean() * np.sign(effect.mean()) >= 0.1 * abs(effect.mean()) for theirs in controls
        )
    }


def told(story: Story, found: dict[str, dict[str, Any]]) -> list[Truth]:
    return [step.rule(found[story.key]) for step in story.steps]


def test_where_it_lives_is_read_off_the_rows(found: dict[str, dict[str, Any]]) -> None:
    sft, base = found["where"]["sft"], found["where"]["base"]
    most, never, other = told(WHERE, found)
    acting = beats(sft)
    layer = max(acting, key=lambda k: abs(acting[k]))
    assert most.best == {str(layer)} and most.near == {str(layer - 1), str(layer + 1)}
    assert f"{acting[layer]:+.2f}" in most.said and f"{first(sft, 'control')[layer].mean():+.2f}" in most.said

    beyond = [float((first(one)[layer] - first(one, "control")[layer]).mean()) for one in (base, sft)]
    share = beyond[0] / beyond[1]
    key = "none" if layer not in beats(base) else "less" if share < 0.5 else "most"
    assert never.best == {key} and f"{share:.0%}" in never.said

    share = float(first(sft, "control")[layer].mean() / first(sft)[layer].mean())
    assert other.best == {"none" if share <= 0 else "less" if share < 0.5 else "most"} and f"{share:.0%}" in other.said


def test_the_twin_is_read_and_does_not_act(found: dict[str, dict[str, Any]]) -> None:
    read, way, source = told(TWINS, found)
    rows = found["twin"]["read"].table.to_pylist()
    best = max(row["value"] for row in rows if row["measure"] == "accuracy" and row["layer"] >= 0)
    assert read.best == {"high" if best > 0.9 else "between"} and f"{best:.0%}" in read.said

    stop, keyword = beats(found["twin"]["twin"]), beats(found["twin"]["keyword"])
    strongest = max(stop.values(), key=abs, default=0.0)
    assert way.best == {"none" if not stop else "toward" if strongest > 0 else "away"}
    tops = {"t_inst": max(stop.values(), default=0.0), "keyword": max(keyword.values(), default=0.0)}
    assert source.best == {max(tops, key=lambda name: tops[name]) if max(tops.values()) > 0 else NOWHERE}


def test_what_was_planted_is_read_off_the_runs() -> None:
    """One head of block 2 reads T_inst; in AND it opens a gate; shape's heads carry 7/8 of weight."""
    story = planted.STORY
    runs = {name: analysis_of(asked.kind).answer(asked.checkpoint, asked) for name, asked in story.requests.items()}
    layer, head, work = (step.rule(runs) for step in story.steps)
    assert layer.best == {"1"} and layer.near == {"0", "2"}
    assert head.best == {"task"} and "L2 H2" in head.said and "+8.00" in head.said
    assert work.best == {"most"} and "phantom" in work.said


def test_one_plus_one_is_read_off_the_rows(found: dict[str, dict[str, Any]]) -> None:
    result: Interactions = found["together"]["pairs"]
    both, known, most = told(TOGETHER, found)
    base = contrast(result, role="effect", patch="")
    start = result.samples.rows[0].first
    layers, ran = range(result.layers), set(result.table["patch"].to_pylist())

    def effect(*layers: int) -> float:
        patch = ",".join(f"resid_post.{layer}@{start}~-1" for layer in layers)
        if patch not in ran:  # nothing reads the last layer's token, so nothing moves
            assert layers == (result.layers - 1,)
            return 0.0
        return float((contrast(result, role="effect", patch=patch) - base).mean())

    degenerate = {
        pair for pair in combinations(layers, 2) if ",".join(f"resid_post.{i}@{start}~-1" for i in pair) not in ran
    }
    assert known.best == {pair_key(*pair) for pair in degenerate}
    assert all(result.layers - 1 in pair for pair in degenerate), "nothing reads this token after the last layer"

    j = {p: effect(*p) - effect(p[0]) - effect(p[1]) for p in combinations(layers, 2) if p not in degenerate}
    pair = max(j, key=lambda p: abs(j[p]))
    assert most.best == {pair_key(*pair)} and f"{abs(j[pair]):.2f}" in most.said

    one = max(layers, key=lambda i: abs(effect(i)))
    low, high = (one, one + 1) if one + 1 < result.layers else (one - 1, one)
    better, total, value = max(effect(low), effect(high)), effect(low) + effect(high), effect(low, high)
    room = abs(total - better) / 4
    nearest = "better" if abs(value - better) < abs(value - total) else "sum"
    key = "more" if value > max(total, better) + room else "worse" if value < min(total, better) - room else nearest
    assert both.best == {key} and f"{value:+.2f}" in both.said


def test_where_nothing_acts_nowhere_is_right(found: dict[str, dict[str, Any]]) -> None:
    stop = found["twin"]["twin"]
    assert not beats(stop)
    truth = truths.acts_most({"sft": stop})
    assert truth.best == {NOWHERE} and truth.points(NOWHERE) == EXACT and truth.points("2") == 0
    assert "no layer" in truth.said
    assert truths.never_instructed({"sft": stop, "base": stop}).best == {"none"}


def test_a_guess_is_worth_what_it_is_near() -> None:
    ask = Ask("choice", (("a", "A"), ("b", "B"), ("c", "C")))
    assert [ordered(ask, key) for key in "abc"] == [["b"], ["a", "c"], ["b"]]
    assert set(beside(0, 1, 8)) == {"0-2", "1-2"} and "2-3" in beside(1, 2, 8) and "1-2" not in beside(1, 2, 8)
    assert all(0 <= int(k[0]) < int(k[2]) < 8 for low, high in combinations(range(8), 2) for k in beside(low, high, 8))
    truth = Truth(frozenset({"a"}), frozenset({"b"}), "", (), {})
    assert [truth.points(guess) for guess in ("a", "b", "c", "")] == [EXACT, NEAR, 0, 0]


@pytest.mark.parametrize("story", TOY, ids=lambda story: story.key)
def test_every_truth_is_an_answer_that_can_be_given(story: Story, found: dict[str, dict[str, Any]]) -> None:
    for step, truth in zip(story.steps, told(story, found), strict=True):
        answers = step.ask.answers(8)
        assert truth.best and truth.best | truth.near <= answers.keys() and not truth.best & truth.near
        assert len(truth.best) < len(answers) and truth.said
        assert set(step.needs) | {step.chips} <= story.requests.keys()


@pytest.mark.browser
def test_a_lesson_from_start_to_score(browser: Browser, app: str) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(f"{app}/lessons?lesson=where")
    reveal, card = page.get_by_role("button", name="Reveal"), page.get_by_test_id("ivx-card")
    cell = page.locator("path[aria-label*='column: 0'][aria-label*='layer: 3']").first
    expect(cell).to_be_visible(timeout=PATIENCE)
    expect(reveal).to_be_disabled()
    expect(page.locator("path[aria-label*='state: ok']")).to_have_count(0)
    cell.click()
    expect(page.get_by_role("radio", name="L3")).to_be_checked(timeout=PATIENCE)
    expect(card).to_have_count(0)
    reveal.click()
    expect(card).to_contain_text("of 2 points", timeout=PATIENCE)
    expect(page.locator(".ivx-answers")).to_contain_text("your guess")
    expect(page.locator(".ivx-answers .best")).to_have_count(1)
    expect(page.get_by_text("your guess", exact=True).last).to_be_visible()

    for step, choice in ((2, "at least half"), (3, "at least half")):
        page.get_by_role("button", name="Next").click()
        page.wait_for_url(re.compile(f"step={step}"), timeout=PATIENCE)
        page.get_by_role("radio", name=choice).click()
        expect(reveal).to_be_enabled(timeout=PATIENCE)
        reveal.click()
        expect(card).to_contain_text("of 2 points", timeout=PATIENCE)
    page.get_by_role("button", name="Score").click()
    page.wait_for_url(re.compile("step=score"), timeout=PATIENCE)
    table = page.get_by_test_id("ivx-score")
    expect(table.locator("tr")).to_have_count(3, timeout=PATIENCE)
    got = [int(text.split(" of ")[0]) for text in table.locator("td.num").all_inner_texts()]
    expect(page.locator(".ivx-lede")).to_contain_text(f"{sum(got)} of 6 points")
    expect(page.locator("a[href^='/effects?checkpoint=tiny-sft']")).to_have_count(1)

    page.get_by_role("button", name="Next: Decodable is not causal").click()
    page.wait_for_url(re.compile("lesson=twin&step=1"), timeout=PATIENCE)
    expect(page.get_by_text("Can the instruction be read off a full stop?")).to_be_visible(timeout=PATIENCE)
    page.close()


@pytest.mark.browser
def test_a_link_opens_its_step(browser: Browser, app: str) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(f"{app}/lessons?lesson=twin&step=2")
    expect(page.get_by_text("Does copying the full stop’s state move the answer?")).to_be_visible(timeout=PATIENCE)
    expect(page.locator(".ivx-steps")).to_contain_text("Story 2 of 5 · step 2 of 3")
    page.close()
