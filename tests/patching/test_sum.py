"""The sum over spellings: which tokens are an answer's, what is kept of it, and what refuses it."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ivx
from ivx.analyses.behaviour import BEHAVIOUR
from ivx.analyses.effects import EFFECTS
from ivx.analyses.effects.request import EffectsRequest
from ivx.analyses.pathways.request import PathwaysRequest
from ivx.analyses.registry import checked, context, restored
from ivx.archive import pack
from ivx.errors import IvxError, TaskError
from ivx.models.model import Model
from ivx.patching.spelling import spelling_of
from ivx.tasks import catalogue
from ivx.tasks.encoder import Encoder
from ivx.tasks.preview import preview
from ivx.tasks.samples import build
from ivx.tasks.spelling import AS_GIVEN, AUTO, SPELLINGS, SUM, spelled
from ivx.tasks.way import Way
from ivx.tasks.written import forms
from ivx.ui.kit.asking import read_by
from tests.support.random_models import random_model
from tests.support.tokenizers import tokenizer

TASK = "animal/can-fly"
PAIR = catalogue.find(TASK)
NEAR = """query,answer,contrast,instruction
crow,walked,walking,Name it.
dog,Walk,walk,Name it.
cat,black,white,Name it.
owl,pink,brown,Name it.
"""


@pytest.fixture(scope="module")
def model() -> Model:
    tok = tokenizer("bos")
    tok.chat_template = "{% for m in messages %}user: {{ m.content }}\n{% endfor %}assistant:{{ '\\n' }}"
    return random_model("llama", tokenizer=tok)


def asked_of(found: Any) -> dict[str, Any]:
    told = {name: found.receipt[name] for name in ("kind", "request", "checkpoint")}
    return dict(json.loads(json.dumps(told)))


def kept(found: Any) -> dict[str, Any]:
    return dict(json.loads(json.dumps(context(found))))


def firsts(tok: Any, prompt: str, answer: str) -> set[int]:
    """First tokens of an answer's spellings, written out."""
    before = tok(prompt)["input_ids"]
    found = set()
    for spelling in SPELLINGS:
        whole = tok(prompt + spelled(answer, spelling))["input_ids"]
        if whole[: len(before)] == before and tok.decode([whole[len(before)]]).strip():
            found.add(whole[len(before)])
    return found


def test_the_tokens_are_those_of_all_spellings_each_once() -> None:
    tok = tokenizer("gpt2")
    for row in build(PAIR, tok, samples=6, way=Way(spelling=SUM)).rows:
        prompt = f"Animal: {row.query}. Answer:"
        assert tuple(tok(prompt)["input_ids"]) == row.target
        own, other = (firsts(tok, prompt, option) for option in (row.answer, row.contrast))
        assert len(row.answer_tokens) > 1 and len({*row.answer_tokens}) == len(row.answer_tokens)
        assert {*row.answer_tokens} == own - other and {*row.contrast_tokens} == other - own
        assert row.answer_id == row.answer_tokens[0] and row.contrast_id == row.contrast_tokens[0]
    for row in build(PAIR, tok, samples=6).rows:
        assert row.answer_tokens == (row.answer_id,) and not row.answer_ids and not row.contrast_ids


def test_a_token_of_both_answers_is_neither_s_and_a_query_without_one_is_left_out(tmp_path: Path) -> None:
    tok = tokenizer("gpt2")
    (tmp_path / "near.csv").write_text(NEAR, encoding="utf-8")
    pair = catalogue.find(str(tmp_path / "near.csv"))
    encoder = Encoder(tok)
    built = build(pair, tok, samples=4, way=Way(spelling=SUM))
    for row in built.rows:
        every = [
            encoder.firsts(encoder.tokenizer.decode(row.target), x, spellings=SPELLINGS)
            for x in (row.answer, row.contrast)
        ]
        assert not {*row.answer_tokens} & {*row.contrast_tokens}
        assert {*row.answer_tokens} == {*every[0]} - {*every[1]}
    assert "dog" not in [row.query for row in built.rows]
    assert any("may begin the other (" in told and "dog" in told for told in built.warnings)


def test_where_case_is_the_task_it_is_left_as_it_is() -> None:
    tok, pair = tokenizer("gpt2"), catalogue.find("word/capitalise")
    encoder = Encoder(tok)
    for row in build(pair, tok, samples=6, way=Way(spelling=SUM)).rows:
        prompt = pair.task.template.target(field=pair.task.field_of(row.query), query=row.query, form="prompt")
        own, other = (encoder.firsts(prompt, x, spellings=AS_GIVEN) for x in (row.answer, row.contrast))
        assert {*row.answer_tokens} == {*own} - {*other}
    with pytest.raises(TaskError, match="or sum"):
        build(pair, tok, samples=6, way=Way(spelling="lower"))


def test_the_receipt_has_the_spellings_and_their_shares(model: Model) -> None:
    found = spelling_of(model, PAIR, Way(spelling=SUM), samples=6, seed=0)
    chosen = spelling_of(model, PAIR, Way(), samples=6, seed=0)
    assert found.spelling == SUM and chosen.shares.items() <= found.shares.items()
    result = ivx.effects(model, TASK, samples=6, sites=("resid_post",), position="last", controls=(), spelling=SUM)
    assert result.receipt["spelling"] == found.told and found.told["chosen"] == SUM
    assert found.sentence in result.receipt["warnings"] and "as a sum over spellings" in found.sentence


