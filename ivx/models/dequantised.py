"""A model out of a GGUF file: transformers' own reader, with the weights dequantised.

What the header says of the model and transformers does not read (a scaled rotary embedding, a tensor that has no place)
would be another model without a word, and is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from math import isclose
from pathlib import Path
from typing import Any

from ivx import scratch
from ivx.errors import CheckpointError, UnsupportedArchitecture, boundary
from ivx.models.gguf import header_of

_AS_GPT2 = ("default", "gpt-2", "jais", "mpt", "olmo", "phi-2", "trillion")
"""Ways to split a text, by llama.cpp's names, that are GPT-2's: transformers' own where it knows no other."""
_BY_DIGIT = ("codeshell", "command-r", "exaone", "minerva-7b", "refact", "smollm", "starcoder")
"""The same with every digit by itself, which is no other where no token joins one to anything."""
_JOINED = re.compile(r"(?:Ġ|\d)\d", re.ASCII)


def config_of(path: Path, *, name: str) -> Any:
    """The config that transformers makes of the file's keys; every fact of the model among these agrees with it."""
    found = header_of(path, name=name)
    told = f"{name}: transformers makes no model of a GGUF file of architecture {found.architecture[:40]!r}"
    with boundary(UnsupportedArchitecture, told, "use a checkpoint in safetensors"), _alone() as nowhere:
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(
            nowhere, gguf_file=str(path.resolve()), trust_remote_code=False, local_files_only=True
        )
    for key, value in found.keys.items():
        own = key.removeprefix(f"{found.architecture}.")
        if own != key and not _agrees(own, value, config):
            raise UnsupportedArchitecture(
                f"{name}: {path} says {key} = {str(value):.60}, which transformers does not read, so that another "
                "model would be shown: use the checkpoint that it was made from"
            )
    return config


def model_of(path: Path, config: Any, *, name: str, dtype: Any, parameters: int) -> tuple[Any, dict[str, Any]]:
    """The model, dequantised to `dtype`, and transformers' account of missing tensors.

    Args:
        config: as `config_of` gives it.
        parameters: how many numbers the model has; the file must hold as many.
    """
    held = header_of(path, name=name).numbers
    if held != parameters:
        raise CheckpointError(
            f"{name}: {path} holds {held:,} numbers and the architecture has {parameters:,}: what has no place, such "
            "as the frequencies of a scaled rotary embedding, would be left out; use the checkpoint it was made from"
        )
    with boundary(CheckpointError, f"{name}: the weights in {path} cannot be read", "copy it again"):
        with _alone() as nowhere:
            from transformers import AutoModelForCausalLM
            from transformers.utils.quantization_config import GgufConfig

            read: Any = AutoModelForCausalLM.from_pretrained(
                nowhere,
                config=config,
                gguf_file=str(path.resolve()),
                dtype=dtype,
                # Else its blocks could stay packed, and kernels for them be fetched from the hub.
                quantization_config=GgufConfig(dequantize=True),
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
            )
        hf, loading = read
    # It is an ordinary model now, and is saved as one.
    for part in ("hf_quantizer", "is_quantized", "quantization_method"):
        vars(hf).pop(part, None)
    vars(hf.config).pop("quantization_config", None)
    return hf, loading


def tokenizer_of(path: Path, *, name: str) -> Any:
    """The tokenizer that the file describes, with its chat template.

    Raises:
        CheckpointError: the file is broken, or splits text in a way that transformers does not know; and what
        transformers raises.
    """
    keys = header_of(path, name=name).keys
    with _alone() as nowhere:
        from transformers import AutoTokenizer

        found = AutoTokenizer.from_pretrained(
            nowhere, gguf_file=str(path.resolve()), trust_remote_code=False, local_files_only=True
        )
    if keys.get("tokenizer.ggml.model") == "gpt2" and not _splits(keys.get("tokenizer.ggml.pre", "default"), found):
        raise CheckpointError(
            f"{name}: {path} splits text as {str(keys['tokenizer.ggml.pre']):.40}, which transformers does not know, "
            "so that its tokens would be others: use the checkpoint that it was made from"
        )
    return found


def _splits(way: str, tokenizer: Any) -> bool:
    """Whether transformers' tokenizer splits a text in that way before merges apply."""
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    if way in GGUF_PRE_TOKENIZER_SPLITS or way in _AS_GPT2:
        return True
    return way in _BY_DIGIT and not any(map(_JOINED.search, tokenizer.get_vocab()))


@contextmanager
def _alone() -> Iterator[str]:
    """A directory with nothing in it, so that the file alone is read and not what lies beside it; and no bars."""
    from transformers import modeling_gguf_pytorch_utils as reader

    bar = reader.tqdm
    reader.tqdm = lambda tensors, **_: tensors
    try:
        with scratch.folder("gguf") as nowhere:
            yield nowhere
    finally:
        reader.tqdm = bar


def _agrees(key: str, value: Any, config: Any) -> bool:
    """Whether the model of a config is one of which this fact is true; False for a fact that is not known."""
    rope = getattr(config, "rope_parameters", None) or {}
    rope = rope.get("full_attention", rope)
    heads = getattr(config, "num_attention_heads", None)
    head = getattr(config, "head_dim", None) or (config.hidden_size // heads if heads else None)
    turned = rope.get("partial_rotary_factor", getattr(config, "partial_rotary_factor", None)) or 1.0
    facts = {
        "context_length": _first(config, "max_position_embeddings", "n_positions"),
        "block_count": _first(config, "num_hidden_layers"),
        "embedding_length": _first(config, "hidden_size"),
        "vocab_size": config.vocab_size,
        "feed_forward_length": _first(config, "intermediate_size", "n_inner") or 4 * config.hidden_size,
        "expert_feed_forward_length": _first(config, "moe_intermediate_size"),
        "expert_shared_feed_forward_length": _first(config, "shared_expert_intermediate_size"),
        "expert_count": _first(config, "num_experts", "num_local_experts"),
        "expert_used_count": _first(config, "num_experts_per_tok"),
        "attention.head_count": heads,
        "attention.head_count_kv": _first(config, "num_key_value_heads") or heads,
        "attention.key_length": head,
        "attention.value_length": head,
        "attention.layer_norm_rms_epsilon": _first(config, "rms_norm_eps", "norm_eps"),
        "attention.layer_norm_epsilon": _first(config, "layer_norm_epsilon", "layer_norm_eps", "norm_epsilon"),
        "attention.sliding_window": _first(config, "sliding_window"),
        "attn_logit_softcapping": _first(config, "attn_logit_softcapping"),
        "final_logit_softcapping": _first(config, "final_logit_softcapping"),
        "logit_scale": _first(config, "logit_scale"),
        "use_parallel_residual": _first(config, "use_parallel_residual"),
        "rope.dimension_count": head and round(head * turned),
        "rope.freq_base": rope.get("rope_theta"),
        "rope.scaling.type": "none" if rope.get("rope_type", "default") == "default" else None,
    }
    wanted = facts.get(key)
    if isinstance(value, float) and isinstance(wanted, (int, float)):
        return isclose(value, wanted, rel_tol=1e-5)
    return value is not None and value == wanted


def _first(config: Any, *names: str) -> Any:
    return next((found for name in names if (found := getattr(config, name, None)) is not None), None)
