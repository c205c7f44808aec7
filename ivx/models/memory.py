"""The memory that a checkpoint will take, known from its config before any weight is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psutil
import torch
from transformers import AutoModelForCausalLM

from ivx.errors import MemoryRefused

WORKING_SET_GB = 1.0
"""Room for activations and the read-out beside the weights."""


@dataclass(frozen=True)
class Estimate:
    """Parameters, and gigabytes (1e9 bytes): of the weights, of the weights and a working set, and what is free."""

    parameters: int
    weights_gb: float
    needed_gb: float
    free_gb: float


def free_bytes(device: str) -> int:
    """Free bytes of the device's memory; on the host, what can be used without swapping."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def estimate(config: Any, *, dtype: torch.dtype, device: str) -> Estimate:
    """Memory a model of this config needs; the parameters are counted on an empty model, so exactly."""
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(config)
    parameters = sum(p.numel() for p in empty.parameters())
    weights = parameters * dtype.itemsize / 1e9
    return Estimate(parameters, weights, weights + WORKING_SET_GB, free_bytes(device) / 1e9)


def refuse_what_cannot_fit(found: Estimate, *, dtype: torch.dtype, device: str, memory_gb: float | None) -> None:
    """Raise `MemoryRefused` with the numbers and the knobs when the estimate is above the limit."""
    limit = found.free_gb if memory_gb is None else memory_gb
    if found.needed_gb <= limit:
        return
    whose = "free" if memory_gb is None else "allowed by memory_gb"
    raise MemoryRefused(
        f"{found.parameters / 1e9:.2f} billion parameters in {str(dtype).removeprefix('torch.')} need about "
        f"{found.needed_gb:.1f} GB on {device}, {limit:.1f} GB are {whose}: choose a smaller dtype, another device or "
        "a smaller checkpoint, or free memory"
    )