def test_a_result_is_replayed_archived_and_has_its_own_address(model: Model, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"samples": 4, "sites": ("resid_post",), "position": "last", "controls": ("task",)}
    found = ivx.effects(model, TASK, **asked, spelling=SUM)
    plain = ivx.effects(model, TASK, **asked)
    assert found.run_id != plain.run_id and plain.request.spelling == AUTO
    told = found.table.filter(np.array([role == "told" for role in found.table["role"].to_pylist()])).sort_by("sample")
    for row, sample in zip(told.to_pylist(), found.samples.rows, strict=True):
        with torch.no_grad():
            logits = model.hf(torch.tensor([sample.instructed])).logits[0, -1]
        assert row["logit"] == pytest.approx(float(logits[list(sample.answer_tokens)].logsumexp(0)), abs=1e-9)
        assert row["contrast"] == pytest.approx(float(logits[list(sample.contrast_tokens)].logsumexp(0)), abs=1e-9)
    _, before, now = EFFECTS.steps.replay(model, found, rows=6, seed=0, beat=lambda: None)
    assert np.abs(np.array(before) - now).max() < 1e-9
    again = checked(restored(asked_of(found), kept(found), found.table, found.receipt))
    assert again.samples == found.samples and again.request == found.request
    assert ivx.read(io.BytesIO(pack.of_result(found))).samples == found.samples
    assert "answer_ids" not in str(context(plain)), "what is kept of other runs is as it was"
    broken = kept(found)
    broken["rows"][0]["answer_ids"] = [-1]
    with pytest.raises(IvxError, match="answer_ids"):
        restored(asked_of(found), broken, found.table, found.receipt)


def test_every_analysis_of_an_instruction_sums_or_refuses(model: Model) -> None:
    few: dict[str, Any] = {"samples": 4, "spelling": SUM}
    pairs = ivx.interactions(model, TASK, **few, position="last", controls=())
    assert np.isfinite(pairs.table["logit"].to_numpy()).all()
    assert any("not linear in logits" in note for note in pairs.notes("contrast"))
    assert not replace(pairs, request=replace(pairs.request, spelling=AUTO)).request.bends("contrast")
    game = ivx.game(model, TASK, **few, position="first")
    assert np.isfinite(game.table["logit"].to_numpy()).all()
    options = ivx.vectors(model, TASK, **few).options
    rows = build(PAIR, model.tokenizer, samples=4, way=Way(spelling=SUM)).rows
    assert {i for row in rows for i in row.answer_tokens} <= {*options}
    assert len(ivx.vectors(model, TASK, samples=4).options) < len(options)
    with pytest.raises(IvxError, match="choose the spelling auto"):
        PathwaysRequest("here", TASK, spelling=SUM)
    with pytest.raises(IvxError, match="choose the spelling auto"):
        ivx.pathways(model, TASK, **few)


def test_behaviour_prefers_by_the_sum_and_takes_a_text_in_any_case(model: Model) -> None:
    found = ivx.behaviour(model, [TASK, "word/capitalise"], ways=("prompt",), samples=6, tokens=3, spelling=SUM)
    assert {one.spelling for one in found.asked} == {SUM}
    checked(restored(asked_of(found), kept(found), found.table, found.receipt))
    for row in found.table.to_pylist():
        if row["task"] == TASK and not row["told"]:
            rows = build(PAIR, model.tokenizer, samples=6, way=Way(spelling=SUM)).rows
            sample = rows[row["sample"]]
            with torch.no_grad():
                p = model.hf(torch.tensor([sample.target])).logits[0, -1].softmax(0)
            own, other = (p[list(ids)] for ids in (sample.answer_tokens, sample.contrast_tokens))
            assert row["preferred"] == bool(own.sum() > other.sum())
            assert row["rank"] == 1 + int((p > own.max()).sum())
    assert BEHAVIOUR.request(checkpoint="here", spelling=SUM).spelling == SUM
    assert forms("no", SUM) == ("no", "No") and forms("Cat", SUM, other=("cat",)) == ("Cat",)
    assert forms("no", "capital") == ("no", "No") and forms("no", "plain") == ("no",)


def test_what_is_shown_names_the_tokens_and_their_ids() -> None:
    tok = tokenizer("gpt2")
    built = build(PAIR, tok, samples=2, way=Way(spelling=SUM))
    told = preview(PAIR, built, tok)
    for row in built.rows:
        shown = read_by(row, lambda i: str(tok.convert_ids_to_tokens(i)))
        for token in row.answer_tokens:
            assert f"{token} {tok.convert_ids_to_tokens(token)!r}" in told
            assert f"{tok.convert_ids_to_tokens(token)} {token}" in shown["answer"]
    plain = build(PAIR, tok, samples=1).rows[0]
    assert read_by(plain, str) == {"answer": plain.answer, "contrast": plain.contrast}


def test_no_earlier_run_changes_its_address() -> None:
    asked = EffectsRequest("here", TASK)
    assert asked.run_id("c", "t") == replace(asked, spelling=AUTO).run_id("c", "t")
    assert asked.run_id("c", "t") != replace(asked, spelling=SUM).run_id("c", "t")
