"""Heads' shares: they sum to what attention adds, and without a norm behind the projection they are W_O z."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ivx.engine.linear.heads import behind_norm, head_shares
from ivx.errors import IvxError, UnsupportedArchitecture
from ivx.models.model import Model
from tests.support import oracle
from tests.support.random_models import random_model

PROMPTS = [[5, 9, 33, 71], [8, 2, 61], [44, 7, 19, 3]]
KINDS = {
    "olmo2": True,
    "gemma2": True,
    "gemma3_text": True,
    "glm4": True,
    "exaone4": True,
    "llama": False,
    "qwen3": False,
    "gpt2": False,
    "gpt_neox": False,
    "phi": False,
    "granite": False,
    "mixtral": False,
}


def seen(model: Model, kind: str, site: str, layer: int) -> list[torch.Tensor]:
    return [oracle.states(model.hf, kind, ids, (site, layer))[-1] for ids in PROMPTS]


@pytest.mark.parametrize("kind", KINDS)
def test_shares_sum_to_what_attention_adds(kind: str) -> None:
    model = random_model(kind)
    found = head_shares(model, PROMPTS)
    assert behind_norm(model) == KINDS[kind]
    assert np.abs(found.heads.sum(axis=1) + found.rest - found.added).max() < 1e-10 * np.abs(found.added).max()
    assert np.abs(found.heads).sum(axis=(1, 2)).min() > 0.1
    if kind in oracle.NAMES:
        for layer in range(model.layers):
            added = torch.stack(seen(model, kind, "attn_out", layer)).mean(0).numpy()
            assert found.added[layer] == pytest.approx(added, abs=1e-12)


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gpt2", "phi"])
def test_without_a_norm_a_share_is_todds(kind: str) -> None:
    """W_O^h times the mean of z^h, by the weights alone."""
    model = random_model(kind)
    found = head_shares(model, PROMPTS)
    for layer in range(model.layers):
        mean = torch.stack(seen(model, kind, "z", layer)).mean(0)
        projection: Any = model.module(layer, model.anatomy.projection)
        weight = projection.weight.T if kind == "gpt2" else projection.weight
        for head in range(model.heads):
            part = slice(head * model.head_dim, (head + 1) * model.head_dim)
            todd = (weight[:, part] @ mean[part]).detach().numpy()
            assert found.heads[layer, head] == pytest.approx(todd, abs=1e-12)


@pytest.mark.parametrize("kind", ["olmo2", "gemma2", "gemma3_text"])
def test_behind_a_norm_a_share_has_its_scale(kind: str) -> None:
    """γ ⊙ W_O^h z^h / rms(o), prompt by prompt, by the weights alone."""
    model = random_model(kind)
    found = head_shares(model, PROMPTS)
    for layer in range(model.layers):
        block: Any = model.blocks[layer]
        weight, norm = block.self_attn.o_proj.weight, block.post_attention_layernorm
        gain = norm.weight if kind == "olmo2" else 1 + norm.weight
        epsilon = norm.variance_epsilon if kind == "olmo2" else norm.eps
        for head in (0, model.heads - 1):
            part = slice(head * model.head_dim, (head + 1) * model.head_dim)
            shares = []
            for z in seen(model, kind, "z", layer):
                whole = weight @ z
                shares.append(gain * (weight[:, part] @ z[part]) / (whole.pow(2).mean() + epsilon).sqrt())
            wanted = torch.stack(shares).mean(0).detach().numpy()
            assert found.heads[layer, head] == pytest.approx(wanted, abs=1e-6 * np.abs(wanted).max())


def test_batches_change_nothing() -> None:
    model = random_model("olmo2")
    whole = head_shares(model, PROMPTS)
    apart = [head_shares(model, [ids]).heads for ids in PROMPTS]
    assert whole.heads == pytest.approx(np.mean(apart, axis=0), abs=1e-12)


def test_what_is_no_sum_is_refused() -> None:
    model = random_model("llama")
    projection = model.module(1, model.anatomy.projection)
    handle = projection.register_forward_hook(lambda module, args, output: output.tanh())
    with pytest.raises(UnsupportedArchitecture, match="does not sum to what attention adds in block 1"):
        head_shares(model, PROMPTS)
    handle.remove()
    with pytest.raises(IvxError, match="bfloat16, in which the shares"):
        head_shares(random_model("llama", dtype=torch.bfloat16, check=False), PROMPTS)
