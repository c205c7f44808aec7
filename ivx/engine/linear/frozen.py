"""Freezing: attention, norm scales and gates held at their values in one forward pass, so that the rest is linear.

The model's own modules run; only norms, activations, biased layers and the attention kernel are replaced, on the
instances, inside a context. What they hold is computed on their first call and used again on the next:

    norm        own(x) = s ⊙ x, or s ⊙ (x − mean) + b              s is held
    gated MLP   act(gate) ⊙ up                                      act(gate) is held
    plain MLP   act(u) = (act(u) / u) ⊙ u                           the ratio is held
    attention   z = A v                                             A is held

Whatever adds a bias multiplies it by the block's *constant*, which is 1: the derivative with respect to it is what the
bias contributes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from ivx.engine.forward.kernel import Call, attending
from ivx.engine.forward.seams import replaced
from ivx.errors import UnsupportedArchitecture
from ivx.models.model import Model

PROPORTIONAL = 1e-4
"""Largest relative deviation of a norm's channels from one common scale per token."""

NEAR = 1e-3
"""A channel closer to the mean than this share of the token's largest takes its scale from all channels."""

Held = dict[nn.Module, Tensor]
"""What each module holds; attention `[batch, heads, tokens, tokens]`."""
Attend = Callable[[int, Tensor, Tensor], Tensor]
"""Makes z `[batch, tokens, heads, width]` of a layer, its attention and its values `[batch, heads, tokens, width]`."""
Forward = Callable[[Tensor], Tensor]


class Norm(NamedTuple):
    """A norm's form: its bias, and, where it subtracts the mean, its weight up to a factor; else that is None."""

    bias: Tensor
    weight: Tensor | None


class Parts(NamedTuple):
    """The modules that are replaced, and the block (`place`) of each; outside all blocks, the number of layers."""

    norms: dict[nn.Module, Norm]
    gates: list[nn.Module]
    inner: list[nn.Module]
    biased: dict[nn.Module, Tensor]
    attention: list[nn.Module]
    place: dict[nn.Module, int]


_known: WeakKeyDictionary[nn.Module, Parts] = WeakKeyDictionary()


def parts_of(model: Model) -> Parts:
    """A model's parts, found once while it is in memory; raises `UnsupportedArchitecture` for an unknown norm."""
    if model.hf not in _known:
        _known[model.hf] = _found(model)
    return _known[model.hf]


def _found(model: Model) -> Parts:
    if hasattr(model.hf.config, "num_experts_per_tok"):
        raise UnsupportedArchitecture(
            f"{model.name} ({model.hf.config.model_type}) routes tokens among experts, and pathways do not hold the "
            "router's choice: use a model without experts"
        )
    parent = model.anatomy.projection.rpartition(".")[0]
    attention = [model.module(layer, parent) for layer in range(model.layers)]
    place = {module: layer for layer, block in enumerate(model.blocks) for module in block.modules()}
    parts = Parts({}, [], [], {}, attention, place)
    for owner in model.hf.modules():
        for name, module in owner.named_children():
            place.setdefault(module, model.layers)
            if type(module).__name__.endswith(("Norm", "Norm1d")) or isinstance(module, nn.LayerNorm):
                parts.norms[module] = form_of(f"{name} of {type(owner).__name__}", module, model)
            elif type(module).__module__ in ("transformers.activations", "torch.nn.modules.activation"):
                gated = any("gate" in other for other, _ in owner.named_children())
                (parts.gates if gated else parts.inner).append(module)
            elif isinstance(module, (nn.Linear, Conv1D)) and isinstance(module.bias, Tensor):
                parts.biased[module] = module.bias
    return parts


