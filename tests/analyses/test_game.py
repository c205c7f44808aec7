"""The clean game: its runs against keys and values replaced by hand, and what is exact on a linear model."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from torch import nn
from transformers import AutoTokenizer

import ivx
from ivx.analyses import interactions
from ivx.engine.address import parse
from ivx.errors import IvxError
from ivx.models.model import Model
from ivx.models.registry import EMBEDDED
from tests.support import oracle
from tests.support.random_models import random_model

TOKENIZER = AutoTokenizer.from_pretrained(EMBEDDED / "tiny-sft", local_files_only=True)
TASK = "tiny:animal/colour"


def by_hand(hf: Any, source: list[int], target: list[int], blocks: tuple[int, ...], position: int) -> torch.Tensor:
    """Last-token logits where the keys and values of one token, as later tokens meet them, are set at every block.

    At the chosen blocks they are made of the source's state; at the others of the target's, whose own stream is thus
    as if nobody had touched it. Written at the key and value projections, of Llama alone.
    """

    def projected(ids: list[int], at: int, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        block = hf.model.layers[layer]
        state = block.input_layernorm(oracle.states(hf, "llama", ids, ("resid_pre", layer))[at])
        return block.self_attn.k_proj(state), block.self_attn.v_proj(state)

    made = [
        projected(source, -1, layer) if layer in blocks else projected(target, position, layer)
        for layer in range(len(hf.model.layers))
    ]
    with ExitStack() as stack, torch.no_grad():
        for block, given in zip(hf.model.layers, made, strict=True):
            for module, value in zip((block.self_attn.k_proj, block.self_attn.v_proj), given, strict=True):

                def put(m: nn.Module, a: Any, out: torch.Tensor, value: torch.Tensor = value) -> torch.Tensor:
                    out = out.clone()
                    out[:, position] = value
                    return out

                stack.callback(module.register_forward_hook(put).remove)
        return hf(input_ids=torch.tensor([target]), use_cache=False).logits[0, -1]


@pytest.mark.parametrize("position", ["first", "2"])
def test_every_coalition_is_what_hooks_on_keys_and_values_give(position: str) -> None:
    model = random_model("llama", tokenizer=TOKENIZER)
    found = ivx.game(model, TASK, samples=3, position=position)
    assert found.values().shape == (3, 8)
    for role, sources in (("effect", found.samples.rows), ("control", found.samples.control)):
        values = found.values("logit", role=role)
        for i, (sample, given) in enumerate(zip(found.samples.rows, sources, strict=True)):
            runs = [
                by_hand(model.hf, list(given.source), list(sample.target), blocks, found.position)[sample.answer_id]
                for blocks in [tuple(b for b in range(3) if k >> b & 1) for k in range(8)]
            ]
            assert values[i] == pytest.approx(np.array([float(run - runs[0]) for run in runs]), abs=1e-6)
    shapley, whole = [v.value for v in found.shapley()], found.values().mean(axis=0)
    assert sum(shapley) == pytest.approx(whole[-1]) and sum(found.dividends().values()) == pytest.approx(whole[-1])
    assert found.pair_map()[0, 2].value == pytest.approx(found.dividends()[0, 2])
    assert found.additivity() < 1 - 1e-6, "a random model is not linear"
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.hf.modules())


def linear_model(layers: int = 3) -> Model:
    """A Llama without norms, whose MLPs write nothing and whose heads attend evenly: logits are linear in states."""
    model = random_model("llama", tokenizer=TOKENIZER, num_hidden_layers=layers, check=False)
    for block in model.hf.model.layers:
        block.input_layernorm = block.post_attention_layernorm = nn.Identity()
        block.self_attn.q_proj.weight.zero_()
        block.mlp.down_proj.weight.zero_()
    model.hf.model.norm = nn.Identity()
    return model


def test_on_a_linear_model_nothing_interacts() -> None:
    model = linear_model()
    found = ivx.game(model, TASK, samples=3)
    assert np.abs(found.values()).max() > 0.1, "the blocks do something"
    for pairs in (found.interactions(), found.pair_map()):
        assert len(pairs) == 3 and max(abs(v.value) for v in pairs.values()) < 1e-12
    assert max(abs(d) for blocks, d in found.dividends().items() if len(blocks) > 1) < 1e-12
    assert found.additivity() == pytest.approx(1, abs=1e-12)
    heads = ivx.interactions(model, TASK, samples=3, sites=("z",), over="heads", position="last")
    one_block = [cell for cell in heads.cells() if cell.first.split(".")[1] == cell.second.split(".")[1]]
    assert len(one_block) == 18 and max(abs(cell.j) for cell in one_block) < 1e-12
    assert max(abs(cell.value) for cell in heads.singles()) > 0.1


def test_a_token_that_nothing_follows_is_refused() -> None:
    with pytest.raises(IvxError, match="no token follows position -1"):
        ivx.game("tiny-sft", "animal/colour", samples=2, position="-1")


@pytest.mark.parametrize("over", ["layers", "components"])
def test_added_differences_are_what_hooks_give_and_erase_nothing(over: str) -> None:
    """On a linear model two added differences add up exactly, where two overwritten states of one token do not."""
    sites = ("resid_post",) if over == "layers" else ("attn_out", "mlp_out")
    asked: dict[str, Any] = {"samples": 3, "sites": sites, "over": over}
    found = ivx.interactions(linear_model(), TASK, patch="delta", **asked)
    assert max(abs(cell.value) for cell in found.singles()) > 0.01
    assert max(abs(cell.j) for cell in found.cells()) < 1e-12 and not any(cell.degenerate for cell in found.cells())
    if over == "layers":
        plain = ivx.interactions(linear_model(), TASK, **asked)
        assert max(abs(cell.j) for cell in plain.cells() if not cell.degenerate) > 0.01
        assert any("overwrites" in note for note in plain.notes()) and not found.notes()
    model = random_model("llama", tokenizer=TOKENIZER)
    found = ivx.interactions(model, TASK, patch="delta", **asked)
    for row in found.table.filter(pc.field("role") == "effect").to_pylist()[::7]:
        told, idle = found.samples.rows[row["sample"]], found.samples.neutral[row["sample"]]
        moved = {
            patch: [
                oracle.states(model.hf, "llama", list(s.source), (patch.site, patch.layer))[-1] for s in (told, idle)
            ]
            for patch in (parse(row["patch"]) if row["patch"] else ())
        }
        with ExitStack() as stack, torch.no_grad():
            for patch, (state, other) in moved.items():
                block = model.hf.model.layers[patch.layer]
                module = {"resid_post": block, "attn_out": block.self_attn, "mlp_out": block.mlp}[patch.site]

                def put(m: nn.Module, a: Any, out: Any, vector: torch.Tensor = state - other) -> Any:
                    state = (out if isinstance(out, torch.Tensor) else out[0]).clone()
                    state[:, 0] += vector
                    return state if isinstance(out, torch.Tensor) else (state, *out[1:])

                stack.callback(module.register_forward_hook(put).remove)
            logits = model.hf(input_ids=torch.tensor([told.target]), use_cache=False).logits[0, -1]
        assert row["logit"] == pytest.approx(float(logits[told.answer_id]), abs=1e-6)
    names, stored, again = interactions.INTERACTIONS.steps.replay(model, found, rows=6, seed=1, beat=lambda: None)
    assert len(names) == 6 and stored == pytest.approx(again, abs=1e-6)
    with pytest.raises(IvxError, match="a delta is of whole states"):
        ivx.interactions(model, TASK, patch="delta", sites=("z",), over="heads", position="last")
