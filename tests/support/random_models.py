"""Small models of real architectures with random weights, large enough in effect that no check passes by chance."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import AutoConfig

from ivx.models.load import wrap
from ivx.models.model import Model
from tests.support import published

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 101,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS = {
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 24,
}
GROUPED = EXPERTS | {"n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "num_key_value_heads": 4}
LATENT = GROUPED | {
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "head_dim": None,
}
OWN: dict[str, dict[str, Any]] = {
    "cohere2": {"sliding_window": 4},
    "deepseek_v2": LATENT,
    "deepseek_v3": LATENT,
    "dots1": GROUPED | {"n_shared_experts": 1},
    "falcon": {"head_dim": None},
    "exaone4": {"sliding_window": 4},
    "flex_olmo": EXPERTS,
    "gpt_oss": EXPERTS | {"sliding_window": 4},
    "granitemoe": EXPERTS | {"residual_multiplier": 0.7},
    "mixtral": EXPERTS,
    "olmoe": EXPERTS,
    "qwen2_moe": EXPERTS,
    "gpt2": {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64, "n_inner": 48, "num_key_value_heads": None},
    "biogpt": {"num_key_value_heads": None},
    "persimmon": {"num_key_value_heads": None},
    "phi": {"num_key_value_heads": 4},
    "gpt_neox": {"num_key_value_heads": None},
    "qwen3_moe": EXPERTS,
    "granite": {"residual_multiplier": 0.7, "embedding_multiplier": 2.0},
    "stablelm": {"num_key_value_heads": 4},
    "mistral": {"sliding_window": 4},
    "gemma2": {"sliding_window": 4, "query_pre_attn_scalar": 8},
    "gemma3_text": {"sliding_window": 4, "query_pre_attn_scalar": 8},
}


ROUNDED_WITHIN = {"deepseek_v2", "deepseek_v3", "dots1", "ernie4_5_moe", "hy_v3"}
"""Their rotary embedding or router is computed in float32 whatever the dtype."""


def random_model(
    kind: str,
    *,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    check: bool = True,
    tokenizer: Any = None,
    **changed: Any,
) -> Model:
    """A 3-layer model of one architecture; weights are drawn wide so that every part moves the logits.

    With a tokenizer its vocabulary has that size; `changed` are other sizes.
    """
    sizes = {**SIZES, **OWN.get(kind, {}), **changed}
    if tokenizer is not None:
        sizes["vocab_size"] = len(tokenizer)
    config = AutoConfig.for_model(kind, **{k: v for k, v in sizes.items() if v is not None})
    torch.manual_seed(seed)
    experts = {"experts_implementation": "eager"} if hasattr(config, "num_experts_per_tok") else {}  # fused: no float64
    hf = published.made(config, dtype=dtype, **experts)
    with torch.no_grad():
        for name, value in hf.named_parameters():
            if value.ndim > 1:
                value.normal_(std=0.25)
            elif "norm" in name or "ln_" in name:
                value.add_(0.3 * torch.randn_like(value))
    return wrap(hf, tokenizer, check=check, name=f"random {kind}")


def linear_model(*, layers: int = 5, tokenizer: Any = None) -> Model:
    """A llama whose every block is linear: attention that does not look, no norm, an MLP with a constant gate."""
    config = AutoConfig.for_model(
        "llama", hidden_size=24, intermediate_size=32, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2, head_dim=6, max_position_embeddings=64, mlp_bias=True,
        vocab_size=101 if tokenizer is None else len(tokenizer),
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    hf = published.made(config, dtype=torch.float64)
    with torch.no_grad():
        for value in hf.parameters():
            value.normal_(std=0.2)
        for block in hf.model.layers:
            block.self_attn.q_proj.weight.zero_()
            block.mlp.gate_proj.weight.zero_()
            block.input_layernorm, block.post_attention_layernorm = nn.Identity(), nn.Identity()
    hf.model.norm = nn.Identity()
    return wrap(hf, tokenizer, name="linear llama")
