"""The attention kernel: taken out of the model, so that what a head looks at, and what it reads there, can be seen.

transformers calls attention through an interface, with queries and keys as they are after rotation. In its place a
function of the caller's makes each layer's z; the rest of the model stays its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ivx.engine.forward.attention import KNOWN, probabilities
from ivx.engine.forward.seams import softmax_dtype
from ivx.errors import UnsupportedArchitecture
from ivx.models.model import Model

NAME = "ivx_kernel"


class Call(NamedTuple):
    """What a layer's attention is called with: `[batch, heads, tokens, width]` each, keys and values with their own
    heads; `weights` computes the attention `[batch, heads, tokens, tokens]`, queries first."""

    query: Tensor
    key: Tensor
    value: Tensor
    weights: Callable[[], Tensor]


Kernel = Callable[[int, Call], Tensor]
"""Makes z `[batch, tokens, heads, width]` of a layer."""


def _interface(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Any, **options: Any) -> Any:
    """Takes the place of an attention kernel, and calls the module's own."""
    return module.__dict__[NAME](query, key, value, options), None


ALL_ATTENTION_FUNCTIONS.register(NAME, _interface)


@contextmanager
def attending(model: Model, kernel: Kernel) -> Iterator[None]:
    """A layer's z is what `kernel` gives inside this context."""
    config = model.hf.config
    parent = model.anatomy.projection.rpartition(".")[0]
    modules = [model.module(layer, parent) for layer in range(model.layers)]
    softmax = [softmax_dtype(module, model) for module in modules]
    before = config._attn_implementation
    for layer, module in enumerate(modules):
        module.__dict__[NAME] = partial(_attended, kernel, layer, module, softmax[layer])
    try:
        config._attn_implementation = NAME
        yield
    finally:
        config._attn_implementation = before
        for module in modules:
            module.__dict__.pop(NAME, None)


def _attended(
    kernel: Kernel,
    layer: int,
    module: nn.Module,
    softmax: torch.dtype | None,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    options: dict[str, Any],
) -> Tensor:
    def weights() -> Tensor:
        strange = {k for k, v in options.items() if v is not None} - KNOWN
        if strange:
            raise UnsupportedArchitecture(
                f"attention is called with {', '.join(sorted(strange))}, which ivx does not know: its attention cannot "
                "be taken apart"
            )
        with torch.no_grad():
            return probabilities(query, key, module=module, options=options, softmax=softmax)

    return kernel(layer, Call(query, key, value, weights))


def spread(values: Tensor, heads: int) -> Tensor:
    """Values of key heads `[batch, key heads, tokens, width]`, one for each query head."""
    return values.repeat_interleave(heads // values.shape[1], dim=1)


def mixed(_: int, attention: Tensor, values: Tensor) -> Tensor:
    """z as the model has it: values, weighted by attention."""
    return torch.matmul(attention, spread(values, attention.shape[1])).transpose(1, 2)
