"""Rows that a small run and a larger one have in common: found by what makes them, and equal to those computed anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ivx.analyses.effects import EFFECTS
from ivx.analyses.effects.request import EffectsRequest
from ivx.analyses.effects.result import Effects
from ivx.jobs.compute import computed
from ivx.models.model import Model
from ivx.patching import gate
from ivx.store.store import Store
from tests.support.random_models import random_model
from tests.support.tokenizers import tokenizer

TASK = "animal/colour"
ASKED = EffectsRequest("random llama", TASK, sites=("resid_post",), position="first", samples=6, spelling="space")
"""A small run; a random model prefers no spelling, so that one is named."""


@pytest.fixture(scope="module")
def model() -> Model:
    return random_model("llama", tokenizer=tokenizer("bos"))


def rows(found: Effects) -> dict[tuple[str, str, str, int], tuple[float, float]]:
    names = ("role", "site", "patch", "sample", "logit", "contrast")
    every = zip(*(found.table[name].to_pylist() for name in names), strict=True)
    return {(role, site, patch, sample): (one, other) for role, site, patch, sample, one, other in every}


def test_a_full_run_goes_on_from_a_small_one(model: Model, tmp_path: Path) -> None:
    store = Store(tmp_path)
    full = EffectsRequest(model.name, TASK, samples=12, controls=("task", "random", "shuffled"), spelling="space")
    first = computed(store, model, ASKED)
    again = computed(store, model, full)
    alone = computed(Store(tmp_path / "other"), model, full)
    run = store.find(again.run_id)
    assert run is not None and run.receipt is not None
    assert run.receipt["begun_by"] == first.run_id
    # Two roles of six samples: unpatched, and at one position of every layer; told runs are always made.
    assert run.receipt["resumed_rows"] == 2 * 6 * (1 + model.layers)
    mine, theirs = rows(again), rows(alone)
    assert mine.keys() == theirs.keys() and again.table.num_rows == len(mine)
    for name, values in theirs.items():
        assert mine[name] == pytest.approx(values, abs=1e-9)
    for site in alone.maps:
        cells = zip(again.cells(site), alone.cells(site), strict=True)
        assert all(one.patch == other.patch and one.value == pytest.approx(other.value) for one, other in cells)


@pytest.mark.parametrize(
    "changed",
    [{"seed": 1}, {"task": "animal/can-fly"}, {"source_token": "keyword"}, {"demonstrations": 4}],
    ids=lambda one: next(iter(one)),
)
def test_rows_of_other_prompts_are_not_taken(model: Model, tmp_path: Path, changed: dict[str, object]) -> None:
    first = computed(Store(tmp_path), model, ASKED)
    asked = replace(ASKED, samples=12, **changed)  # type: ignore[arg-type]
    found = EFFECTS.steps.shared(model, asked, first)
    assert found is not None
    roles = set(found["role"].to_pylist())
    if "source_token" in changed:  # unpatched bare prompts stay what they are only with their own source
        assert "effect" not in roles
        return
    alone = rows(EFFECTS.compute(model, asked))
    for row in found.select(["role", "site", "patch", "sample", "logit", "contrast"]).to_pylist():
        *name, logit, contrast = row.values()
        assert alone[tuple(name)] == pytest.approx((logit, contrast), abs=1e-9)


def test_a_disturbed_run_takes_nothing_over(model: Model, tmp_path: Path) -> None:
    asked = replace(ASKED, direction="mean")
    found = computed(Store(tmp_path), model, asked)
    assert EFFECTS.steps.shared(model, replace(asked, samples=12), found) is None


def test_few_samples_are_called_small_wherever_they_are_told(model: Model) -> None:
    asked = replace(ASKED, samples=10)
    few = EFFECTS.compute(model, asked)
    more = EFFECTS.compute(model, replace(asked, samples=11))
    said = [
        gate.opening(few.receipt),
        EFFECTS.words.text(few.summary()),
        EFFECTS.words.caption(few, "resid_post", "contrast"),
    ]
    assert all("Small run (n = 10)." in one for one in said)
    assert "Small run" not in EFFECTS.words.text(more.summary())
