"""The same arithmetic in fewer passes over memory: RMS norms and gated MLPs of a float32 model, while a sweep runs.

A module is replaced only if, tried on random states, the short form gives what its own code gives; so what an
architecture does differently (a clamp, an extra norm) is left to it. Half precision and float64 are left alone: there
the order of roundings is part of the result.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

AGREE = 2e-6
"""Largest deviation, relative to the largest value, at which a short form may replace a module."""

Forward = Callable[[Tensor], Tensor]


def short_forms(proved: list[tuple[nn.Module, int]]) -> list[tuple[nn.Module, Forward]]:
    """The short forms of modules that `prove` has found, made from their weights as they are now."""
    return [(module, _candidates(module)[which][0]) for module, which in proved]


def prove(blocks: list[nn.Module]) -> list[tuple[nn.Module, int]]:
    """The blocks' modules that a candidate reproduces on random states, and which candidate."""
    found = []
    draw = torch.Generator().manual_seed(0)  # of its own: the caller's random numbers are not touched
    for module in (m for block in blocks for m in block.modules()):
        weight = next(module.parameters(), None)
        if weight is None or weight.dtype != torch.float32:
            continue
        for which, (form, width) in enumerate(_candidates(module)):
            if _agrees(module, form, torch.randn(3, width, generator=draw).to(weight.device)):
                found.append((module, which))
                break
    return found


def _agrees(module: nn.Module, form: Forward, states: Tensor) -> bool:
    """Whether a form gives what the module's own code gives for these states."""
    own = module(states)
    return float((form(states) - own).abs().max()) <= AGREE * float(own.abs().max())


def _candidates(module: nn.Module) -> list[tuple[Forward, int]]:
    weight = getattr(module, "weight", None)
    epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if type(module).__name__.endswith("RMSNorm") and isinstance(weight, Tensor) and isinstance(epsilon, float):
        return [(_norm(weight, more, epsilon), len(weight)) for more in (0, 1)]
    parts = [getattr(module, name, None) for name in ("gate_proj", "up_proj", "down_proj", "act_fn")]
    linear = all(isinstance(part, nn.Linear) for part in parts[:3])
    if linear and type(parts[3]).__name__ in ("SiLU", "SiLUActivation"):
        return [(_gated(*parts[:3]), parts[0].in_features)]  # type: ignore[arg-type, union-attr]
    return []


def _norm(weight: Tensor, more: int, epsilon: float) -> Forward:
    # What the weight is when it is used counts: a streamed one comes and goes.
    def forward(states: Tensor) -> Tensor:
        size = torch.linalg.vector_norm(states, dim=-1, keepdim=True)
        size.square_().div_(states.shape[-1]).add_(epsilon).rsqrt_()
        return (states * size).mul_(weight + more if more else weight)

    return forward


def _gated(gate: nn.Linear, up: nn.Linear, down: nn.Linear) -> Forward:
    def forward(states: Tensor) -> Tensor:
        inner = functional.silu(gate(states), inplace=True)
        return down(inner.mul_(up(states)))

    return forward
