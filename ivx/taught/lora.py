"""Low-rank adapters (LoRA): beside a frozen matrix the product of two thin ones, in the files that peft reads."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ivx.models.adapters import CONFIG, WEIGHTS
from ivx.models.lora import PREFIX

MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
RANK, ALPHA = 8, 16
"""What is added is `ALPHA / RANK` times the product."""


class LowRank(nn.Module):
    """A linear module, frozen, and what is added to it: nothing at first, since `up` begins at 0."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.down = nn.Parameter(linear.weight.new_empty(RANK, linear.in_features))
        self.up = nn.Parameter(linear.weight.new_zeros(linear.out_features, RANK))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """`(…, in)` to `(…, out)`."""
        return self.linear(x) + (x @ self.down.T) @ self.up.T * (ALPHA / RANK)


def add(hf: nn.Module, *, seed: int) -> None:
    """Freeze a model and put an adapter beside every projection of its blocks."""
    torch.manual_seed(seed)
    hf.requires_grad_(False)
    for name, module in list(hf.named_modules()):
        parent, _, own = name.rpartition(".")
        if own in MODULES and isinstance(module, nn.Linear):
            setattr(hf.get_submodule(parent), own, LowRank(module))


def layers(hf: nn.Module) -> Iterator[tuple[str, LowRank]]:
    """The adapters of a model, by the names of the modules that they stand beside."""
    return ((name, module) for name, module in hf.named_modules() if isinstance(module, LowRank))


def save(hf: nn.Module, folder: Path, *, base: str) -> None:
    """Write a model's adapters in half precision, and round them to what was written: training goes on from it."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    with torch.no_grad():
        for name, layer in layers(hf):
            for side, values in (("lora_A", layer.down), ("lora_B", layer.up)):
                half = values.detach().half().contiguous()
                values.copy_(half)
                tensors[f"{PREFIX}{name}.{side}.weight"] = half
    save_file(tensors, folder / WEIGHTS)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": RANK,
        "lora_alpha": ALPHA,
        "target_modules": sorted(MODULES),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
