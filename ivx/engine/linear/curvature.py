"""Curvature: second-order estimates of how patches interact in pairs, from one Hessian-vector product per patch.

Let each patch move its state a share of the way to the source's: ε for a, δ for b, which lies no lower. The mixed
derivative of a logit by both, at the unpatched run, estimates `J(a, b) = f(ab) − f(a) − f(b)`:

    ∂²m/∂ε∂δ  =  Δbᵀ (∂²m/∂b∂a) Δa  −  (∂m/∂b) (∂b/∂a) Δa

The first term is the model's curvature between the two states; the second is what is lost because b overwrites what a
had already changed there. Both come from one backward pass through a backward pass, which goes no lower than a. With
g(x) the gradient of m at a state x, the derivative of g(a)·Δa with respect to b is (∂²m/∂b∂a) Δa; and since g(a) is
(∂b/∂a)ᵀ g(b), that with respect to g(b) is (∂b/∂a) Δa. Where b is `=own`, Δb is 0 and the second term alone is left:
an estimate of `f(a | own b) − f(a)`. Like the first-order estimate this is exact to its order only, and is never
reported as a result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ivx.engine.address import OWN, Patch, spots
from ivx.engine.hooks.capture import PlaceStates, states_of
from ivx.engine.hooks.sites import Place, read
from ivx.engine.linear.estimate import batches, goals_of, graph_of
from ivx.engine.readout import Answer
from ivx.engine.turns import only_user
from ivx.engine.workload import Prompts, Workload, checked
from ivx.errors import AddressError, IvxError
from ivx.models.model import Model

TOGETHER = 64
"""Tokens, of patches times samples, of one pass backward: fewer would take as long, and more cannot stop sooner."""


class Curvature(NamedTuple):
    """Second-order estimate of every pair's interaction on two logits: `[samples, patches, patches]` each, symmetric,
    zero on the diagonal. `contrast` is None where no contrast was given."""

    logit: Tensor
    contrast: Tensor | None


def curvature(
    model: Model,
    *,
    source: Prompts,
    target: Prompts,
    answer: Sequence[Answer],
    patches: Sequence[str],
    contrast: Sequence[Answer] | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Curvature:
    """Second-order estimate of every pair's interaction on the answer's logit, and on the contrast's.

    Args:
        patches: single patches, each with a source or `=own`; otherwise as for `ivx.sweep`.
        beat: called before each pass; what it raises ends the work.

    Raises:
        IvxError: the weights are streamed; AddressError: patches of which no estimate is defined.
    """
    if model.stream is not None:
        raise IvxError(
            f"the weights of {model.name} are streamed, and an estimate of pairs needs them all at once: load it with "
            "weights='whole', --weights whole"
        )
    asked = checked(
        model, source=source, target=target, answer=answer, patches=patches, contrast=contrast, reference=None
    )
    players = [_single(patch_set) for patch_set in asked.patches.values()]
    places = sorted({(p.site, p.layer) for p in players})
    goals = 1 if contrast is None else 2
    found = torch.zeros(goals, len(target), len(players), len(players), dtype=torch.float64)
    with only_user(model):
        sources = states_of(model, asked.source, places, beat=beat)
        # The fused attention kernels have no second derivative.
        with sdpa_kernel(SDPBackend.MATH), torch.enable_grad():
            for samples in batches(model, asked.target):
                beat()
                ids = torch.tensor([asked.target[i] for i in samples], device=model.device)
                with read(model, places) as seen:
                    logits = goals_of(asked, samples, graph_of(model, ids))
                moves = [_move(model, asked, player, samples, sources, seen) for player in players]
                for goal, logit in zip(found, logits, strict=True):
                    goal[samples] = _mixed(logit.sum(), players, moves, seen, beat)
    found = found + found.transpose(2, 3)
    return Curvature(found[0], None if contrast is None else found[1])


def _single(patches: Sequence[Patch]) -> Patch:
    patch = patches[0]
    if len(patches) > 1 or not patch.copies or patch.site == "resid_mid":
        raise AddressError(
            f"{patch}: an estimate of pairs takes single patches with a source's state or =own, and no resid_mid"
        )
    return patch


def _move(
    model: Model, asked: Workload, patch: Patch, samples: Sequence[int], sources: PlaceStates, seen: dict[Place, Tensor]
) -> tuple[Tensor, Tensor]:
    """(what is written less what is there, 1) at what the patch writes, 0 elsewhere; both shaped like the states."""
    place = (patch.site, patch.layer)
    here = seen[place].detach()
    delta, where = torch.zeros_like(here), torch.zeros_like(here)
    width = here.shape[-1] // model.heads
    part = slice(None) if patch.head is None else slice(patch.head * width, (patch.head + 1) * width)
    for row, i in enumerate(samples):
        for position, taken in spots(patch, sample=i, target=asked.target[i], source=asked.source[i]):
            if patch.value != OWN:
                delta[row, position, part] = sources[i][place][taken][part] - here[row, position, part]
            where[row, position, part] = 1
    return delta, where


def _mixed(
    total: Tensor,
    players: Sequence[Patch],
    moves: Sequence[tuple[Tensor, Tensor]],
    seen: dict[Place, Tensor],
    beat: Callable[[], None],
) -> Tensor:
    """Mixed derivatives `[samples, a, b]` of a logit summed over samples, which are independent; for a before b."""
    found = torch.zeros(len(moves[0][0]), len(players), len(players), dtype=torch.float64)
    places = list(seen)
    slopes = dict(zip(places, _grad(total, [seen[p] for p in places], create_graph=True), strict=True))
    order = sorted(range(len(players)), key=lambda k: (_depth(players[k]), k))
    step = max(1, TOGETHER // moves[0][0][..., 0].numel())
    for first in range(0, len(order) - 1, step):
        beat()
        part, later = order[first : first + step], order[first + 1 :]
        above = list(dict.fromkeys(_place(players[b]) for b in later))
        moved = torch.stack([(slopes[_place(players[a])] * moves[a][0]).sum() for a in part])
        bent = _grads(moved, [seen[p] for p in above] + [slopes[p] for p in above])
        bends, shifts = (dict(zip(above, half, strict=True)) for half in (bent[: len(above)], bent[len(above) :]))
        for k, b in enumerate(later):
            place, (delta, where) = _place(players[b]), moves[b]
            gained = torch.einsum("anpw,npw->na", bends[place][: k + 1], delta)
            lost = torch.einsum("anpw,npw->na", shifts[place][: k + 1], slopes[place].detach() * where)
            found[:, part[: k + 1], b] = (gained - lost).double().cpu()
    return found


def _place(patch: Patch) -> Place:
    return patch.site, patch.layer


def _depth(patch: Patch) -> tuple[int, int]:
    return patch.layer, ("resid_pre", "z", "attn_out", "mlp_out", "resid_post").index(patch.site)


def _grad(of: Tensor, by: list[Tensor], *, create_graph: bool = False) -> list[Tensor]:
    found = torch.autograd.grad(of, by, create_graph=create_graph, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(x) if slope is None else slope for x, slope in zip(by, found, strict=True)]


def _grads(of: Tensor, by: list[Tensor]) -> list[Tensor]:
    """The gradients of several numbers `[n]`, from one pass: `[n, …]` each."""
    each = torch.eye(len(of), dtype=of.dtype, device=of.device)
    found = torch.autograd.grad(of, by, each, retain_graph=True, allow_unused=True, is_grads_batched=True)
    return [x.new_zeros(len(of), *x.shape) if slope is None else slope for x, slope in zip(by, found, strict=True)]
