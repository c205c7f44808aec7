"""The source scan: every row against a single row patched by hand, and what it shows on the embedded family."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import ivx
from ivx.analyses.effects.request import ScanRequest
from ivx.analyses.effects.result import Effects
from ivx.archive import pack, unpack
from ivx.cli.main import main
from ivx.engine.address import Patch
from ivx.engine.hooks.sites import read
from ivx.errors import IvxError
from ivx.tasks import catalogue
from ivx.tasks.sample import Sample
from tests.support import oracle
from tests.support.random_models import random_model
from tests.support.tokenizers import tokenizer

MODEL = random_model("gpt2", tokenizer=tokenizer("bos"))
TASK = "english:animal/colour"
EVERY = ("task", "random", "identity", "aggregation")


def index(label: str, sample: Sample) -> int:
    """The source token that a label means."""
    assert sample.keyword is not None
    start, _, back = label.partition("−")
    return {"first": 1, "keyword": sample.keyword, "T_inst": sample.t_inst}[start] - int(back or 0)


def last_word(sample: Sample) -> tuple[int, ...]:
    """Ids of the task phrase's last word, read back from its text: tokens from the end until they hold the word."""
    phrase, keyword = sample.instruction.text[slice(*sample.instruction.phrase)], sample.keyword  # type: ignore[misc]
    assert keyword is not None
    begin = keyword
    while phrase.split()[-1] not in MODEL.tokenizer.decode(sample.source[begin : keyword + 1]):
        begin -= 1
    return sample.source[begin : keyword + 1]


def by_hand(found: Effects, role: str, site: str, layer: int, label: str, i: int) -> float:
    sample, bos = found.samples.rows[i], found.samples.rows[i].source[:1]
    whose = found.samples.control[i] if role == "control" else sample
    source, taken = whose.source, index(label, whose)
    if role == "identity":
        source, taken = (*bos, source[taken]), 1
    elif role == "aggregation":
        source = (*bos, *last_word(sample))
        taken = len(source) - 1
    value = oracle.states(MODEL.hf, "gpt2", list(source), (site, layer))[taken]
    if role == "random":
        value = oracle.random_state(
            Patch(site, layer, 1), target=sample.target, source=source, taken=taken, theirs=value, heads=4
        )

    def edit(state: torch.Tensor) -> torch.Tensor:
        state = state.clone()
        state[0, 1] = value
        return state

    logits = oracle.run(MODEL.hf, "gpt2", list(sample.target), {(site, layer): edit})
    return float(logits[sample.answer_id] - logits[sample.contrast_id])


@pytest.mark.parametrize("site", ["resid_post", "attn_out"])
def test_every_row_is_one_patched_by_hand(site: str) -> None:
    found = ivx.scan(MODEL, TASK, samples=3, sites=(site,), controls=EVERY)
    labels = [column.label for column in found.maps[site]]
    assert labels[0] == "first" and labels[-2:] == ["keyword", "T_inst"] and "keyword−1" in labels
    assert any(isinstance(column.position, str) for column in found.maps[site])
    rows = {(r["role"], r["patch"], r["sample"]): r["logit"] - r["contrast"] for r in found.table.to_pylist()}
    assert len(rows) == found.table.num_rows == 3 * (1 + 4 * (1 + 3 * len(labels)) + 1 + 3)
    for layer, column, patch in found.places(site):
        at = patch.partition("~")[2]
        names = {"effect": patch, "control": patch, "identity": patch}
        names |= {"random": f"{patch}=random", "aggregation": patch.replace(f"~{at}", "~word")}
        for role, name in names.items():
            i = (layer + column) % 3
            wanted = by_hand(found, role, site, layer, labels[column], i)
            assert rows[role, name, i] == pytest.approx(wanted, abs=1e-9), (role, name)


def test_one_source_token_is_that_column_alone() -> None:
    whole = {c.patch: c.value for c in ivx.scan(MODEL, TASK, samples=3).cells("resid_post")}
    for token in ("t_inst", "keyword"):
        alone = ivx.scan(MODEL, TASK, samples=3, source_token=token).cells("resid_post")
        assert len(alone) == 3 and all(whole[c.patch] == pytest.approx(c.value, abs=1e-12) for c in alone)
    start = ivx.scan(MODEL, TASK, samples=3, source_token="1").cells("resid_post")
    assert [c.value for c in start] == pytest.approx([whole[f"resid_post.{i}@1~start"] for i in range(3)], abs=1e-12)
    same = ivx.effects(MODEL, TASK, samples=3, position="first").cells("resid_post")
    last = ivx.scan(MODEL, TASK, samples=3, source_token="t_inst", controls=("task",)).cells("resid_post")
    assert [c.value for c in same] == pytest.approx([c.value for c in last], abs=1e-12)
    assert [c.control for c in same] == pytest.approx([c.control for c in last], abs=1e-12)


