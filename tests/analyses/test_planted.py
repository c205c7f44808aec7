"""Planted circuits: what each view says of a sum, AND, OR, XOR, and of two heads that do the same.

A model without norms reads one bit of the query's token in two blocks, each into a direction of its own at the last
token; its last MLP combines the two bits and writes the answer. Whatever the view, the truth is known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoTokenizer

import ivx
from ivx.models.model import Model
from ivx.models.registry import EMBEDDED
from ivx.patching.prepare import samples_of
from tests.analyses.test_contract import small
from tests.support.random_models import random_model

TOKENIZER = AutoTokenizer.from_pretrained(EMBEDDED / "tiny-sft", local_files_only=True)
TASK = "tiny:animal/colour"
BIT, ONE, OTHER, ANSWER = range(4)
"""Directions of the stream: the bit that a token holds, what each of two blocks reads, and the answer."""
READERS = (1, 2)
N = 12
Combined = Callable[[Tensor, Tensor], Tensor]
CIRCUITS: dict[str, Combined] = {
    "sum": lambda a, b: a + b,
    "and": lambda a, b: a * b,
    "or": lambda a, b: a + b - a * b,
    "xor": lambda a, b: a + b - 2 * a * b,
}
J = {"sum": 0.0, "and": 1.0, "or": -1.0, "xor": -2.0}
"""What both bits do together beyond each alone."""


class Combining(nn.Module):
    """The last block's MLP: the answer is the combination of two bits, each read from a mean over all tokens."""

    def __init__(self, combine: Combined) -> None:
        super().__init__()
        self.combine = combine

    def forward(self, state: Tensor) -> Tensor:
        # Every token but the query's holds the bit, and attention is even: with t tokens a reader finds (t − 1) / t.
        tokens = torch.arange(1, state.shape[1] + 1, dtype=state.dtype)[None]
        one, other = (state[..., way] * tokens - (tokens - 1) for way in (ONE, OTHER))
        found = torch.zeros_like(state)
        found[..., ANSWER] = self.combine(one, other)
        return found


def planted(combine: Combined, *, readers: tuple[tuple[int, int], ...] = ((1, ONE), (2, OTHER))) -> Model:
    """A model whose blocks `readers` copy the bit into a direction, and whose last MLP combines the two."""
    model = random_model("llama", tokenizer=TOKENIZER, num_hidden_layers=4, check=False)
    hf: Any = model.hf
    rows = samples_of(model, small(ivx.analyses.effects.EFFECTS, task=TASK, samples=N))[1].rows
    with torch.no_grad():
        for parameter in hf.parameters():
            parameter.zero_()
        hf.model.norm = nn.Identity()
        for block in hf.model.layers:
            block.input_layernorm = block.post_attention_layernorm = nn.Identity()
        hf.model.embed_tokens.weight[:, BIT] = 1
        for row in rows:
            hf.model.embed_tokens.weight[list(row.target[slice(*row.query_span)]), BIT] = 0
        for k, (layer, way) in enumerate(readers):
            head = hf.model.layers[layer].self_attn
            head.v_proj.weight[0, BIT] = 1  # of key-value head 0, which query heads 0 and 1 share
            head.o_proj.weight[way, k * model.head_dim if layer == readers[0][0] else 0] = 1
        hf.lm_head.weight[[row.answer_id for row in rows], ANSWER] = 1
        hf.model.layers[-1].mlp = Combining(combine)
    return model


@pytest.mark.parametrize("name", CIRCUITS)
def test_the_clean_game_names_what_is_planted_and_nothing_else(name: str) -> None:
    """In the view that Interactions opens with."""
    model = planted(CIRCUITS[name])
    found = ivx.game(model, TASK, samples=N, position="query")
    pairs = found.pair_map()
    assert pairs[READERS].value == pytest.approx(J[name], abs=1e-12)
    assert max(abs(v.value) for pair, v in pairs.items() if pair != READERS) < 1e-12
    index = {pair: v.value for pair, v in found.interactions().items()}
    assert index[READERS] == pytest.approx(J[name], abs=1e-12)
    states = {pair for pair, v in found.interactions().items() if v.state in ("ok", "control")}
    assert states == ({READERS} if J[name] else set())
    assert (found.additivity() == pytest.approx(1, abs=1e-12)) == (name == "sum")
    print(f"{name:5} game: J = {pairs[READERS].value:+.2f}, {len(states)} of {len(pairs)} pairs, "
          f"additive models explain {found.additivity():.0%}")  # fmt: skip


@pytest.mark.parametrize("name", CIRCUITS)
def test_overwriting_makes_a_sum_interact_and_says_so(name: str) -> None:
    found = ivx.interactions(planted(CIRCUITS[name]), TASK, samples=N, position="query")
    moved = [cell for cell in found.cells() if not cell.degenerate and abs(cell.j) > 1e-9]
    assert any("overwrites" in note for note in found.notes())
    if name == "sum":
        assert moved, "the later patch erases what the earlier one had put there"
    print(f"{name:5} whole stream: {len(moved)} of {len(found.cells())} pairs have a J, "
          f"to {max((cell.j for cell in moved), key=abs, default=0):+.2f}")  # fmt: skip


def test_a_random_linear_model_has_no_interaction_in_the_view_that_opens() -> None:
    model = random_model("llama", tokenizer=TOKENIZER, num_hidden_layers=4, check=False)
    hf: Any = model.hf
    for block in hf.model.layers:
        block.input_layernorm = block.post_attention_layernorm = nn.Identity()
        block.self_attn.q_proj.weight.zero_()
        block.mlp.down_proj.weight.zero_()
    hf.model.norm = nn.Identity()
    found = ivx.game(model, TASK, samples=N)
    assert np.abs(found.values()).max() > 0.1
    assert max(abs(v.value) for v in found.interactions().values()) < 1e-12
    assert not any(v.state in ("ok", "control") for v in found.interactions().values())


def test_an_or_of_two_heads_is_found_by_denoising_and_by_ablating_both() -> None:
    """Two heads of one block read the bit, and either is enough: neither is missed alone."""
    model = planted(lambda a, b: torch.maximum(a, b), readers=((1, ONE), (1, OTHER)))
    heads = ivx.effects(model, TASK, samples=N, sites=("z",))
    acting = {(cell.layer, cell.column): cell.value for cell in heads.cells("z") if abs(cell.value) > 1e-9}
    assert acting.keys() == {(1, 0), (1, 1)} and all(value > 0 for value in acting.values())
    ablated = ivx.effects(model, TASK, samples=N, sites=("z",), direction="zero", position="last", controls=("task",))
    assert all(abs(cell.value) < 1e-9 for cell in ablated.cells("z")), "no single ablation is missed"
    rows = heads.samples.rows
    table = ivx.sweep(
        model,
        source=[row.source for row in rows],
        target=[row.instructed for row in rows],
        answer=[row.answer_id for row in rows],
        patches=["z.1.0@-1=zero", "z.1.1@-1=zero", "z.1.0@-1=zero,z.1.1@-1=zero"],
    )
    logit = table["logit"].to_numpy().reshape(4, N)
    lost = (logit[0] - logit[1:]).mean(axis=1)
    assert lost[:2] == pytest.approx(0, abs=1e-9) and lost[2] > 0.5
    print(f"or of two heads: denoising {sorted(round(v, 2) for v in acting.values())}, ablated alone "
          f"{lost[:2].round(2)}, both {lost[2]:.2f}")  # fmt: skip
