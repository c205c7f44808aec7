"""Small GGUF files, written by llama.cpp's own writer, and what is in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind
from transformers import AutoConfig, PreTrainedTokenizerFast

from tests.support import published
from tests.support.tokenizers import tokenizer

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "tie_word_embeddings": True,
}
CHAT = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
PARTS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def written(
    path: Path,
    kind: Kind = Kind.Q4_1,
    *,
    keys: dict[str, Any] | None = None,
    tensors: dict[str, np.ndarray] | None = None,
    embeddings: Kind | None = None,
    pre: str = "gpt-2",
) -> tuple[Any, PreTrainedTokenizerFast]:
    """Write a random llama whose matrices are of one type; return the model that the file stands for.

    Args:
        keys: further keys, or others.
        tensors: further tensors.
        pre: how it says that text is split.
        embeddings: the type of the embeddings, where it is another one.
    """
    tok = tokenizer("gpt2")
    tok.chat_template = CHAT
    torch.manual_seed(0)
    net = published.made(AutoConfig.for_model("llama", vocab_size=len(tok), **SIZES))
    with torch.no_grad():
        for value in net.parameters():
            value.normal_(std=0.25) if value.ndim > 1 else value.add_(0.2 * torch.randn_like(value))
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(SIZES["num_hidden_layers"])
    writer.add_context_length(SIZES["max_position_embeddings"])
    writer.add_embedding_length(SIZES["hidden_size"])
    writer.add_feed_forward_length(SIZES["intermediate_size"])
    writer.add_head_count(SIZES["num_attention_heads"])
    writer.add_head_count_kv(SIZES["num_key_value_heads"])
    writer.add_rope_dimension_count(SIZES["head_dim"])
    writer.add_rope_freq_base(net.config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(net.config.rms_norm_eps)
    writer.add_vocab_size(len(tok))
    _vocabulary(writer, tok, pre)
    for key, value in (keys or {}).items():
        match value:
            case str():
                writer.add_string(key, value)
            case float():
                writer.add_float32(key, value)
            case int():
                writer.add_uint32(key, value)
            case _:
                writer.add_array(key, value)
    for name, parameter in net.named_parameters():
        told = (embeddings or kind) if "embed" in name else kind
        parameter.data = torch.from_numpy(_add(writer, name, parameter.detach().numpy(), told))
    for name, extra in (tensors or {}).items():
        writer.add_tensor(name, extra)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return net.eval(), tok


def _vocabulary(writer: gguf.GGUFWriter, tok: PreTrainedTokenizerFast, pre: str) -> None:
    model = json.loads(tok.backend_tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    special = set(tok.all_special_tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if t in special else gguf.TokenType.NORMAL for t in tokens])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in model["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_chat_template(tok.chat_template)


def _add(writer: gguf.GGUFWriter, name: str, value: np.ndarray, kind: Kind) -> np.ndarray:
    """Write one tensor under llama.cpp's name, in its order of rows; return the numbers that the file then holds."""
    heads = {"q_proj": SIZES["num_attention_heads"], "k_proj": SIZES["num_key_value_heads"]}
    turned = next((count for part, count in heads.items() if part in name), None)
    laid = value if turned is None else _halves(value, turned, 2)
    kind = kind if value.ndim > 1 else Kind.F32
    stored = gguf.quantize(np.ascontiguousarray(laid, dtype=np.float32), kind)
    writer.add_tensor(_named(name), stored, raw_dtype=kind)
    held = gguf.dequantize(stored, kind).astype(np.float32).reshape(value.shape)
    return np.ascontiguousarray(held if turned is None else _halves(held, turned, SIZES["head_dim"] // 2))


def _halves(value: np.ndarray, heads: int, groups: int) -> np.ndarray:
    """Rows of each head: its two halves interleaved with 2 groups, and back with half a head's width of them."""
    return value.reshape(heads, groups, -1, value.shape[-1]).swapaxes(1, 2).reshape(value.shape)


def _named(name: str) -> str:
    if not name.startswith("model.layers."):
        return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}[name]
    layer, _, part = name.removeprefix("model.layers.").partition(".")
    return f"blk.{layer}.{PARTS[part.removesuffix('.weight')]}.weight"
