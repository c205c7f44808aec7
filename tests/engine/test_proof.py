"""The proof of the plan: beyond true sliding windows, in half precision, and without a trace in anyone's draws."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

import ivx
from ivx.engine.forward import attention
from ivx.engine.plan import proof
from ivx.models import precision
from ivx.models.load import load, wrap
from ivx.models.model import Model
from tests.support.random_models import random_model

DEEP: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 16,
    "vocab_size": 1001,
}


@contextmanager
def passes(model: Model) -> Iterator[list[tuple[int, int | None, torch.dtype]]]:
    """The tokens of every pass of the model itself, by hooks or a seam, its window then, and its dtype."""
    seen: list[tuple[int, int | None, torch.dtype]] = []
    whole = type(model.hf).forward

    def forward(self: Any, *args: Any, **named: Any) -> Any:
        seen.append((named["input_ids"].shape[1], getattr(self.config, "sliding_window", None), self.dtype))
        return whole(self, *args, **named)

    type(model.hf).forward = forward
    try:
        yield seen
    finally:
        type(model.hf).forward = whole


@pytest.mark.parametrize("kind", ["gemma3_text", "mistral"])
def test_the_proof_sees_beyond_the_true_window(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    about: dict[str, Any] = {"sliding_window": 40, "max_position_embeddings": 64, "num_hidden_layers": 4}
    model = random_model(kind, **about)
    with passes(model) as seen:
        assert proof.unfit(model) is None
    assert max(tokens for tokens, window, _ in seen if window == 40) > 40 and (3 in {window for _, window, _ in seen})
    # A plan that is right with narrow windows only is found out.
    wide = attention.window_of

    def window(module: Any, options: Any) -> int | None:
        found = wide(module, options)
        return None if found is None or found > proof.SHORT else found

    monkeypatch.setattr(attention, "window_of", window)
    assert "differ from plain hooks" in str(proof.unfit(random_model(kind, **about)))


@pytest.mark.parametrize(
    "about",
    [
        {"sliding_window": 2000, "max_position_embeddings": 4096},
        {"sliding_window": 40, "max_position_embeddings": 42},
    ],
)
def test_no_long_prompt_where_it_would_cost_too_much_or_cannot_be(about: dict[str, Any]) -> None:
    model = random_model("gemma3_text", **about)
    with passes(model) as seen:
        assert proof.unfit(model) is None
    assert max(tokens for tokens, _, _ in seen) < 10 and {3, about["sliding_window"]} == {w for _, w, _ in seen}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["llama", "gemma3_text", "qwen3"])
@pytest.mark.parametrize("seed", range(3))
def test_a_deep_model_in_half_precision_is_swept_by_plan(kind: str, dtype: torch.dtype, seed: int) -> None:
    model = random_model(kind, dtype=dtype, seed=seed, check=False, **DEEP)
    with passes(model) as seen:
        assert proof.unfit(model) is None
    assert {dtype for _, _, dtype in seen} == {dtype, torch.float32} and model.dtype == dtype


def test_a_wrong_plan_is_found_in_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "window_of", lambda module, options: None)
    why = str(proof.unfit(random_model("gemma3_text", dtype=torch.bfloat16, check=False, **DEEP)))
    assert "in float32, those of plain hooks by" in why


def test_without_room_for_a_copy_the_plan_is_compared_with_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "COPIED_BYTES", 0)
    model = random_model("gemma3_text", dtype=torch.bfloat16, check=False)
    with passes(model) as seen:
        assert proof.unfit(model) is None
    assert {dtype for _, _, dtype in seen} == {torch.bfloat16}


def test_nobodys_random_numbers_are_touched() -> None:
    """By loading, wrapping, the proofs and a first sweep: a user's draws are the same with ivx as without."""

    def state() -> tuple[object, ...]:
        numpy: Any = np.random.get_state()
        return torch.get_rng_state().tolist(), numpy[1].tolist(), numpy[2], random.getstate()

    before = state()
    model = load("tiny-sft")
    assert state() == before
    ivx.sweep(model, source=[[5, 6, 9]], target=[[7, 8, 9]], answer=[1], patches=["resid_post.1@0~-1", "z.1@0=random"])
    assert state() == before
    half = random_model("gemma3_text", dtype=torch.bfloat16, check=False)
    before = state()
    assert proof.unfit(wrap(half.hf)) is None
    assert state() == before
