"""Heads' shares: what each head adds to the stream, so that all of them sum to what attention adds.

A head writes its part of the output projection, `W_O^h z^h`. In most architectures that is added to the stream as it
is. Where a norm stands behind the projection, it scales the sum of all heads; that scale is held at the value it has in
the run itself, and each head's share is then the part that is its own:

    share(h) = γ ⊙ W_O^h z^h / rms(Σ W_O z)

Held so, the norm is linear (`ivx.engine.linear.frozen`). On every prompt the shares are summed, and a model where they
do not give what attention adds is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ivx.engine.hooks.run import rows_within
from ivx.engine.hooks.sites import read
from ivx.engine.linear.frozen import form_of, held_norm
from ivx.engine.turns import FREE_SHARE, only_user
from ivx.engine.workload import by_length
from ivx.errors import IvxError, UnsupportedArchitecture
from ivx.models.finite import finite
from ivx.models.memory import free_bytes
from ivx.models.model import Model
from ivx.stats.intervals import Array

DEVIATION = 1e-4
"""Largest error of the sum over heads, as a share of the sizes of all that is summed."""


class Shares(NamedTuple):
    """Means over prompts, of their last token, float64.

    Attributes:
        heads: `[layers, heads, width]`.
        rest: what is added beside the heads, such as biases `[layers, width]`.
        added: what attention adds: the sum of both, as the model has it `[layers, width]`.
    """

    heads: Array
    rest: Array
    added: Array


def behind_norm(model: Model) -> bool:
    """Whether a norm stands between the output projection and the stream."""
    return not model.anatomy.projection.startswith(f"{model.anatomy.attn_added}.")


def head_shares(model: Model, prompts: Sequence[Sequence[int]], *, beat: Callable[[], None] = lambda: None) -> Shares:
    """The mean share of every head at the prompts' last token; `beat` is called before each pass.

    Raises:
        UnsupportedArchitecture: the shares do not sum to what attention adds. IvxError: states that are not finite, or
            of half precision.
    """
    if model.dtype not in (torch.float32, torch.float64):
        raise IvxError(
            f"{model.name} is in {str(model.dtype).removeprefix('torch.')}, in which the shares of heads do not sum to "
            "what attention adds: load it with dtype float32 or float64"
        )
    layers = range(model.layers)
    found = Shares(
        np.zeros((model.layers, model.heads, model.width)), *(np.zeros((model.layers, model.width)) for _ in range(2))
    )
    budget = FREE_SHARE * free_bytes(str(model.device)) / 1e9
    places = [(site, layer) for site in ("z", "attn_out") for layer in layers]
    for length, members in by_length(prompts).items():
        step = rows_within(model, length, budget)
        for part in (members[i : i + step] for i in range(0, len(members), step)):
            beat()
            ids = torch.tensor([list(prompts[k]) for k in part], device=model.device)
            with only_user(model), torch.inference_mode():
                with read(model, places, token=-1) as seen:
                    model.hf(input_ids=ids, use_cache=False, logits_to_keep=1)
                for layer in layers:
                    z, added = seen["z", layer], seen["attn_out", layer]
                    finite(z, model, what=f"states at z.{layer}")
                    model.hold(layer)
                    shares, rest = _split(model, layer, z)
                    _check(model, layer, shares, rest, added)
                    found.heads[layer] += _summed(shares)
                    found.rest[layer] += _summed(rest)
                    found.added[layer] += _summed(added)
    return Shares(*(total / len(prompts) for total in found))


def _split(model: Model, layer: int, z: Tensor) -> tuple[Tensor, Tensor]:
    """The shares `[prompts, heads, width]` of z `[prompts, heads × its width]`, and the rest `[prompts, width]`."""
    facts = model.anatomy
    projection, scale = model.module(layer, facts.projection), facts.scale_of(model.hf.config)
    own = torch.eye(model.heads, dtype=z.dtype, device=z.device).repeat_interleave(z.shape[-1] // model.heads, dim=1)
    bias = projection(torch.zeros_like(z[:, None]))
    heads = projection(z[:, None] * own) - bias
    if behind_norm(model):
        norm = model.module(layer, facts.attn_added)
        form = form_of(facts.attn_added, norm, model)
        linear = held_norm(norm, form, {}, 0.0)
        linear(projection(z[:, None]))  # the scale is held at what it is here
        heads, bias = linear(heads), linear(bias) + form.bias
    return heads * scale, bias[:, 0] * scale


def _check(model: Model, layer: int, shares: Tensor, rest: Tensor, added: Tensor) -> None:
    size = shares.abs().sum(1) + rest.abs()
    error = float((shares.sum(1) + rest - added).abs().amax() / size.amax().clamp_min(1e-30))
    if not error <= DEVIATION:
        raise UnsupportedArchitecture(
            f"{model.name} ({model.hf.config.model_type}): what its heads write does not sum to what attention adds "
            f"in block {layer} (off by {error:.0e}), so a sum of heads is no vector of its stream: use another model"
        )


def _summed(values: Tensor) -> Array:
    total: Array = values.double().sum(0).cpu().numpy()
    return total
