"""A row depends on its prompt alone, whatever was run before it and however its rotary embedding is scaled."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import ivx
from ivx.models.model import Model
from tests.support.random_models import random_model

DYNAMIC = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
LONG = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0, 1.1, 1.2, 1.3],
    "long_factor": [1.5, 2.0, 3.0, 4.0],
    "original_max_position_embeddings": 12,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 10000.0, "original_max_position_embeddings": 12}
LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "rope_theta": 10000.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 12,
}
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("llama", DYNAMIC),
    ("qwen2", DYNAMIC),
    ("phi3", LONG),
    ("llama", LONG),
    ("llama", YARN),
    ("llama", LINEAR),
    ("llama", LLAMA3),
    ("olmo2", DYNAMIC),
]
PROMPTS = [[(7 * i + 3) % 90 + 5 for i in range(n)] for n in (44, 8, 30, 11, 18, 12, 13)]


@pytest.mark.parametrize(("kind", "rope"), KINDS)
def test_prompts_in_any_order_give_equal_rows(kind: str, rope: dict[str, Any]) -> None:
    def fresh() -> Model:
        # The embedding's own arithmetic is in float32, whatever the model's dtype.
        most = 64 if "original_max_position_embeddings" in rope else 12
        return random_model(kind, rope_parameters=rope, max_position_embeddings=most)

    alone: list[float] = []
    for ids in PROMPTS:
        with torch.inference_mode():
            alone.append(float(fresh().hf(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1, 9]))
    model = fresh()
    patches = ["resid_post.1@-1"]
    for order in (range(7), range(6, -1, -1), (3, 0, 5, 2, 6, 1, 4)):
        prompts = [PROMPTS[k] for k in order]
        rows = ivx.sweep(model, source=prompts, target=prompts, answer=[9] * 7, patches=patches).to_pylist()
        for row in rows:
            assert row["logit"] == pytest.approx(alone[order[row["sample"]]], abs=1e-9), (row, rope)
