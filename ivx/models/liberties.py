"""Liberties that a checkpoint's documents take: what they say of how it is computed, and by whose code.

transformers believes them: an attention by the name of a kernel is fetched from the hub and run, another file is read
in the place of the one that was judged. How a model is computed is said by whoever loads it, so none of these is ever
taken from a checkpoint; what a model *is* stays as it was.
"""

from __future__ import annotations

import re
from typing import Any

_CODE = re.compile(
    r"""
    _?(attn|attention|experts|mlp|moe|rope|linear_attn|conv)_implementation(_internal|_autoset)?
    | (use|allow_all)_(hub_)?kernels | kernel_config | fusion_config
    | (use_)?_?flash_attn(_2)? | _?use_flash_attention_2 | _?use_sdpa
    | auto_map(ping)? | custom_(pipelines|generate|code) | trust_remote_code | code_revision | torchscript
    | (base_model_)?(tp|pp|ep|fsdp)_plan | distributed_config | device_map | compile_config
    | (use_)?return_dict | output_(attentions|hidden_states)
    """,
    re.VERBOSE,
)
"""Names that say by which code a model is computed, or what its code hands out."""
_PLACES = re.compile(
    r".*_files? | transformers_weights | _commit_hash | subfolder | vocab | merges | tokenizer_object | init_inputs",
    re.VERBOSE,
)
"""Names that say from which other file something is read, or take the place of what would have been read."""


def taken_away(told: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint's document says, at whatever depth, without the liberties."""
    return {key: _within(value) for key, value in told.items() if not is_one(key)}


def is_one(key: str) -> bool:
    """Whether a name in a checkpoint's document is a liberty."""
    return bool(_CODE.fullmatch(key) or _PLACES.fullmatch(key))


def _within(value: Any) -> Any:
    if isinstance(value, dict):
        return taken_away(value)
    return [_within(one) for one in value] if isinstance(value, list) else value
