"""Kept edges: the real model, nothing frozen, whose heads read along some edges only.

An edge that is left out writes nothing: its weight is set to 0 and the others stay as they are, so attention and all
else is computed anew from what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ivx.engine.frozen import attending, spread
from ivx.engine.sweep import only_user
from ivx.models.model import Model


def logits_with(model: Model, prompts: Sequence[Sequence[int]], edges: Tensor) -> Tensor:
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
