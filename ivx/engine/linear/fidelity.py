"""Fidelity: how well a sum of parts reproduces the model's logits, and the proof that the surrogate's is exact.

Tried on a model itself before its first use: the frozen model is run on each embedding alone and on the biases alone.
If these logits sum to the model's own, and the sweep's identities hold, the surrogate is exact; else it is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ivx.engine.linear.frozen import parts_of, uncapped
from ivx.engine.linear.records import TOLERANCE, Fidelity
from ivx.engine.linear.surrogate import Surrogate
from ivx.engine.turns import only_user
from ivx.errors import UnsupportedArchitecture
from ivx.models.model import Model

EXPECTED = (TypeError, AttributeError, IndexError, KeyError, RuntimeError, ValueError)
"""What is raised where a model's modules are put together otherwise."""


_known: WeakKeyDictionary[nn.Module, str | None] = WeakKeyDictionary()


def prove(model: Model) -> None:
    """Raise `UnsupportedArchitecture` with the reason unless the surrogate is exact on this model; tried once."""
    if model.hf not in _known:
        _known[model.hf] = _tried(model)
    reason = _known[model.hf]
    if reason is not None:
        raise UnsupportedArchitecture(
            f"{model.name} ({model.hf.config.model_type}) is not linear when attention, norm scales and gates are "
            f"held: {reason}; so its pathways would not be exact"
        )


def _tried(model: Model) -> str | None:
    parts_of(model)
    ids = [[(i * step + 3) % model.vocabulary for i in range(6)] for step in (7, 11)]
    tolerance = TOLERANCE.get(str(model.dtype).removeprefix("torch."), 0.0)
    try:
        found = reconstructed(model, ids[0])
        apart = Surrogate(model, ids).sweep([1, 2], [3, 4]).deviation()
    except EXPECTED as error:
        return (
            f"a seam of its modules does not hold ({type(error).__name__}: {(str(error).splitlines() or [''])[0]:.120})"
        )
    if not found.within(tolerance):
        return f"its logits are summed with cosine {found.cosine:.6f} and norm ratio {found.ratio:.6f}"
    return f"parts differ from their sum by {apart:.0e}" if apart > tolerance else None


def reconstructed(model: Model, prompt: Sequence[int]) -> Fidelity:
    """How well the frozen model's logits from each embedding alone, and from biases alone, sum to the model's own."""
    surrogate = Surrogate(model, [prompt])
    states = surrogate.inputs[0].detach()
    alone = torch.diag_embed(states[0].T).permute(1, 2, 0)  # row t holds token t only
    rows = torch.cat([alone, torch.zeros_like(states)])
    constant = torch.zeros(len(rows), dtype=states.dtype, device=states.device)
    constant[-1] = 1
    with torch.no_grad():
        parts = surrogate.linear(rows, constant).sum(0)
    return fidelity_of(parts, own_logits(model, prompt))


def fidelity_of(parts: Tensor, whole: Tensor) -> Fidelity:
    """The fidelity of summed parts to the model's own logits, both `[vocabulary]`."""
    mine, real = parts.double(), whole.double()
    return Fidelity(
        float(torch.cosine_similarity(mine, real, dim=0)),
        float(torch.linalg.vector_norm(mine) / torch.linalg.vector_norm(real)),
    )


def own_logits(model: Model, prompt: Sequence[int]) -> Tensor:
    """The model's last-token logits `[vocabulary]`, before any softcap."""
    ids = torch.tensor([list(prompt)], device=model.device)
    with only_user(model), uncapped(model), torch.inference_mode():
        return model.hf(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1].clone()
