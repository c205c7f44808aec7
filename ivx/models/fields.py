"""What the fields of a config may hold: whoever builds a model of a thousand million layers first and looks then, does
not look any more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ivx.errors import CheckpointError

_LAYERS, _HEADS, _WIDTH, _WIDE, _WORDS, _EXPERTS = 512, 16_384, 262_144, 4_194_304, 16_777_216, 65_536
COUNTS: Mapping[str, tuple[int, int]] = {
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), (1, _LAYERS)),
    **dict.fromkeys(("num_mtp_layers", "num_nextn_predict_layers", "first_k_dense_replace"), (0, _LAYERS)),
    **dict.fromkeys(("max_window_layers", "moe_layer_start_index"), (0, _LAYERS)),
    **dict.fromkeys(("moe_layer_interval", "decoder_sparse_step", "sliding_window_pattern"), (1, _LAYERS)),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "num_key_value_heads"), (1, _HEADS)),
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "head_dim", "v_head_dim"), (1, _WIDTH)),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim"), (1, _WIDTH)),
    **dict.fromkeys(("intermediate_size", "n_inner", "moe_intermediate_size", "d_ff"), (1, _WIDE)),
    "shared_expert_intermediate_size": (0, _WIDE),
    "vocab_size": (1, _WORDS),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx"), (1, 10**9)),
    "original_max_position_embeddings": (1, 10**9),
    **dict.fromkeys(("sliding_window", "keep_window_size"), (0, 10**9)),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), (0, _EXPERTS)),
    **dict.fromkeys(("num_experts_per_tok", "n_shared_experts", "num_shared_experts"), (0, _EXPERTS)),
    **dict.fromkeys(("n_group", "topk_group", "moe_k", "moe_num_shared_experts"), (0, _EXPERTS)),
    "num_labels": (0, 1_000_000),
    "pretraining_tp": (0, 65_536),
    **dict.fromkeys(("r", "lora_r", "num_virtual_tokens", "num_transformer_submodules"), (1, 65_536)),
    "encoder_hidden_size": (1, _WIDTH),
    "chunk_size_feed_forward": (0, 0),
}
"""The least and the most of each count, of a model or an adapter."""
POSITIVE = ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_eps", "norm_epsilon", "rope_theta")
"""Numbers above nought."""
NAMES = ("hidden_act", "activation_function", "hidden_activation")
"""Names of an activation."""
_OLDER_ROPES = ("default", "su", "mrope")
_DTYPE = re.compile(r"(torch\.)?(auto|bfloat16|float(16|32|64)|float8_\w+|u?int(8|16|32|64))")
SHOWN = 60
"""Characters of a value that are told."""


def refuse_nonsense(told: Mapping[str, Any], path: Path, *, name: str) -> None:
    """Refuse a config with a count or a number that no model has; raises `CheckpointError` naming field and value."""
    _look(told, path, name, "")


def refuse_unknown(told: Mapping[str, Any], path: Path, *, name: str) -> None:
    """Refuse a config that names an activation, a rotary embedding or a dtype that transformers has not; raises
    `CheckpointError` naming field and value."""
    from transformers.activations import ACT2FN
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    ropes = {*ROPE_INIT_FUNCTIONS, *_OLDER_ROPES}
    inner = told.get("text_config")
    for where, config in (("", told), ("text_config.", inner if isinstance(inner, dict) else {})):
        named = [(field, config.get(field), set(ACT2FN)) for field in NAMES]
        for field in ("rope_scaling", "rope_parameters"):
            kinds = config.get(field)
            kinds = kinds if isinstance(kinds, dict) else {}
            for within in (kinds, *(one for one in kinds.values() if isinstance(one, dict))):
                named += [(f"{field}.{key}", within.get(key), ropes) for key in ("type", "rope_type")]
        for field, value, known in named:
            if value is not None and (not isinstance(value, str) or value not in known):
                _refuse(f"{where}{field}", value, "the name of one that transformers has", path, name)
        for field in ("dtype", "torch_dtype"):
            value = config.get(field)
            if value is not None and not (isinstance(value, str) and _DTYPE.fullmatch(value)):
                _refuse(f"{where}{field}", value, "the name of a dtype, such as float32", path, name)


def _refuse(field: str, value: Any, wanted: str, path: Path, name: str) -> None:
    raise CheckpointError(
        f"{name}: {field:.60} in {path} is {_shown(value)}, not {wanted}: copy it again, or use a checkpoint that "
        "transformers has saved"
    )


def _look(told: Mapping[str, Any], path: Path, name: str, within: str) -> None:
    for field, value in told.items():
        if isinstance(value, dict) and field == "rank_pattern":  # ranks by the names of modules
            for module, rank in value.items():
                _look({"r": rank}, path, name, f"{within}{field}.{module[:40]}.")
        elif isinstance(value, dict):
            _look(value, path, name, f"{within}{field}.")
        elif wanted := _wanted(field, value, is_text=within in ("", "text_config.")):
            _refuse(f"{within}{field}", value, wanted, path, name)


def _wanted(field: str, value: Any, *, is_text: bool) -> str:
    """What the field of a config holds instead; empty where this is such a value, or the field is of no concern."""
    if value is None:
        return ""
    if field in COUNTS:
        least, most = COUNTS[field]
        is_count = isinstance(value, int) and not isinstance(value, bool)
        if not is_count and (is_text or isinstance(value, float)):
            return f"a whole number from {least} to {most:,}"
        return f"a whole number from {least} to {most:,}" if is_count and not least <= value <= most else ""
    if field in POSITIVE:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return "" if is_number and value > 0 else "a number above 0"
    if field == "lora_alpha":
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return "" if is_number and abs(value) <= 10**9 else "a number"
    if field in NAMES and is_text:
        return "" if isinstance(value, str) else "the name of an activation"
    return ""


def _shown(value: Any) -> str:
    told = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else repr(value)
    return told if len(told) <= SHOWN else f"{told[:SHOWN]}…"
