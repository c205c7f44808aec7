"""The head of a model, a tile of the vocabulary at a time: its final norm, its unembedding, what comes after that.

A large vocabulary makes the unembedding most of a small model's arithmetic. Many rows against one tile of it is a
product that a processor does at full speed, and the logits of a tile are all that is in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_outputs import MoeModelOutputWithPast

from ivx.engine.forward.fused import AGREE
from ivx.engine.forward.seams import Reached, Seams, reached, replaced
from ivx.models.model import Model

TRIED = 3
"""States, and tiles of the vocabulary, on which tiles are compared with the whole head."""

_tiled: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()
"""Whether a model's head can be had in tiles, found once for each model in memory."""


class Head:
    """The logits of residual states after the last block, `[rows, width]`, as `readout.Logits`."""

    def __init__(self, seams: Seams, states: Tensor) -> None:
        model = seams.model
        self.seams, self.vocabulary, self.device = seams, model.vocabulary, states.device
        if model.hf not in _tiled:
            _tiled[model.hf] = _agrees(seams)
        # Where it cannot be had in tiles, all logits are made at once.
        self.whole = None if _tiled[model.hf] else seams.logits(states)
        self.hidden = _hidden(seams, states) if self.whole is None else states

    def tile(self, start: int, stop: int) -> Tensor:
        if self.whole is not None:
            return self.whole[:, start:stop].clone()
        return _after(self.seams, self.hidden, slice(start, stop))

    def at(self, tokens: Tensor) -> Tensor:
        if self.whole is not None:
            return self.whole.index_select(1, tokens)
        return _after(self.seams, self.hidden, tokens)


@dataclass
class Decoded(MoeModelOutputWithPast):
    """What a decoder returns, with every field that a causal LM may ask for."""

    cross_attentions: Any = None


def _hidden(seams: Seams, states: Tensor) -> Tensor:
    """What the unembedding reads: `[rows, width]`."""

    def stop(hidden: Tensor, *_: Any, **__: Any) -> None:
        raise Reached(hidden)

    with replaced([seams.model.hf.get_output_embeddings()], [stop]):
        return reached(lambda: seams.logits(states))[:, -1]


def _after(seams: Seams, hidden: Tensor, tokens: slice | Tensor) -> Tensor:
    """Logits of some tokens, by the model's own code for what comes after the unembedding, such as a cap."""
    hf = seams.model.hf
    head = hf.get_output_embeddings()
    bias = None if head.bias is None else head.bias[tokens]
    found = functional.linear(hidden, _unembedding(seams.model, tokens), bias)[:, None]

    def decoder(*_: Any, **__: Any) -> Decoded:
        return Decoded(last_hidden_state=hidden[:, None])

    with replaced([hf.base_model, head], [decoder, lambda *_: found]):
        return hf(input_ids=seams.fillers(len(hidden)), use_cache=False, logits_to_keep=1).logits[:, -1]


def _unembedding(model: Model, tokens: slice | Tensor) -> Tensor:
    """The head's rows of some tokens."""
    head = model.hf.get_output_embeddings()
    if model.stream is None:
        return head.weight[tokens]
    if isinstance(tokens, slice):
        return model.stream.tile(tokens.start, tokens.stop)
    return model.stream.rows(head.weight, tokens.tolist())


def _agrees(seams: Seams) -> bool:
    """Whether tiles of the head are parts of the whole one, tried on random states."""
    model = seams.model
    draw = torch.Generator().manual_seed(0)
    states = torch.randn(TRIED, model.width, generator=draw).to(model.device, model.dtype)
    own = seams.logits(states)
    edges = [model.vocabulary * k // TRIED for k in range(TRIED + 1)]
    try:
        hidden = _hidden(seams, states)
        found = torch.cat([_after(seams, hidden, slice(*edge)) for edge in zip(edges, edges[1:], strict=False)], dim=1)
    except (AttributeError, TypeError, ValueError, RuntimeError):  # a head of another make
        return False
    within = AGREE if model.dtype in (torch.float32, torch.float64) else torch.finfo(model.dtype).eps
    return found.shape == own.shape and float((found - own).abs().max()) <= within * float(own.abs().max())
