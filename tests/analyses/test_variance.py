"""A vector's effect crosswise: every wording with every query."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import ivx
from ivx.analyses.variance.result import Variance
from ivx.cli.main import main
from ivx.errors import IvxError
from ivx.models.load import load
from ivx.tasks import catalogue

TASK = "animal/colour"
ASKED: dict[str, Any] = {"source_token": "keyword", "layer": 2}


@pytest.fixture(scope="module")
def found() -> Variance:
    return ivx.variance(load("tiny-sft"), TASK, wordings=4, samples=12, **ASKED)


def test_each_row_of_it_is_the_effect_of_one_wording(found: Variance) -> None:
    """As a map of effects has it that tells all its samples by that wording."""
    effects = found.effects()
    assert effects is not None and effects.shape == found.shape == (4, 12) and len(set(found.wordings)) == 4
    texts = [wording.text for wording in catalogue.find(TASK, collection="tiny").task.instructions]
    number = texts.index(found.wordings[1])
    alone = ivx.effects(
        load("tiny-sft"), TASK, wording=number, samples=12, sites=("resid_post",), position="first",
        source_token="keyword", layers="2",
    )  # fmt: skip
    told = {one["query"]: one["effect"] for one in alone.detail("resid_post", "resid_post.2@0~-1")}
    assert [told[query] for query in found.queries] == pytest.approx(effects[1].tolist(), abs=1e-4)


def test_the_mean_holds_for_the_populations_it_names(found: Variance) -> None:
    held = found.held()
    assert held is not None and held.state == "ok"
    effects = found.effects()
    assert effects is not None and held.mean["both"].mean == pytest.approx(float(effects.mean()))
    width = {new: one.high - one.low for new, one in held.mean.items()}
    assert width["both"] >= width["queries"] > 0
    assert sum(share.value for share in held.shares.values()) == pytest.approx(1)
    assert held.shares["query"].value + held.shares["answer"].value > held.shares["wording"].value
    wider, narrower = held.foreseen[0][2], held.foreseen[-1][2]
    assert narrower < wider
    by_answer = found.by_answer()
    assert sum(one.n for one in by_answer) == 12
    assert np.isclose(sum(one.mean * one.n for one in by_answer) / 12, held.mean["both"].mean)


def test_where_the_vector_does_nothing_its_mean_does_not_hold() -> None:
    """At T_inst of the twin that was taught to act at the keyword alone."""
    none = ivx.variance(load("tiny-sft-period"), TASK, wordings=3, samples=10, source_token="t_inst", layer=7)
    held = none.held()
    assert held is not None and held.state != "ok"


def test_it_is_asked_for_by_command_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["variance", "--checkpoint", "tiny-sft", "--task", TASK, "--source-token", "keyword", "--layer", "2"]
    assert main([*asked, "--wordings", "3", "--samples", "8"]) == 0
    out = capsys.readouterr().out
    assert "3 wordings × 8 queries" in out and "other wordings and queries" in out and "wording × query" in out
    assert main([*asked, "--wordings", "3", "--samples", "8", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["held"]["wordings"] == 3 and len(told["by_wording"]) == 3


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"wording": 1}, "leave it out"),
        ({"demonstrations": 4, "source_token": "t_inst"}, "leave them out"),
        ({"layer": 8}, "has layers 0 to 7"),
        ({"wordings": 1}, "wordings"),
    ],
)
def test_what_cannot_be_crossed_is_refused(asked: dict[str, object], said: str) -> None:
    with pytest.raises(IvxError, match=said):
        ivx.variance("tiny-sft", TASK, **{"samples": 6, **ASKED, **asked})
