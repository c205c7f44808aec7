"""Kept parts: the real model, nothing frozen, with some of its heads or edges only.

A head that is left out has another output in its place at every token. An edge that is left out writes nothing: its
weight is set to 0 and the others stay as they are. All else is computed anew from what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from ivx.engine.frozen import attending, spread
from ivx.engine.sweep import only_user
from ivx.models.model import Model


def with_edges(model: Model, prompts: Sequence[Sequence[int]], edges: Tensor) -> Tensor:
    """Last-token logits `[prompts, vocabulary]`.

    Args:
        prompts: of one length.
        edges: true where an edge is kept `[prompts, layers, heads, to, from]`.
    """
    kept = edges.to(model.device)

    def kernel(layer: int, weights: Callable[[], Tensor], value: Tensor) -> Tensor:
        attention = weights() * kept[:, layer]
        return torch.matmul(attention, spread(value, attention.shape[1])).transpose(1, 2)

    ids = torch.tensor(prompts, device=model.device)
    with only_user(model), attending(model, kernel), torch.inference_mode():
        return model.hf(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1]


def with_heads(model: Model, prompts: Sequence[Sequence[int]], heads: Tensor, fill: Sequence[Tensor]) -> Tensor:
    """Last-token logits `[prompts, vocabulary]`.

    Args:
        prompts: of one length.
        heads: true where a head is kept `[prompts, layers, heads]`.
        fill: of each layer, z in place of what is left out; broadcast to `[prompts, tokens, heads × width]`.
    """
    kept = heads.to(model.device)

    def put(layer: int) -> Callable:
        def before(module: nn.Module, args: tuple) -> tuple:
            z = args[0]
            mask = kept[:, layer].repeat_interleave(z.shape[-1] // kept.shape[-1], dim=-1)[:, None]
            return (torch.where(mask, z, fill[layer]), *args[1:])

        return before

    ids = torch.tensor(prompts, device=model.device)
    with only_user(model), torch.inference_mode(), ExitStack() as stack:
        for layer in range(model.layers):
            hook = model.module(layer, model.anatomy.projection).register_forward_pre_hook(put(layer))
            stack.callback(hook.remove)
        return model.hf(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1]