def form_of(name: str, module: nn.Module, model: Model) -> Norm:
    """A norm's form, found on random states: one scale per token must be all that is not linear in it.

    Raises:
        UnsupportedArchitecture: it is more than that.
    """
    shape = getattr(module, "normalized_shape", None)
    width = shape[-1] if shape is not None else next((p.shape[-1] for p in module.parameters()), model.width)
    draw = torch.Generator().manual_seed(0)
    size = 1 + torch.rand(3, width, generator=draw)
    states = (size * (1 - 2 * (torch.arange(width) % 2))).to(model.device, model.dtype)[None]
    states = states[..., torch.randperm(width, generator=draw)] * torch.tensor([1, 0.3, 4.0]).to(states)[:, None]
    with torch.no_grad():
        bias = module(torch.zeros_like(states))[0, 0]
        out = module(states) - bias
        for centred in (False, True):
            read = states - states.mean(-1, keepdim=True) if centred else states
            scale = (out / read)[0]
            factor = scale / scale[:1]
            common = factor.median(dim=-1, keepdim=True).values
            moved = scale[:1].abs() > 1e-3 * scale.abs().max()  # a channel of weight 0 tells nothing
            if float(((factor / common - 1).abs() * moved).nan_to_num(posinf=1).max()) <= PROPORTIONAL:
                return Norm(bias, scale[0] if centred else None)
    raise UnsupportedArchitecture(
        f"{model.name}: the norm {name} is more than one scale a token, so holding its scale does not make it linear; "
        "pathways and shares of heads need RMS or layer norms"
    )


@contextmanager
def frozen(model: Model, held: Held, constants: Sequence[Tensor], attend: Attend) -> Iterator[None]:
    """The model runs frozen inside this context: values in `held` are used, missing ones are computed and put there.

    Args:
        constants: factors of the biases, one for each block and one for what follows the blocks: broadcast to
            `[batch, tokens, 1]`, 1 as the model is.
        attend: makes z of a layer's attention and values.
    """
    parts = parts_of(model)
    modules: list[nn.Module] = []
    forms: list[Forward] = []
    for norm, form in parts.norms.items():
        modules.append(norm)
        forms.append(held_norm(norm, form, held, constants[parts.place[norm]]))
    for module, gated in [(m, True) for m in parts.gates] + [(m, False) for m in parts.inner]:
        modules.append(module)
        forms.append(_activation(module, held, gated=gated))
    for module, bias in parts.biased.items():
        modules.append(module)
        forms.append(_biased(module, bias, constants[parts.place[module]]))

    def kernel(layer: int, call: Call) -> Tensor:
        module = parts.attention[layer]
        if module not in held:
            held[module] = call.weights()
        return attend(layer, held[module], call.value)

    with uncapped(model), attending(model, kernel), replaced(modules, forms):
        yield


def softcap(model: Model) -> float | None:
    """The soft cap that the architecture puts on its logits; None where there is none."""
    return getattr(model.hf.config, "final_logit_softcapping", None)


@contextmanager
def uncapped(model: Model) -> Iterator[None]:
    """Inside this context logits are those before any final softcap: the model's parts sum only up to there."""
    cap = softcap(model)
    if cap is None:
        yield
        return
    model.hf.config.final_logit_softcapping = None
    try:
        yield
    finally:
        model.hf.config.final_logit_softcapping = cap


def held_norm(module: nn.Module, form: Norm, held: Held, constant: Tensor | float) -> Forward:
    """A norm with its scale held at that of the first states it meets `[batch, tokens, width]`; its bias is multiplied
    by `constant`."""
    own = module.forward

    def forward(states: Tensor) -> Tensor:
        if states.ndim != 3:  # a norm of each head's queries or keys, which is part of the held attention
            return own(states)
        read = states if form.weight is None else states - states.mean(-1, keepdim=True)
        if module not in held:
            with torch.no_grad():
                # By division, so that it is what the module gave to the last digit, whatever it rounds inside.
                out = own(states) - form.bias
                if form.weight is None:
                    held[module] = torch.where(read == 0, 0, out / read)
                else:
                    whole = form.weight * read
                    size = (out * whole).sum(-1, keepdim=True) / (whole * whole).sum(-1, keepdim=True)
                    scale = size.nan_to_num() * form.weight
                    near = read.abs() <= NEAR * read.abs().amax(-1, keepdim=True)
                    held[module] = torch.where(near, scale, out / read)
        return held[module] * read + constant * form.bias

    return forward


def _activation(module: nn.Module, held: Held, *, gated: bool) -> Forward:
    own = module.forward

    def forward(states: Tensor) -> Tensor:
        if module not in held:
            with torch.no_grad():
                out = own(states)
                held[module] = out if gated else torch.where(states == 0, 0, out / states)
        return held[module] if gated else held[module] * states

    return forward


def _biased(module: nn.Module, bias: Tensor, constant: Tensor) -> Forward:
    own = module.forward

    def forward(states: Tensor) -> Tensor:
        out = own(states)
        return out + (constant - 1) * bias if states.ndim == 3 else out

    return forward
