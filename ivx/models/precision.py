"""Half-precision arithmetic: how far it is off, measured on the checkpoint itself against float32."""

from __future__ import annotations

import copy
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ivx.models.memory import free_bytes
from ivx.models.model import Model

HALF = (torch.float16, torch.bfloat16)
COPIED_BYTES = 2e9
"""Weights in half precision of which a copy in float32 is made."""
FREE_SHARE = 0.5
"""Share of the free memory that the copy may take."""
TOKENS = 64
"""Tokens whose logits are compared, spread over the vocabulary."""


class Error(NamedTuple):
    """What half precision does to effects, in logits: its error's root mean square and largest value, and the effects'
    own standard deviation in float32."""

    rms: float
    most: float
    spread: float


def widened(model: Model) -> Model | None:
    """The model with its weights in float32, where that says more than its own; None where it cannot be had, too."""
    size = sum(p.numel() * p.itemsize for p in model.hf.parameters())
    room = FREE_SHARE * free_bytes(str(model.device))
    if model.dtype not in HALF or model.stream is not None or size > COPIED_BYTES or 3 * size > room:
        return None
    return replace(model, hf=copy.deepcopy(model.hf).float())


def error_of(model: Model, ids: Tensor) -> Error | None:
    """How far effects of half precision are off: states of the first row of `ids` `[2, tokens]` put into the second.

    At every layer the stream of the middle token; None where no copy in float32 can be had.
    """
    wide = widened(model)
    if wide is None:
        return None
    half, full = (_effects(one, ids) for one in (model, wide))
    off = half - full
    return Error(float(off.square().mean().sqrt()), float(off.abs().max()), float(full.std()))


@torch.inference_mode()
def _effects(model: Model, ids: Tensor) -> Tensor:
    """Changes of logits `[layers, TOKENS]`: row by row of one batch, another layer is patched."""
    at = ids.shape[1] // 2
    states: list[Tensor] = []

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        states.append((output if isinstance(output, Tensor) else output[0])[0, at])

    def put(layer: int) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> Any:
            state = (output if isinstance(output, Tensor) else output[0]).clone()
            state[layer, at] = states[layer]
            return state if isinstance(output, Tensor) else (state, *output[1:])

        return hook

    with ExitStack() as stack:
        for block in model.blocks:
            stack.callback(block.register_forward_hook(keep).remove)
        plain = _read(model, ids)[1]
    with ExitStack() as stack:
        for layer, block in enumerate(model.blocks):
            stack.callback(block.register_forward_hook(put(layer)).remove)
        patched = _read(model, ids[1:].expand(model.layers, -1))
    return patched - plain


def _read(model: Model, ids: Tensor) -> Tensor:
    tokens = torch.linspace(0, model.vocabulary - 1, TOKENS, device=ids.device).long()
    return model.hf(input_ids=ids, use_cache=False).logits[:, -1, tokens].double()
