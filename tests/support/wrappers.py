"""Small wrappers of a text model and others, with random weights, as their publishers would save them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import CONFIG_MAPPING, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from tests.support.random_models import OWN, SIZES
from tests.support.tokenizers import tokenizer as tokenizer_of

SEES = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
    "depth": 1,
    "embed_dim": 32,
    "num_heads": 2,
    "out_hidden_size": 32,
    "num_position_embeddings": 16,
    "fullatt_block_indexes": [0],
    "deepstack_visual_indexes": [],
}
"""Sizes of the parts that are no text model, as far as they have them."""
TOKENS = ("image", "video", "vision_start", "vision_end", "boi", "eoi")


def wrapper_of(kind: str, folder: Path, *, text: str | None = None, **changed: Any) -> PreTrainedModel:
    """A wrapper in float64, saved in a directory beside a tokenizer; `text` is another kind of text part."""
    known: Any = CONFIG_MAPPING[kind]
    usual: Any = known()
    tokenizer = tokenizer_of("llama")
    inner = text or usual.text_config.model_type
    told = SIZES | OWN.get(inner, {}) | {"vocab_size": len(tokenizer), "model_type": inner} | changed
    if "_vl_" in inner:
        told["rope_parameters"] = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}
    parts: dict[str, Any] = {}
    for name in known.sub_configs:
        part = getattr(usual, name, None)
        if part is not None and name != "text_config":
            sizes = {key: value for key, value in SEES.items() if hasattr(part, key)}
            parts[name] = {**sizes, "model_type": part.model_type}
    ids = {f"{t}_token_{end}": 3 + i for i, t in enumerate(TOKENS) for end in ("id", "index")}
    config = known(text_config=told, **parts, **{key: i for key, i in ids.items() if hasattr(usual, key)})
    torch.manual_seed(0)
    made = getattr(transformers, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES[kind])
    net = made(config).double()
    with torch.no_grad():
        for name, value in net.named_parameters():
            if value.ndim > 1:
                value.normal_(std=0.25)
            elif "norm" in name:
                value.add_(0.3 * torch.randn_like(value))
    net.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return made.from_pretrained(folder, dtype=torch.float64).eval()  # read as whoever publishes it reads it


def renamed(folder: Path, names: dict[str, str]) -> None:
    """Give the tensors of a checkpoint the names of another layout, by what stands before them: the first that fits."""
    file = folder / "model.safetensors"
    found = {}
    for tensor, value in load_file(file).items():
        before = next((before for before in names if tensor.startswith(before)), "")
        found[names.get(before, "") + tensor.removeprefix(before)] = value.clone()
    save_file(found, file, metadata={"format": "pt"})
