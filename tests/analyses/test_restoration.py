"""Restored pairs: J split into what overwriting takes away and the rest, against a plain loop of hooks."""

from __future__ import annotations

import json

import numpy as np
import pytest
from transformers import AutoTokenizer

import ivx
from ivx.analyses.interactions.identities import ERASED, UNREAD
from ivx.analyses.interactions.restoration import given_back
from ivx.analyses.registry import context, restored
from ivx.errors import IvxError
from ivx.models.registry import EMBEDDED
from ivx.stats.metrics import find
from tests.support import oracle
from tests.support.random_models import linear_model, random_model

TOKENIZER = AutoTokenizer.from_pretrained(EMBEDDED / "tiny-sft", local_files_only=True)
TASK = "tiny:animal/colour"


def test_a_linear_circuit_has_no_j_but_what_is_overwritten() -> None:
    model = linear_model(tokenizer=TOKENIZER)
    found = ivx.interactions(model, TASK, samples=6, position="1", restored=True)
    pairs = found.parts()
    assert len(pairs) == 10 and all(pair.restored.state == "zero" for pair in pairs)
    effects = found.effects("effect")
    for pair in pairs:
        rest = effects[pair.patch] - effects[pair.second] - effects[pair.own]
        assert np.abs(rest).max() < 1e-12 and abs(pair.restored.value) < 1e-12
        assert pair.lost.value == pytest.approx(next(c.j for c in found.cells() if c.patch == pair.patch), abs=1e-12)
    assert max(abs(pair.lost.value) for pair in pairs) > 1e-2
    bent = ivx.interactions(random_model("llama", tokenizer=TOKENIZER), TASK, samples=6, position="1", restored=True)
    assert max(abs(pair.restored.value) for pair in bent.parts()) > 1e-3


def test_the_parts_are_what_one_row_of_hooks_gives() -> None:
    model = random_model("gpt2", tokenizer=TOKENIZER, num_hidden_layers=4, n_layer=4)
    found = ivx.interactions(model, TASK, samples=4, position="1", restored=True)
    rows = found.samples.rows
    sources, targets = [list(s.source[: s.t_inst + 1]) for s in rows], [list(s.target) for s in rows]

    def level(patch: str, k: int) -> float:
        edits = oracle.edits_of(model.hf, "gpt2", patch, sample=k, sources=sources, targets=targets) if patch else {}
        logits = oracle.run(model.hf, "gpt2", targets[k], edits)
        return float(logits[rows[k].answer_id] - logits[rows[k].contrast_id])

    cells = {cell.patch: cell for cell in found.cells()}
    assert {pair.patch: pair.own for pair in found.parts()} == given_back(cells)
    for pair in found.parts():
        f = {
            name: np.array([level(name, k) - level("", k) for k in range(len(rows))])
            for name in (pair.first, pair.second, pair.patch, pair.own)
        }
        restored_j, lost = f[pair.patch] - f[pair.second] - f[pair.own], f[pair.own] - f[pair.first]
        assert pair.restored.value == pytest.approx(restored_j.mean(), abs=1e-9)
        assert pair.lost.value == pytest.approx(lost.mean(), abs=1e-9)
        assert pair.left == pytest.approx(f[pair.own].mean(), abs=1e-9)
        assert pair.restored.value + pair.lost.value == pytest.approx(cells[pair.patch].j, abs=1e-12)
        for part in (pair.restored, pair.lost):
            assert part.low <= part.value <= part.high and list(part.against) == ["task", "random"]
            beaten = all(one.is_beaten(part.value, floor=find("contrast").floor) for one in part.against.values())
            assert part.state != "ok" or beaten
        last = pair.second.startswith("resid_post.3@")
        assert pair.degenerate == (UNREAD if last else "") and (not last or pair.lost.value == 0.0)


def test_at_the_last_token_all_of_j_is_overwriting() -> None:
    model = random_model("llama", tokenizer=TOKENIZER)
    found = ivx.interactions(model, TASK, samples=3, position="last", restored=True)
    plain = ivx.interactions(model, TASK, samples=3, position="last")
    assert found.table.num_rows == plain.table.num_rows  # every restored pair is the unpatched run
    for pair in found.parts():
        assert pair.degenerate == ERASED and pair.restored.value == 0.0 and pair.left == 0.0
        assert pair.lost.value == pytest.approx(next(c.j for c in found.cells() if c.patch == pair.patch), abs=1e-12)


def test_runs_without_restored_pairs_are_what_they_were() -> None:
    """A run that was made before there were restored pairs has no field of that name, and keeps its address."""
    model = random_model("llama", tokenizer=TOKENIZER)
    plain = ivx.interactions(model, TASK, samples=3, position="1")
    assert plain.parts() == [] and plain.figure_names == ("pairs",) and "restored" not in plain.summary()
    old = {name: value for name, value in plain.receipt["request"].items() if name != "restored"}
    asked = {"kind": "interactions", "request": old, "checkpoint": plain.receipt["checkpoint"]}
    back = restored(asked, json.loads(json.dumps(context(plain))), plain.table, plain.receipt)
    assert back.request == plain.request and back.cells() == plain.cells()
    split = ivx.interactions(model, TASK, samples=3, position="1", restored=True)
    assert split.run_id != plain.run_id and split.cells() == plain.cells()
    assert split.figure_names == ("pairs", "restored", "lost") and len(split.summary()["restored"]) == 3


@pytest.mark.parametrize(
    "asked",
    [
        {"patch": "delta"},
        {"sites": ("mlp_out",)},
        {"sites": ("resid_pre", "resid_post")},
        {"over": "positions", "position": "all"},
    ],
)
def test_only_what_overwrites_is_restored(asked: dict) -> None:
    with pytest.raises(IvxError, match="restored pairs are of layers"):
        ivx.interactions("tiny-sft", "animal/colour", restored=True, **asked)
