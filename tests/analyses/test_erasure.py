"""Erasure: LEACE against its definition, free vectors against a sweep, and planted effects that go or stay."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from transformers import AutoTokenizer

import ivx
from ivx.analyses.erasure import ERASURE
from ivx.analyses.erasure.compute import fold_of, leace, random_eraser
from ivx.analyses.erasure.request import ErasureRequest
from ivx.analyses.erasure.result import ROWS, Erasure
from ivx.cli.main import main
from ivx.engine.hooks.capture import capture
from ivx.engine.hooks.given import patched
from ivx.engine.plan.forecast import Forecast
from ivx.errors import Cancelled, IvxError
from ivx.jobs.compute import computed, stored
from ivx.jobs.replay import ReplayRequest, replay
from ivx.models.registry import EMBEDDED
from ivx.store.store import Store
from tests.support.examples import made
from tests.support.random_models import random_model

TOKENIZER = AutoTokenizer.from_pretrained(EMBEDDED / "tiny-sft", local_files_only=True)


def labelled_states(n: int, width: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States of three classes with features that covary, their labels, and the labels as columns."""
    draw = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    mixed = draw.normal(size=(n, width)) @ (draw.normal(size=(width, width)) / np.sqrt(width))
    return mixed + 2 * draw.normal(size=(3, width))[labels] + 1, labels, np.eye(3)[labels]


@pytest.mark.parametrize("shrinkage", [False, True])
@pytest.mark.parametrize(("n", "width"), [(300, 12), (60, 200)])
def test_nothing_is_left_to_read(n: int, width: int, shrinkage: bool) -> None:
    states, labels, targets = labelled_states(n, width)
    eraser = leace(states, targets, shrinkage=shrinkage)
    erased = eraser(states)
    assert eraser.rank == 2
    assert np.abs((erased - erased.mean(axis=0)).T @ (targets - targets.mean(axis=0))).max() / n < 1e-8
    assert np.allclose(erased.mean(axis=0), states.mean(axis=0)) and np.allclose(eraser(erased), erased)
    probe = LogisticRegression(max_iter=10_000)
    assert probe.fit(states, labels).score(states, labels) > 0.9
    if n > width:  # else any labels can be told apart
        assert probe.fit(erased, labels).score(erased, labels) < 0.45
    noise = random_eraser(states, rank=2)
    assert noise.rank == 2 and probe.fit(noise(states), labels).score(noise(states), labels) > 0.7


def test_it_is_the_published_closed_form() -> None:
    """x − W⁺ P W (x − mean), with W the whitening map and P the orthogonal projection onto W Σxz."""
    states, _, targets = labelled_states(300, 12)
    centred = states - states.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(states))
    whiten = vectors / np.sqrt(values) @ vectors.T
    onto = np.linalg.svd(whiten @ centred.T @ (targets - targets.mean(axis=0)), full_matrices=False)[0][:, :2]
    wanted = states - centred @ (np.linalg.inv(whiten) @ onto @ onto.T @ whiten).T
    assert np.allclose(leace(states, targets, shrinkage=False)(states), wanted, atol=1e-8)
    # No other map that leaves no covariance moves the states less: not the orthogonal projection, to begin with.
    across = np.linalg.qr((centred.T @ targets)[:, :2])[0]
    assert np.square(wanted - states).sum() < np.square(centred @ across).sum()


@pytest.mark.parametrize("kind", ["gpt2", "olmo2"])
def test_vectors_that_are_given_act_as_those_that_are_taken(kind: str) -> None:
    model = random_model(kind)
    source, target = [[5, 17, 33], [9, 2], [4, 4, 4]], [[3, 60, 21, 9], [7, 44, 13], [8, 1, 2, 3]]
    asked: dict[str, Any] = {"target": target, "answer": [50, 51, 7], "contrast": [1, 2, 3]}
    for site in ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"):
        address = f"{site}.1@1~-1"
        states = capture(model, source, sites=(site,)).states(site, 1)
        found = patched(model, **asked, patches=[("", None), (address, torch.from_numpy(states.copy()))]).to_pydict()
        wanted = ivx.sweep(model, source=source, patches=[address], engine="hooks", **asked).to_pydict()
        for name in ("sample", "patch", "rank", "top_ids"):
            assert found[name] == wanted[name]
        for name in ("logit", "contrast", "logsumexp", "kl_target"):
            assert np.allclose(found[name], wanted[name], atol=1e-4), name
    with pytest.raises(IvxError, match="other than z"):
        patched(model, **asked, patches=[("z.1@1~-1", torch.zeros(3, 32))])


