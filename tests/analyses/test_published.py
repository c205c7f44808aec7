"""One wording for all samples, and the question as published: what is asked, what stands beside it, and run ids."""

from __future__ import annotations

import pytest

import ivx
from ivx.analyses.behaviour.request import BehaviourRequest
from ivx.analyses.effects.request import EffectsRequest
from ivx.analyses.pathways.request import PathwaysRequest
from ivx.analyses.published import as_published, corrected, is_published
from ivx.cli.main import main
from ivx.errors import IvxError
from ivx.models.load import load
from ivx.patching.prepare import samples_of

TASK = ("tiny-sft", "animal/colour")


def test_a_wording_of_all_samples_is_one_of_each_task_and_leaves_queries_and_ids_as_they_were() -> None:
    model, asked = load("tiny-sft"), EffectsRequest(*TASK, samples=12, controls=("task", "counter", "task2"))
    _, drawn = samples_of(model, asked)
    pair, fixed = samples_of(model, EffectsRequest(*TASK, samples=12, controls=asked.controls, wording=3))
    assert [s.query for s in fixed.rows] == [s.query for s in drawn.rows]
    assert {s.instruction for s in fixed.rows} == {pair.task.instructions[3]}
    assert {s.instruction for s in fixed.counter} == {pair.contrast.instructions[3]}
    assert pair.control is not None
    assert {s.instruction for s in fixed.control} == {pair.control.instructions[3]}
    assert all(len({s.instruction for s in told}) == 1 for told in fixed.others)
    assert len({s.instruction for s in drawn.rows}) > 6
    ids = [
        kind.run_id("a", "b")
        for kind in (
            PathwaysRequest(*TASK),
            PathwaysRequest(*TASK, wording=0),
            EffectsRequest(*TASK),
            BehaviourRequest("tiny-sft"),
        )
    ]
    assert ids == ["276516cbb5f8", "6dd7817debea", "da0b7e78e4e9", "291de14d9cfa"], (
        "ids of runs that are stored already"
    )
    assert EffectsRequest(*TASK, wording=0).run_id("a", "b") != ids[2]


def test_a_wording_that_cannot_be_is_one_sentence() -> None:
    with pytest.raises(IvxError, match="has wordings 0 to .*, none of number 9999"):
        samples_of(load("tiny-sft"), EffectsRequest(*TASK, wording=9999))
    with pytest.raises(IvxError, match="no wording 0 of demonstrations"):
        EffectsRequest(*TASK, wording=0, demonstrations=4)


def test_as_published_is_asked_so_and_the_corrected_one_stands_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    request = EffectsRequest(*TASK, samples=11)
    theirs, ours = as_published(request), corrected(as_published(request))
    assert is_published(theirs) and not is_published(ours) and ours == corrected(request)
    assert theirs.controls == () and ours.controls == ("task",) and ours.samples == theirs.samples == 11
    model = load("tiny-sft")
    _, samples = samples_of(model, theirs)
    token = model.tokenizer(samples.rows[0].answer, add_special_tokens=False)["input_ids"][0]
    assert samples.rows[0].answer_id == token and len({s.instruction for s in samples.rows}) == 1
    assert [model.tokenizer.decode([i]) for i in samples.rows[0].target] == [samples.rows[0].query]
    assert main(["effects", "--checkpoint", TASK[0], "--task", TASK[1], "--samples", "11", "--as-published"]) == 0
    said = capsys.readouterr().out
    assert said.index("AS PUBLISHED") < said.index(theirs_run := _run(theirs)) < said.index("CORRECTED")
    assert said.index("CORRECTED") < said.index(_run(ours)) and theirs_run != _run(ours)
    found = ivx.effects(model, TASK[1], samples=11, sites="resid_post", controls=(), **ivx.AS_PUBLISHED)
    assert found.request == theirs


def _run(request: EffectsRequest) -> str:
    model = load("tiny-sft")
    return request.run_id(model.fingerprint, request.subject(model.collection, lambda: model.tokenizer))