def decoded(layer: int, back: int) -> float:
    """Accuracy of a probe for the task at a token counted from the instruction's end; frames never on both sides."""
    model = ivx.load("tiny-sft-period")
    states, labels, groups = [], [], []
    for k, task in enumerate(catalogue.tasks("tiny-period").values()):
        for wording in task.instructions[:24]:
            ids = torch.tensor([model.tokenizer.encode(wording.text)])
            with torch.inference_mode(), read(model, [("resid_post", layer)]) as seen:
                model.hf(input_ids=ids, use_cache=False)
            states.append(seen["resid_post", layer][0, -back].double().numpy())
            labels.append(k)
            groups.append(wording.family)
    x, y = np.stack(states), np.array(labels)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, C=0.1))
    hits = [
        probe.fit(x[train], y[train]).predict(x[test]) == y[test]
        for train, test in GroupKFold(n_splits=3).split(x, y, groups)
    ]
    return float(np.concatenate(hits).mean())


def test_the_full_stop_can_be_read_and_does_nothing() -> None:
    """On the twin: its state tells the task, yet no better than its controls; the phrase's last token acts."""
    for task in ("animal/colour", "adjective/antonym"):
        found = ivx.scan("tiny-sft-period", task, samples=40)
        labels = [column.label for column in found.maps["resid_post"]]
        states = {(cell.layer, labels[cell.column]): cell.state for cell in found.cells("resid_post")}
        values = {(cell.layer, labels[cell.column]): cell.value for cell in found.cells("resid_post")}
        assert all(states[layer, "T_inst"] != "ok" for layer in range(3))
        assert states[2, "keyword"] == "ok" and values[2, "keyword"] > values[2, "T_inst"] + 0.5
        others = [states[2, label] for label in labels if label != "keyword"]
        assert "ok" not in others
        assert states[0, "keyword"] != "ok", "before anything is gathered, it is the token and no more"
    stop, phrase = decoded(3, 1), decoded(3, 2)
    print(f"decoded at layer 3: full stop {stop:.2f}, phrase {phrase:.2f}, of 13 tasks")
    assert stop > 0.9 and phrase > 0.9


def test_a_scan_comes_back_from_an_archive(tmp_path: Path) -> None:
    found = ivx.scan("tiny-sft", "animal/colour", samples=3)
    (tmp_path / "scan.zip").write_bytes(pack.of_result(found))
    again = unpack.read(tmp_path / "scan.zip")
    assert again.request == found.request and again.maps == found.maps
    assert again.cells("resid_post") == found.cells("resid_post")
    assert found.chart("contrast").to_dict()["hconcat"]


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["scan", "--checkpoint", "tiny-sft-period", "--task", "animal/colour", "--samples", "4"]
    assert main([*asked, "--controls", "identity,random", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "scan" and {"keyword", "T_inst"} <= {cell["label"] for cell in found["cells"]}
    assert all(list(cell["controls"]) == ["identity", "random"] for cell in found["cells"])
    assert main([*asked, "--source-token", "t_inst"]) == 0
    text = capsys.readouterr().out
    assert text.count("resid_post.") == 8 and "identity" in text and "aggregation" in text


def test_wordings_without_a_phrase_have_no_keyword(tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text(
        "query,answer,contrast,instruction\npig,pink,no,Name its colour.\ncrow,black,yes,Look and state the colour.\n"
    )
    found = ivx.scan(MODEL, str(own))
    assert found.maps["resid_post"][-1].label == "T_inst" and found.controls == ["task", "identity"]
    assert any("no control aggregation" in warning for warning in found.receipt["warnings"])
    with pytest.raises(IvxError, match="no keyword"):
        ivx.scan(MODEL, str(own), source_token="keyword")
    with pytest.raises(IvxError, match=r"has \d+ tokens"):
        ivx.scan(MODEL, str(own), source_token="40", controls=())


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"sites": ("z",)}, "source tokens in place of heads"),
        ({"controls": ("neutral",)}, "of task, random, identity, aggregation"),
        ({"position": "all"}, "position 'all' is not known"),
        ({"source_token": "middle"}, "use all, t_inst, keyword, before, first or an index"),
    ],
)
def test_scans_that_cannot_be(changed: dict, told: str) -> None:
    with pytest.raises(IvxError, match=told):
        ScanRequest("tiny-sft", "animal/colour", **changed)
