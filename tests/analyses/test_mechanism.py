"""Mechanism: heads that change only where they look, or only what they read, are told apart exactly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoTokenizer

import ivx
from ivx.analyses.mechanism import MECHANISM
from ivx.analyses.mechanism.compute import replay
from ivx.analyses.mechanism.partners import asked_of, paired
from ivx.analyses.mechanism.request import MechanismRequest
from ivx.analyses.mechanism.result import SWAPPED, Mechanism, halves
from ivx.errors import IvxError, TaskError
from ivx.models.model import Model
from ivx.models.registry import EMBEDDED
from ivx.tasks import catalogue
from ivx.tasks.way import Way
from tests.support.random_models import random_model

TOKENIZER = AutoTokenizer.from_pretrained(EMBEDDED / "tiny-sft", local_files_only=True)
TASK = "tiny:animal/colour"
N = 24
TOLD, CUE, PLACE, ANSWER = range(4)
"""Directions of the stream: that a token tells the task, that it ends the prompt, where it stands, and the answer."""


def samples(model: Model) -> Any:
    return asked_of(model, MechanismRequest("planted", TASK, samples=N))[0]


def planted() -> Model:
    """Block 1 has two heads at work. Query head 0 looks, from the cue, for tokens that tell the task, and reads whether
    they stand before the query, which is the same in both runs: only where it looks differs. Query head 2, of the other
    key head, looks evenly, and reads what tells the task: only what it reads differs."""
    model = random_model("llama", tokenizer=TOKENIZER, num_hidden_layers=2, head_dim=8, check=False)
    hf: Any = model.hf
    asked = samples(model)
    own = {i for row in asked.rows for i in row.source} - {i for row in asked.counter for i in row.source}
    with torch.no_grad():
        for parameter in hf.parameters():
            parameter.zero_()
        hf.model.norm = nn.Identity()
        for block in hf.model.layers:
            block.input_layernorm = block.post_attention_layernorm = nn.Identity()
        hf.model.embed_tokens.weight[sorted(own), TOLD] = 1
        hf.model.embed_tokens.weight[[row.instructed[-1] for row in asked.rows], CUE] = 1
        attention = hf.model.layers[1].self_attn
        width = model.head_dim
        attention.q_proj.weight[width // 2 - 1, CUE] = 6.0  # the slowest pair: it hardly turns
        attention.k_proj.weight[width // 2 - 1, TOLD] = 1.0
        attention.v_proj.weight[0, PLACE] = 1.0
        attention.o_proj.weight[ANSWER, 0] = 1.0
        attention.v_proj.weight[width, TOLD] = 1.0
        attention.o_proj.weight[ANSWER, 2 * width] = 1.0
        hf.lm_head.weight[sorted({row.answer_id for row in asked.rows}), ANSWER] = 1

    def place(module: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
        output = output.clone()
        output[:, :-5, PLACE] = 1
        return output

    hf.model.embed_tokens.register_forward_hook(place)
    return model


@pytest.fixture(scope="module")
def model() -> Model:
    return planted()


@pytest.fixture(scope="module")
def found(model: Model) -> Mechanism:
    return ivx.mechanism(model, TASK, samples=N, heads=2)


def test_a_head_that_looks_elsewhere_and_one_that_reads_something_else_are_told_apart(found: Mechanism) -> None:
    assert set(found.top()) == {(1, 0), (1, 2)}
    effects = {cell.head: found.effects(cell.patch) for cell in found.cells()}
    for head, alone, other in ((0, "routing", "content"), (2, "content", "routing")):
        assert np.abs(effects[head]["total"]).min() > 1e-3
        assert np.abs(effects[head][alone] - effects[head]["total"]).max() <= 1e-9
        assert np.abs(effects[head][other]).max() <= 1e-9 and np.abs(effects[head]["interaction"]).max() <= 1e-9
    looks = {cell.head: found.looks[cell.patch] for cell in found.cells()}
    assert looks[0].moved > 0.01 and looks[2].moved == 0
    cells = {cell.head: cell for cell in found.cells()}
    assert (cells[0].says, cells[2].says) == ("where", "what")
    assert all(row == pytest.approx(1, abs=1e-3) for row in map(sum, looks[0].source))


def test_a_part_is_what_the_sites_inside_attention_do(model: Model, found: Mechanism) -> None:
    """Of the first head the row alone is the site `pattern`; of every head all of it is `z`, whatever the path."""
    measured = halves(N)[1]
    rows, counter = found.samples.rows[measured], found.samples.counter[measured]
    table = ivx.sweep(
        model,
        source=[row.instructed for row in rows],
        target=[row.instructed for row in counter],
        answer=[row.answer_id for row in rows],
        contrast=[row.contrast_id for row in rows],
        patches=["pattern.1.0@-1", "z.1.0@-1", "z.1.2@-1"],
    )
    level = (table["logit"].to_numpy() - table["contrast"].to_numpy()).reshape(4, len(rows))
    moved = level[1:] - level[0]
    assert np.abs(moved[0] - found.effects("z.1.0@-1")["routing"]).max() <= 1e-9
    for k, patch in ((1, "z.1.0@-1"), (2, "z.1.2@-1")):
        assert np.abs(moved[k] - found.effects(patch)["total"]).max() <= 1e-9


def test_rows_are_replayed_and_what_is_known_is_not_computed_again(model: Model, found: Mechanism) -> None:
    _, stored, again = replay(model, found, rows=20, seed=1, beat=lambda: None)
    assert np.abs(np.array(stored) - np.array(again)).max() <= 1e-9
    told: list[int] = []
    once = MECHANISM.compute(model, found.request, known=found.table, on_progress=lambda *_: told.append(1))
    assert not told and once.table.num_rows == found.table.num_rows and once.looks == found.looks


def test_prompts_differ_in_the_instruction_alone_and_align_by_role(found: Mechanism) -> None:
    for one, other in zip(found.samples.rows, found.samples.counter, strict=True):
        assert len(one.instructed) == len(other.instructed) and one.query == other.query
        assert (one.t_inst, one.keyword) == (other.t_inst, other.keyword) and one.source != other.source
        assert one.instructed[one.t_inst + 1 :] == other.instructed[one.t_inst + 1 :]
    assert any("tokens align by length" in said for said in found.receipt["warnings"])
    assert {cell.n for cell in found.cells()} == {N - N // 2}
    roles = set(found.table["role"].to_pylist())
    assert {f"{part} {control}" for part in SWAPPED for control in ("head", "random")} < roles


def test_without_wordings_of_equal_length_it_is_refused_with_a_cure(model: Model) -> None:
    pair = catalogue.find(TASK, collection="tiny")
    more = " ".join(["now"] * 20)
    longer = tuple(replace(w, text=f"{w.text} {more}", phrase=None) for w in pair.contrast.instructions)
    unlike = replace(pair, contrast=replace(pair.contrast, instructions=longer))
    with pytest.raises(TaskError, match="no wordings of equal token length exist .* choose another contrast"):
        paired(unlike, ["crow"], Way(), TOKENIZER, seed=0)
    same = replace(pair, contrast=replace(pair.contrast, instructions=pair.task.instructions))
    with pytest.raises(TaskError, match="both need wordings of their own"):
        paired(same, ["crow"], Way(), TOKENIZER, seed=0)
    with pytest.raises(IvxError, match="leave demonstrations out"):
        MechanismRequest("planted", TASK, demonstrations=4)
