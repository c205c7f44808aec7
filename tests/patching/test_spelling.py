"""The spelling of an answer is the one that the model gives the largest share, by plain passes of the model itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig

import ivx
from ivx.analyses.effects.request import EffectsRequest
from ivx.models.model import Model
from ivx.patching.prepare import samples_of
from ivx.patching.spelling import TRIED, spelling_of
from ivx.tasks import catalogue
from ivx.tasks.samples import build
from ivx.tasks.spelling import AS_GIVEN, SPELLINGS, spelled
from ivx.tasks.way import Way
from tests.support import published
from tests.support.tokenizers import tokenizer

PAIR = catalogue.find("animal/can-fly")
ASKED: dict[str, Any] = {"samples": 6, "seed": 0}


@pytest.fixture(scope="module")
def model() -> Model:
    tok = tokenizer("bos")
    tok.chat_template = "{% for m in messages %}user: {{ m.content }}\n{% endfor %}assistant:{{ '\\n' }}"
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "llama",
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        vocab_size=len(tok),
        bos_token_id=tok.bos_token_id,
        eos_token_id=tok.eos_token_id,
    )
    net = published.made(config, dtype=torch.float64)
    with torch.no_grad():
        for value in net.parameters():
            if value.ndim > 1:
                value.normal_(std=0.4)
    return ivx.wrap(net, tok)


@pytest.mark.parametrize("way", [Way(), Way("chat"), Way(demonstrations=3)])
def test_shares_are_those_of_plain_passes(model: Model, way: Way) -> None:
    found = spelling_of(model, PAIR, way, **ASKED)
    rows = build(PAIR, model.tokenizer, way=way, samples=ASKED["samples"] + TRIED).rows[ASKED["samples"] :]
    measured = {row.query for row in build(PAIR, model.tokenizer, way=way, samples=ASKED["samples"]).rows}
    assert found.apart and not measured & {row.query for row in rows}
    gap = "\n" if way.chats else ""
    for spelling, share in found.shares.items():
        told = []
        for row in rows:
            text = gap + spelled(row.answer, spelling)
            whole = model.tokenizer(f"Answer:{text}", add_special_tokens=False)["input_ids"]
            token = whole[len(model.tokenizer(f"Answer:{gap}", add_special_tokens=False)["input_ids"])]
            with torch.no_grad():
                logits = model.hf(torch.tensor([row.instructed])).logits[0, -1]
            told.append(float(logits.softmax(0)[token]))
        assert share == pytest.approx(np.mean(told), abs=1e-12)
    assert found.spelling == max(found.shares, key=lambda name: found.shares[name])
    assert set(found.shares) <= set(SPELLINGS) and len(found.shares) > 1


@pytest.mark.parametrize("way", [Way(), Way("chat")])
def test_where_case_is_the_task_no_other_case_is_tried(model: Model, way: Way) -> None:
    for name in ("word/capitalise", "word/first-letter", "word/upper"):
        assert set(spelling_of(model, catalogue.find(name), way, **ASKED).shares) <= set(AS_GIVEN)


def test_the_samples_are_read_in_the_spelling_that_was_found(model: Model) -> None:
    for form in ("prompt", "chat"):
        request = EffectsRequest("here", "animal/can-fly", target_format=form, samples=6)
        found = spelling_of(model, PAIR, request.way, **ASKED)
        _, samples = samples_of(model, request)
        fixed = build(PAIR, model.tokenizer, way=Way(form, spelling=found.spelling), **ASKED)
        assert samples.rows == fixed.rows


def test_where_all_spellings_are_one_token_nothing_is_asked() -> None:
    small = ivx.load("tiny-sft")
    pair = catalogue.find("animal/colour", collection=small.collection)
    assert not spelling_of(small, pair, Way(), **ASKED).shares


def test_a_named_spelling_is_taken_and_changes_the_run(model: Model, tmp_path: Path) -> None:
    assert spelling_of(model, PAIR, Way(spelling="capital"), **ASKED).spelling == "capital"
    named = {
        spelling: ivx.effects(
            model, "animal/can-fly", samples=3, sites=("resid_post",), position="last", spelling=spelling, controls=()
        )
        for spelling in ("plain", "capital", "space")
    }
    assert len({found.run_id for found in named.values()}) == 3
    ids = {spelling: [row.answer_id for row in found.samples.rows] for spelling, found in named.items()}
    assert ids["plain"] != ids["capital"] != ids["space"]