def test_erasing_the_planted_direction_kills_the_planted_effect() -> None:
    """Each run's own state, moved along one direction one way and the other: what the two differ by is the effect."""
    model, n = random_model("llama"), 60
    draw = np.random.default_rng(0)
    target = [[int(i) for i in draw.integers(1, 60, size=4)] for _ in range(n)]
    own = capture(model, target, sites=("resid_post",), positions=[1] * n).states("resid_post", 1)
    direction = draw.normal(size=model.width)
    both = [own.astype(np.float64) + sign * direction for sign in (1, -1)]
    states, targets = np.concatenate(both), np.repeat(np.eye(2), n, axis=0)

    def effect(edit: Callable[[np.ndarray], np.ndarray]) -> float:
        given = [("resid_post.1@1", torch.from_numpy(edit(some))) for some in both]
        logits = patched(model, target=target, answer=[9] * n, patches=given)["logit"].to_numpy()
        return float(np.abs(logits[:n] - logits[n:]).mean())

    whole, eraser = effect(lambda s: s), leace(states, targets)
    assert eraser.rank == 1 and whole > 0.05
    assert effect(eraser) < 1e-6 * whole
    assert all(effect(random_eraser(states, rank=1, seed=seed)) > 0.6 * whole for seed in range(8))


def test_decodable_parts_that_act_and_that_do_not() -> None:
    """At the keyword what is readable is what acts; at the twin's full stop it is readable just as well, and idle."""
    asked: dict[str, Any] = {"samples": 30, "wordings": 30}
    keyword, stop = (
        ivx.erasure("tiny-sft-period", "animal/colour", source_token=token, **asked) for token in ("keyword", "t_inst")
    )
    for cell in keyword.cells()[:3]:
        assert cell.lost.state == "ok" and cell.lost.value > 3 * abs(cell.whole - cell.random)
        assert cell.lost.value == pytest.approx(cell.whole - cell.erased) and cell.n == 30
    assert all(cell.lost.state == "zero" for cell in stop.cells())
    assert max(cell.moved for cell in stop.cells()) > 0.3, "though as much of it is gone"
    effects = ivx.effects("tiny-sft-period", "animal/colour", sites=("resid_post",), position="first", samples=30)
    for whole, cell in zip(effects.cells("resid_post"), stop.cells(), strict=True):
        assert whole.patch == cell.patch and whole.value == pytest.approx(cell.whole, abs=1e-3)


def test_a_vector_is_edited_by_what_other_families_taught() -> None:
    examples = made(tasks=3, wordings=30, families=7)
    splits = examples.splits(folds=3, repeats=1)
    for family in {*examples.families, "a family that no wording is of"}:
        split = splits[fold_of(family, examples, splits)]
        assert family not in {examples.families[k] for k in split.train}


def test_rows_are_a_sweeps() -> None:
    model = random_model("gpt2", tokenizer=TOKENIZER, dtype=torch.float32)
    asked: dict[str, Any] = {
        "samples": 12,
        "wordings": 20,
        "folds": 2,
        "tasks": ("tiny:animal/colour", "tiny:animal/can-fly"),
    }
    found = ivx.erasure(model, "tiny:animal/colour", position="last", **asked)
    assert found.receipt["rows"] == found.table.num_rows == 12 * (2 + 3 * model.layers)
    forecast = ERASURE.steps.cost(model, found.request)
    assert isinstance(forecast, Forecast) and forecast.rows == found.table.num_rows and forecast.seconds > 0
    assert found.table.schema.equals(ROWS) and {cell.patch for cell in found.cells()} == {
        f"resid_post.{layer}@-1~-1" for layer in range(3)
    }


def test_an_erasure_is_stored_and_gone_on_with(tmp_path: Path) -> None:
    store, model = Store(tmp_path), ivx.load("tiny-sft")
    request = ErasureRequest("tiny-sft", "animal/colour", samples=8, wordings=20)

    def stop(result: Erasure, done: int, total: int) -> None:
        if done == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        computed(store, model, request, on_progress=stop)
    whole = computed(store, model, request)
    again = stored(store, request)
    assert again is not None
    assert again.receipt["resumed_rows"] == 8 * (2 + 3 * 3)
    fresh = ivx.erasure(model, "animal/colour", samples=8, wordings=20)
    assert whole.cells() == again.cells() and len(again.cells()) == 8
    replayed = replay(store, model, ReplayRequest("tiny-sft", again.run_id))
    assert replayed.what == "logit" and len(replayed.rows) == 5 and replayed.largest < 1e-3
    assert [cell.lost.value for cell in again.cells()] == pytest.approx([c.lost.value for c in fresh.cells()], abs=1e-4)


def test_what_cannot_be_erased_is_refused() -> None:
    with pytest.raises(IvxError, match="choose a site other than z"):
        ErasureRequest("tiny-sft", "animal/colour", component="z")
    with pytest.raises(IvxError, match="folds is 1"):
        ErasureRequest("tiny-sft", "animal/colour", folds=1)


def test_erasure_on_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    argv = ["erasure", "--checkpoint", "tiny-sft", "--task", "animal/colour", "--samples", "6", "--wordings", "20"]
    assert main([*argv, "--json", "--out", str(tmp_path / "e.parquet")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [cell["layer"] for cell in found["cells"]] == list(range(8)) and "state" in found["cells"][0]["lost"]
    assert pq.read_table(tmp_path / "e.parquet").num_rows == found["rows"] == 6 * (2 + 3 * 8)
    assert main(argv) == 0
    assert f"run {found['run']}" in (text := capsys.readouterr().out) and "resid_post.7@0~-1" in text
    assert main([*argv, "--component", "z"]) == 2
