"""Behaviour: what is followed, told and untold, is what plain decoding writes; and what is said where it is not."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

import ivx
from ivx.analyses.behaviour import BEHAVIOUR
from ivx.analyses.behaviour import compute as computing
from ivx.analyses.behaviour.request import BehaviourRequest
from ivx.analyses.behaviour.result import Behaviour
from ivx.analyses.effects import EFFECTS
from ivx.analyses.registry import checked, context, restored
from ivx.archive import pack
from ivx.cli.main import main
from ivx.errors import IvxError, TaskError
from ivx.formats import pictures
from ivx.models.load import load
from ivx.models.model import Model
from ivx.patching import gate
from ivx.tasks import catalogue
from ivx.tasks.samples import build

SFT, BASE, TASK = "tiny-sft", "tiny-base", "animal/colour"
WAYS = ("prompt", "query")


@pytest.fixture(scope="module")
def model() -> Model:
    return load(SFT)


@pytest.fixture(scope="module")
def found(model: Model) -> Behaviour:
    return ivx.behaviour(model, [TASK], ways=WAYS, samples=20)


@pytest.fixture(scope="module")
def base() -> Model:
    return load(BASE)


def test_the_taught_one_follows_and_the_base_does_not(found: Behaviour, base: Model) -> None:
    cell = found.cells[TASK, "query"]
    assert cell.follows and cell.told.followed.value == 1.0 and cell.bare.followed.value == 0.0
    assert found.cells[TASK, "prompt"].following.difference.low > 0.4 and found.recommended(TASK) == "prompt"
    untaught = ivx.behaviour(base, [TASK], ways=WAYS, samples=20)
    assert not any(one.follows for one in untaught.cells.values()) and untaught.recommended(TASK) is None
    # Its told prompt alone, cue and all, brings colours that a bare word does not: that is no instruction's doing.
    assert untaught.cells[TASK, "query"].following.follows
    text = BEHAVIOUR.words.text(untaught.summary())
    assert f"{BASE} does not follow {TASK} in any way of asking that was tried" in text


def test_texts_are_those_of_plain_decoding(found: Behaviour, model: Model) -> None:
    """transformers' own greedy search writes the same texts, and the verdicts can be read off them."""
    tokenizer: Any = model.tokenizer
    hf: Any = model.hf
    samples = build(catalogue.find(TASK, collection="tiny"), tokenizer, samples=20).rows
    for row in found.texts(TASK, "prompt", told=True).to_pylist()[::3]:
        ids = torch.tensor([samples[row["sample"]].instructed])
        with torch.inference_mode():
            out = hf.generate(ids, max_new_tokens=20, do_sample=False)[0, ids.shape[1] :]
        assert tokenizer.decode(out, skip_special_tokens=True) == row["wrote"]
        assert row["followed"] == (row["wrote"].split()[:1] == [row["answer"]])


def test_a_known_cell_is_not_written_again(found: Behaviour, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    own = computing.generate

    def counted(model: Model, prompts: Any, **more: Any) -> Any:
        asked.append(len(prompts))
        return own(model, prompts, **more)

    monkeypatch.setattr(computing, "generate", counted)
    known = found.table.filter(found.table["way"].to_numpy(zero_copy_only=False) == "prompt")
    again = BEHAVIOUR.compute(model, found.request, known=known)
    assert asked == [20, 20] and again.table.sort_by("sample").equals(found.table.sort_by("sample"))
    asked.clear()
    assert BEHAVIOUR.compute(model, found.request, known=found.table).table.equals(found.table) and not asked


def test_progress_is_told_cell_by_cell(model: Model) -> None:
    seen: list[tuple[int, int, int]] = []
    ivx.behaviour(
        model, [TASK], ways=WAYS, samples=5, on_progress=lambda r, done, total: seen.append((len(r.cells), done, total))
    )
    assert seen == [(0, 0, 2), (1, 1, 2), (2, 2, 2)]


def test_a_way_that_cannot_be_asked_is_named_and_the_others_are_asked(model: Model) -> None:
    found = ivx.behaviour(model, [TASK], ways=("prompt", "chat"), samples=5)
    assert "no chat template" in found.asking(TASK, "chat").refused and (TASK, "prompt") in found.cells
    assert found.summary()["refused"][0]["way"] == "chat" and "not asked" in found.receipt["warnings"][0]
    with pytest.raises(IvxError, match="no chat template"):
        ivx.behaviour(model, [TASK], ways=("chat",), samples=5)


def test_a_template_and_demonstrations_are_ways(model: Model) -> None:
    own = "{instruction} {field} : {query} . answer :"
    found = ivx.behaviour(model, [TASK], ways=("prompt", "demonstrations"), template=own, samples=5, demonstrations=3)
    assert found.ways == ("prompt", "demonstrations", "template")
    told = {way: found.texts(TASK, way, told=True).to_pylist() for way in found.ways}
    assert [r["wrote"] for r in told["template"]] == [r["wrote"] for r in told["prompt"]]
    assert told["demonstrations"][0]["prompt"].count("answer :") == 4


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"ways": ("letter",)}, "way 'letter' is not known"),
        ({"ways": ()}, "no way of asking"),
        ({"tasks": ()}, "no task is named"),
        ({"ways": ("template",)}, "template of your own"),
        ({"system": "Be brief.", "ways": ("prompt",)}, "system turn belongs to a chat template"),
        ({"template": "no place"}, "holds no {query}"),
        ({"spelling": "odd"}, "no spelling 'odd'"),
        ({"tokens": 0}, "tokens is 0"),
        ({"demonstrations": 0}, "demonstrations is 0"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(IvxError, match=told):
        BehaviourRequest(SFT, **changed)


def test_a_users_file_is_asked_both_ways_round(model: Model, tmp_path: Path) -> None:
    pair = [("ant", "black", "no"), ("hen", "red", "yes"), ("owl", "brown", "yes")]
    lines = ["query,answer,contrast,instruction,contrast_instruction,field"]
    lines += [f"{q},{a},{c},give its colour .,say whether it can fly .,animal" for q, a, c in pair]
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(lines))
    found = ivx.behaviour(model, [str(path)], ways=("prompt",), samples=3)
    assert found.tasks == ("mine/answer", "mine/contrast")
    (tmp_path / "sub").mkdir()
    other = tmp_path / "sub" / "mine.csv"
    other.write_text("\n".join(lines).replace("black", "grey"))
    with pytest.raises(TaskError, match="two tasks are called mine/answer"):
        ivx.behaviour(model, [str(path), str(other)], ways=("prompt",), samples=3)


