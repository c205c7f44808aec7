"""Ablation: the real model, nothing frozen, run with only some of its heads or edges.

The output of an ablated head is replaced at every token. An ablated edge writes nothing, or what is given in its place;
the other edges keep their attention weights. Everything else is computed anew from what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ivx.engine.forward.kernel import Call, Kernel, attending, spread
from ivx.engine.turns import only_user
from ivx.models.model import Model


class Reads(NamedTuple):
    """What one layer's heads read: `weights` `[prompts, heads, to, from]`, `values` `[prompts, heads, from, width]`."""

    weights: Tensor
    values: Tensor

    def along(self, edges: Tensor) -> Tensor:
        """z of some edges alone `[prompts, heads, to, width]`; the prompts are repeated to as many as `edges` has."""
        copies = (len(edges) // len(self.weights), 1, 1, 1)
        return torch.matmul(self.weights.repeat(copies) * edges, self.values.repeat(copies))

    def by_kind(self, kind: Tensor, kinds: int) -> Tensor:
        """For one prompt, z summed over the edges of each kind `[heads, kinds, width]`; `kind` is `[to, from]`."""
        weights = self.weights[0]
        found = weights.new_zeros(len(weights), kinds, weights.shape[-1])
        return found.scatter_add_(1, kind.expand(weights.shape), weights) @ self.values[0]


Fill = Callable[[int, Tensor], Tensor]
"""Makes, of a layer and the edges ablated there `[prompts, heads, to, from]`, what is written in their place
`[prompts, heads, to, width]`."""


def reads_of(model: Model, prompts: Sequence[Sequence[int]]) -> list[Reads]:
    """What the heads of every layer read in prompts of one length."""
    found: dict[int, Reads] = {}

    def kernel(layer: int, call: Call) -> Tensor:
        attention = call.weights()
        found[layer] = Reads(attention, spread(call.value, attention.shape[1]))
        return torch.matmul(*found[layer]).transpose(1, 2)

    _last_logits(model, prompts, kernel)
    return [found[layer] for layer in range(model.layers)]


def with_edges(model: Model, prompts: Sequence[Sequence[int]], edges: Tensor, *, fill: Fill | None = None) -> Tensor:
    """Last-token logits `[prompts, vocabulary]` with only some edges kept.

    Args:
        prompts: of one length.
        edges: true where an edge is kept `[prompts, layers, heads, to, from]`.
        fill: what is written in the place of those left out; nothing by default.
    """
    kept = edges.to(model.device)
    causal = torch.ones(kept.shape[-2:], dtype=torch.bool, device=model.device).tril()

    def kernel(layer: int, call: Call) -> Tensor:
        attention = call.weights() * kept[:, layer]
        z = torch.matmul(attention, spread(call.value, attention.shape[1]))
        if fill is not None:
            z = z + fill(layer, causal & ~kept[:, layer])
        return z.transpose(1, 2)

    return _last_logits(model, prompts, kernel)


def _last_logits(model: Model, prompts: Sequence[Sequence[int]], kernel: Kernel) -> Tensor:
    ids = torch.tensor(prompts, device=model.device)
    with only_user(model), attending(model, kernel), torch.inference_mode():
        return model.hf(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1]


def with_heads(model: Model, prompts: Sequence[Sequence[int]], heads: Tensor, fill: Sequence[Tensor]) -> Tensor:
    """Last-token logits `[prompts, vocabulary]` with only some heads kept.

    Args:
        prompts: of one length.
        heads: true where a head is kept `[prompts, layers, heads]`.
        fill: for each layer, z of the ablated heads; broadcast to `[prompts, tokens, heads × width]`.
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
