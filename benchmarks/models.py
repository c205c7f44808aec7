"""Models to measure on: real configs with random weights, and the workloads of a sweep."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from ivx.models.load import load, wrap
from ivx.models.model import Model
from ivx.models.registry import EMBEDDED

SHAPES = {
    "olmo2 16×512": ("olmo2", {"hidden_size": 512, "num_hidden_layers": 16, "intermediate_size": 2048}, 8, 8),
    "llama 12×512 GQA": ("llama", {"hidden_size": 512, "num_hidden_layers": 12, "intermediate_size": 1408}, 8, 2),
    "gpt2 12×768": ("gpt2", {"n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 512}, 12, None),
    "OLMo-2-1B": ("olmo2", {"hidden_size": 2048, "num_hidden_layers": 16, "intermediate_size": 8192}, 16, 16),
    "SmolLM2-135M": (
        "llama",
        {"hidden_size": 576, "num_hidden_layers": 30, "intermediate_size": 1536, "tie_word_embeddings": True},
        9,
        3,
    ),
    "gemma-3-270m": (
        "gemma3_text",
        {
            "hidden_size": 640,
            "num_hidden_layers": 18,
            "intermediate_size": 2048,
            "head_dim": 256,
            "sliding_window": 512,
        },
        4,
        1,
    ),
}
REAL = {"SmolLM2-135M": "IVX_SMOLLM2"}
"""Shapes whose real weights are taken where this variable names their directory."""
VOCABULARY = {"OLMo-2-1B": 100_352, "SmolLM2-135M": 49_152, "gemma-3-270m": 262_144}


def random_checkpoint(name: str, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Model:
    """A model of one of the shapes, with random weights from a fixed seed, or its real ones where they are there."""
    there = os.environ.get(REAL.get(name, ""), "")
    if there:
        return load(there, dtype=str(dtype).removeprefix("torch."), device=device, weights="whole")
    kind, sizes, heads, key_heads = SHAPES[name]
    settings = dict(sizes, vocab_size=VOCABULARY.get(name, 8192), pad_token_id=None, bos_token_id=None)
    if kind != "gpt2":
        settings |= {"num_attention_heads": heads, "num_key_value_heads": key_heads, "max_position_embeddings": 512}
    torch.manual_seed(0)
    with torch.device(device):
        hf = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **settings), dtype=dtype)
    return wrap(hf, name=name, check=False)


def streamed(name: str, folder: Path) -> Model:
    """The same model in bfloat16 on disk, its weights streamed, the arithmetic in float32."""
    model = random_checkpoint(name)
    model.hf.to(torch.bfloat16).save_pretrained(folder)  # type: ignore[arg-type]  # wrongly wrapped stub
    AutoTokenizer.from_pretrained(EMBEDDED / "tiny-base").save_pretrained(folder)  # one is asked for; ids are given
    return load(str(folder), weights="stream", check=False)


def prompts(model: Model, *, samples: int, tokens: int) -> tuple[list[list[int]], list[list[int]]]:
    """Random sources and targets: no shared prefix saves work by luck."""
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(5, model.vocabulary, (2, samples, tokens), generator=draw)
    return ids[0].tolist(), ids[1].tolist()


def workload(name: str, model: Model, *, tokens: int) -> list[str]:
    """Addresses of a workload, patched at the middle of the prompt.

    W1 residual at one position, every layer; W2 residual, layer × position; W3p every head at one position, W3a at all
    positions; W4 all layer pairs and singles; W4l the same at the last position, where pairs are degenerate.
    """
    p, layers, heads = tokens // 2 - 1, range(model.layers), range(model.heads)
    if name == "W1":
        return [f"resid_post.{i}@{p}" for i in layers]
    if name == "W2":
        return [f"resid_post.{i}@{t}" for i in layers for t in range(tokens)]
    if name == "W3p":
        return [f"z.{i}.{h}@{p}" for i in layers for h in heads]
    if name == "W3a":
        return [f"z.{i}.{h}@*" for i in layers for h in heads]
    at = -1 if name == "W4l" else p
    singles = [f"resid_post.{i}@{at}" for i in layers]
    return singles + [f"{singles[i]},{singles[j]}" for i in layers for j in layers if i < j]
