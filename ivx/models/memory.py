"""The memory that a checkpoint will take, known from its config before any weight is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psutil
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from ivx.errors import MemoryRefused
from ivx.models.anatomy import anatomy_of

WAYS = ("whole", "compact", "stream")
"""How weights are had: in memory as they are used; in memory in the dtype of their file, a block at a time as it is
used; or on disk, a block at a time."""
WHOLE_ALONE = "choose a smaller dtype"
"""What can be done for weights that are had whole or not at all: quantised ones, and those with a merged adapter."""
_ELSE = {
    "whole": "have its weights streamed (weights='stream'), choose a smaller dtype",
    "compact": "have its weights streamed (weights='stream')",
    "stream": "choose a smaller dtype",
}
WORKING_SET_GB = 1.0
"""Room for activations and the read-out beside the weights."""


@dataclass(frozen=True)
class Estimate:
    """Parameters, and gigabytes (1e9 bytes): of the weights, of the weights and a working set, and what is free.

    `block_gb` is that of the largest block, in the dtype of the arithmetic; `file_gb` is that of the files.
    """

    parameters: int
    weights_gb: float
    needed_gb: float
    free_gb: float
    block_gb: float = 0.0
    file_gb: float = 0.0

    def needed(self, weights: str) -> float:
        """Gigabytes that a way of having the weights takes, with a working set."""
        visiting = 2 * self.block_gb + WORKING_SET_GB
        return {"whole": self.needed_gb, "compact": self.file_gb + visiting, "stream": visiting}[weights]


def free_bytes(device: str) -> int:
    """Free bytes of the device's memory; on the host, what can be used without swapping."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def empty_model(config: Any) -> PreTrainedModel:
    """A model of this config whose weights take no memory."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def estimate(empty: PreTrainedModel, *, dtype: torch.dtype, device: str, file_bytes: int = 0) -> Estimate:
    """Memory that a model needs; its parameters are counted on an empty one, so exactly."""
    parameters = sum(p.numel() for p in empty.parameters())
    weights = parameters * dtype.itemsize / 1e9
    blocks = empty.get_submodule(anatomy_of(empty.config).blocks).children()
    block = max((sum(p.numel() for p in block.parameters()) for block in blocks), default=0) * dtype.itemsize / 1e9
    return Estimate(
        parameters,
        weights,
        weights + WORKING_SET_GB,
        free_bytes(device) / 1e9,
        block_gb=block,
        file_gb=file_bytes / 1e9,
    )


def choose(found: Estimate, *, memory_gb: float | None, is_half: bool) -> str:
    """How the weights are had where nobody chose: `whole`, `compact` or `stream`.

    A checkpoint of half precision stays compact where that saves much, half of what may be taken: the numbers are the
    same, and every pass costs a copy of the weights.
    """
    limit = found.free_gb if memory_gb is None else memory_gb
    if found.needed_gb <= (limit / 2 if is_half else limit):
        return "whole"
    return next((way for way in ("compact", "whole") if found.needed(way) <= limit), "stream")


def refuse_what_cannot_fit(
    found: Estimate,
    *,
    dtype: torch.dtype,
    device: str,
    memory_gb: float | None,
    weights: str = "whole",
    only_whole: bool = False,
) -> None:
    """Raise `MemoryRefused` with the numbers and the knobs when the estimate is above the limit.

    Args:
        only_whole: whether these weights can be had in no other way than whole.
    """
    limit = found.free_gb if memory_gb is None else memory_gb
    if found.needed(weights) <= limit:
        return
    whose = "free" if memory_gb is None else "allowed by memory_gb"
    raise MemoryRefused(
        f"{found.parameters / 1e9:.2f} billion parameters in {str(dtype).removeprefix('torch.')} need about "
        f"{found.needed(weights):.1f} GB on {device}"
        f"{'' if weights == 'whole' else f' even with weights={weights!r}'}, {limit:.1f} GB are {whose}: "
        f"{WHOLE_ALONE if only_whole else _ELSE[weights]}, another device or a smaller checkpoint, or free memory"
    )
