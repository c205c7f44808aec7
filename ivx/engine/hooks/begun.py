"""Prompts that were read and wait to be continued, and the caches of several lengths made one.

A token that is generated costs a small batch as much time as a large one, so prompts of all lengths are continued
together: the keys and values of the shorter ones are moved to the right, and what stands before them is masked.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.cache_utils import DynamicCache, DynamicLayer

from ivx.models.model import Model


@dataclass(frozen=True, eq=False)
class Begun:
    """Prompts that were read.

    Attributes:
        rows: which they are.
        lengths: of each, in tokens.
        logits: after each, `[rows, vocabulary]`.
        cache: the keys and values of all, as transformers keeps them; grows as tokens are generated.
    """

    rows: tuple[int, ...]
    lengths: tuple[int, ...]
    logits: Tensor
    cache: Any

    def next_logits(self, model: Model, ids: Tensor, step: int) -> Tensor:
        """The logits `[rows, vocabulary]` after one more token of each, `[rows, 1]`: the `step`-th generated one."""
        told: dict[str, Any] = {}
        longest = max(self.lengths)
        if min(self.lengths) < longest:
            lengths = torch.tensor(self.lengths, device=ids.device)[:, None]
            there = torch.arange(longest + step, device=ids.device)[None, :] >= longest - lengths
            told["attention_mask"] = there.long()
            if "position_ids" in inspect.signature(model.hf.forward).parameters:
                told["position_ids"] = lengths + step - 1
        output = model.hf(input_ids=ids, past_key_values=self.cache, use_cache=True, logits_to_keep=1, **told)
        return output.logits[:, -1]


def together(some: Sequence[Begun]) -> Sequence[Begun]:
    """The same prompts as one, where their caches can be put together: where every layer keeps every token."""
    layers = [layer for one in some for layer in getattr(one.cache, "layers", [None])]
    if len(some) < 2 or not all(type(layer) is DynamicLayer and layer.is_initialized for layer in layers):
        return some
    longest = max(one.lengths[0] for one in some)
    rooms = [longest - one.lengths[0] for one in some]

    def joined(kept: Sequence[Tensor]) -> Tensor:
        return torch.cat([pad(states, (0, 0, room, 0)) for states, room in zip(kept, rooms, strict=True)])

    caches = list(zip(*(one.cache.layers for one in some), strict=True))
    pairs = [(joined([one.keys for one in kept]), joined([one.values for one in kept])) for kept in caches]
    return (
        Begun(
            tuple(row for one in some for row in one.rows),
            tuple(length for one in some for length in one.lengths),
            torch.cat([one.logits for one in some]),
            DynamicCache(pairs),
        ),
    )
