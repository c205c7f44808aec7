"""Windows of layers and ranges of tokens: a cell that patches several states together, against plain hooks."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import AutoTokenizer

import ivx
from ivx.analyses.effects.request import EffectsRequest
from ivx.engine.address import parse
from ivx.errors import IvxError
from ivx.models.registry import EMBEDDED
from tests.support import oracle
from tests.support.random_models import random_model

TOKENIZER = AutoTokenizer.from_pretrained(EMBEDDED / "tiny-sft", local_files_only=True)
MODEL = random_model("gpt2", tokenizer=TOKENIZER, num_hidden_layers=4, n_layer=4)
TASK = "tiny:animal/colour"


def test_cells_of_windows_and_ranges_are_single_rows_of_hooks() -> None:
    asked: dict[str, Any] = {"samples": 2, "sites": ("mlp_out",), "window": 3, "span": 2}
    found = ivx.effects(MODEL, TASK, **asked)
    rows, columns = found.samples.rows, found.maps["mlp_out"]
    sources, targets = [list(s.source[: s.t_inst + 1]) for s in rows], [list(s.target) for s in rows]
    assert len({cell.patch for cell in found.cells("mlp_out")}) == 4 * len(columns)

    def level(patch: str, k: int) -> float:
        edits = oracle.edits_of(MODEL.hf, "gpt2", patch, sample=k, sources=sources, targets=targets) if patch else {}
        logits = oracle.run(MODEL.hf, "gpt2", targets[k], edits)
        return float(logits[rows[k].answer_id] - logits[rows[k].contrast_id])

    bare = [level("", k) for k in range(2)]
    for cell in found.cells("mlp_out"):
        reached = range(max(0, cell.layer - 1), min(3, cell.layer + 1) + 1)
        put = [column.position for column in columns[cell.column : cell.column + 2]]
        assert cell.patch == ",".join(f"mlp_out.{layer}@{at}~-1" for layer in reached for at in put)
        assert cell.value == pytest.approx(sum(level(cell.patch, k) - bare[k] for k in range(2)) / 2, abs=1e-9)
    whole = ivx.effects(MODEL, TASK, samples=2, sites=("mlp_out",), window=4, layers="1", position="1")
    (cell,) = whole.cells("mlp_out")
    assert [patch.layer for patch in parse(cell.patch)] == [0, 1, 2, 3]
    assert whole.figures()["mlp_out"]["title"]["text"].endswith("the 4 layers around each")
    told = whole.summary()
    assert told["joint"] == "the 4 layers around its own" and told["cells"][0]["controls"]["task"]


def test_a_disturbed_run_has_windows_too() -> None:
    found = ivx.effects(MODEL, TASK, samples=2, sites=("attn_out",), direction="zero", window=2, controls=("task",))
    cell = next(c for c in found.cells("attn_out") if c.layer == 1 and c.column == 0)
    assert [str(patch).partition("@")[0] for patch in parse(cell.patch.replace("t_inst", "0"))] == [
        "attn_out.1",
        "attn_out.2",
    ]
    assert len(found.detail("attn_out", cell.patch)) == 2


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"window": 5}, "this model has 4 layers"),
        ({"window": 2, "sites": ("resid_post", "z")}, "heads have no window"),
        ({"window": 20, "span": 6}, "100 states at most"),
        ({"span": 0}, "span is 0"),
    ],
)
def test_what_has_no_window_is_refused(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(IvxError, match=told):
        ivx.effects(MODEL, TASK, **{"samples": 2, "sites": ("resid_post",), **asked})


def test_one_state_a_cell_is_the_run_that_it_was() -> None:
    plain = ivx.effects(MODEL, TASK, samples=2, sites=("resid_post",))
    assert ivx.effects(MODEL, TASK, samples=2, sites=("resid_post",), window=1, span=1).run_id == plain.run_id
    assert ivx.effects(MODEL, TASK, samples=2, sites=("resid_post",), span=2).run_id != plain.run_id
    assert isinstance(plain.request, EffectsRequest) and plain.request.joint == ""