def test_a_verdict_that_its_text_does_not_bear_out_is_refused(found: Behaviour) -> None:
    for column, value in (("followed", False), ("option", "purple")):
        rows = found.table.to_pylist()
        hit = next(row for row in rows if row["followed"])
        hit[column] = value
        table = type(found.table).from_pylist(rows, schema=found.table.schema)
        with pytest.raises(IvxError, match=f"column {column}"):
            checked(replace(found, table=table))


# The gate of every other run.


@pytest.fixture(scope="module")
def closed(base: Model) -> Any:
    """A map of a model that does not follow."""
    return ivx.effects(base, TASK, samples=12, sites=("resid_post",), position="first")


def test_a_followed_instruction_needs_no_word(model: Model) -> None:
    asked: dict[str, Any] = {"samples": 12, "sites": ("resid_post",), "position": "first"}
    found = ivx.effects(model, TASK, **asked)
    assert gate.sentence(found.receipt) == "" and EFFECTS.words.text(found.summary()).startswith(f"{SFT}, {TASK}")
    assert b"note" not in pack.of_result(found)[:200] and found.printed() == found.figures()


def test_every_word_on_what_is_not_followed_begins_with_that(closed: Any) -> None:
    said = gate.sentence(closed.receipt)
    assert said.startswith(f"{BASE} does not follow {TASK} when asked like this (told ") and "n = 12" in said
    assert EFFECTS.words.text(closed.summary()).startswith(said)
    assert EFFECTS.words.caption(closed, "resid_post", "contrast").startswith(said)
    assert " ".join(closed.printed()["resid_post"]["title"]["subtitle"]).startswith(said)
    assert "does not follow" in pictures.svg(closed.printed()["resid_post"])


def test_the_gate_counts_the_runs_own_rows(closed: Any) -> None:
    levels = closed.summary()["levels"]["followed"]
    counts = closed.receipt["following"]
    assert counts["both"] + counts["told_only"] == round(12 * levels["told"])
    assert counts["both"] + counts["bare_only"] == round(12 * levels["unpatched"])
    assert sum(counts.values()) == 12


def test_a_run_made_before_there_was_a_gate_has_one(closed: Any) -> None:
    receipt = {name: value for name, value in closed.receipt.items() if name != "following"}
    asked = {"kind": "effects", "request": receipt["request"], "checkpoint": receipt["checkpoint"]}
    asked, told = json.loads(json.dumps([asked, context(closed)]))
    assert restored(asked, told, closed.table, receipt).receipt["following"] == closed.receipt["following"]
    changed = {**closed.receipt, "following": {**closed.receipt["following"], "both": -1}}
    with pytest.raises(IvxError, match="following, both"):
        checked(restored(asked, told, closed.table, changed))


@pytest.mark.parametrize(
    ("run", "more"),
    [
        ("effects", {"direction": "noise", "sites": ("resid_post",), "position": "last"}),
        ("effects", {"target_format": "query", "sites": ("resid_post",), "position": "last"}),
        ("scan", {"sites": ("resid_post",)}),
        ("interactions", {"sites": ("resid_post",)}),
        ("game", {}),
        ("erasure", {}),
        ("vectors", {}),
        ("pathways", {"paths": 0, "ablation": "none", "wording": 2}),
        ("bench", {"layer": 2}),
    ],
)
def test_every_kind_of_run_on_an_instruction_has_a_gate(run: str, more: dict[str, Any], base: Model) -> None:
    found = getattr(ivx, run)(base, TASK, samples=8, **more)
    counts = found.receipt["following"]
    assert 0 < sum(counts.values()) <= 8 and gate.sentence(found.receipt)


def test_the_command_and_its_files_say_it_first(
    closed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IVX_CACHE", str(tmp_path / "cache"))
    said = gate.sentence(closed.receipt)
    asked = f"effects --checkpoint {BASE} --task {TASK} --samples 12 --sites resid_post --position first".split()
    for name in ("rows.csv", "rows.parquet", "rows.json"):
        assert main([*asked, "--json", "--out", str(tmp_path / name)]) == 0
        assert next(iter(json.loads(capsys.readouterr().out).items())) == ("note", said)
    rows = list(csv.DictReader((tmp_path / "rows.csv").open()))
    assert next(iter(rows[0])) == "note" and {row["note"] for row in rows} == {said}
    assert pq.read_schema(tmp_path / "rows.parquet").metadata[b"note"].decode() == said
    assert json.loads((tmp_path / "rows.json").read_text())["note"] == said
    archive = ivx.read(io.BytesIO(pack.of_result(closed)))
    assert archive.receipt["following"] == closed.receipt["following"]
