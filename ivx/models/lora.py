"""Plain LoRA: beside a matrix the product of two thin ones, added to it. What is more than that is left to peft."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ivx.errors import CheckpointError

SAID = {
    *("peft_type", "peft_version", "task_type", "base_model_name_or_path", "revision", "inference_mode"),
    *("r", "lora_alpha", "lora_dropout", "target_modules", "bias", "init_lora_weights"),
    *("megatron_core", "qalora_group_size"),
}
"""What an adapter's config may say of a plain one; the last two mean nothing by themselves."""
PREFIX = "base_model.model."
"""What stands before a module's name in an adapter's file."""

NO_PLACE = "which the checkpoint has no place for"


def targets(hf: nn.Module, config: Mapping[str, Any]) -> dict[str, nn.Linear] | None:
    """The matrices that a plain adapter is added to, by name; None for an adapter of another kind."""
    named = config.get("target_modules")
    plain = (
        config.get("peft_type") == "LORA"
        and config.get("bias", "none") == "none"
        and isinstance(config.get("init_lora_weights", True), bool)
        and isinstance(config.get("r"), int)
        and isinstance(config.get("lora_alpha"), int | float)
        and isinstance(named, list)
        and not any(value for name, value in config.items() if name not in SAID)
    )
    if not plain:
        return None
    found = {
        name: module
        for name, module in hf.named_modules()
        if any(name == own or name.endswith(f".{own}") for own in named or ())
    }
    matrices = {name: module for name, module in found.items() if type(module) is nn.Linear}
    return matrices if matrices and len(matrices) == len(found) else None


def refuse_unfit(matrices: Mapping[str, nn.Linear], held: Mapping[str, tuple[int, ...]]) -> None:
    """Raise `CheckpointError` unless tensors of these names and shapes are those of a plain adapter of these matrices,
    which may be empty (torch's meta device)."""
    wanted = {f"{PREFIX}{name}.lora_{side}.weight" for name in matrices for side in "AB"}
    strange, missing = sorted(held.keys() - wanted), sorted(wanted - held.keys())
    if strange or missing:
        raise CheckpointError(f"it has {strange[0]}, {NO_PLACE}" if strange else f"it lacks {missing[0]}")
    for name, module in matrices.items():
        down, up = (held[f"{PREFIX}{name}.lora_{side}.weight"] for side in "AB")
        flat = len(up) == len(down) == 2
        if not flat or (up[0], down[1], up[1]) != (*module.weight.shape, down[0]):
            raise CheckpointError(f"that of {name} has another shape")


def merge(matrices: Mapping[str, nn.Linear], file: Path, *, scale: float) -> bool:
    """Add a plain adapter to its matrices; returns whether that changes any.

    Raises:
        CheckpointError: its tensors are not those of these matrices.
    """
    held = load_file(file)
    refuse_unfit(matrices, {name: tuple(tensor.shape) for name, tensor in held.items()})
    is_other = False
    for name, module in matrices.items():
        down, up = (held[f"{PREFIX}{name}.lora_{side}.weight"] for side in "AB")
        weight = module.weight.data
        whole = _sum(weight, up, down, scale=scale)
        is_other |= not torch.equal(whole, weight)
        weight.copy_(whole)
    return is_other


def _sum(weight: Tensor, up: Tensor, down: Tensor, *, scale: float) -> Tensor:
    """The matrix and what is added to it, rounded once."""
    exact = torch.float64
    return (weight.to(exact) + scale * (up.to(exact) @ down.to(exact))).to(weight.dtype)
