"""What is harmed: a small llama with its tokenizer, an adapter on it, the same in one GGUF file, and another one."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoConfig

from tests.support import ggufs, published
from tests.support.tokenizers import tokenizer

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
}


def made(folder: Path) -> None:
    """Write them."""
    tok = tokenizer("bos", 500)
    for seed, name in enumerate(("base", "outside")):
        torch.manual_seed(seed)
        net = published.made(AutoConfig.for_model("llama", vocab_size=len(tok), **SIZES), dtype=torch.float32)
        with torch.no_grad():
            for value in net.parameters():
                value.normal_(std=0.25) if value.ndim > 1 else value.add_(0.2 * torch.randn_like(value))
        net.save_pretrained(folder / name)
        tok.save_pretrained(folder / name)
    ggufs.written(folder / "packed.gguf")
    (folder / "adapter").mkdir()
    told = {
        **{"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4, "lora_dropout": 0.0, "bias": "none"},
        **{"target_modules": ["q_proj"], "inference_mode": True, "base_model_name_or_path": "base"},
    }
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(told))
    name = "base_model.model.model.layers.{}.self_attn.q_proj.lora_{}.weight"
    sides = {"A": (2, SIZES["hidden_size"]), "B": (SIZES["hidden_size"], 2)}
    held = {name.format(layer, side): torch.randn(shape) for layer in range(2) for side, shape in sides.items()}
    save_file(held, folder / "adapter" / "adapter_model.safetensors", metadata={"format": "pt"})
