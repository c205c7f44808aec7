"""Curvature: second-order estimates of how patches interact in pairs, from one Hessian-vector product per patch.

Let each patch move its state a share of the way to the source's: ε for a, δ for b. The mixed derivative of a logit by
both, at the unpatched run, estimates `J(a, b) = f(ab) − f(a) − f(b)`:

    ∂²m/∂ε∂δ  =  Δaᵀ (∂²m/∂a∂b) Δb  −  (∂m/∂b) (∂b/∂a) Δa

The first term is the model's curvature between the two states; the second is what is lost because b overwrites what a
had already changed there. Both come from one backward pass through a backward pass. Where b is `=own`, Δb is 0 and the
second term alone is left: an estimate of `f(a | own b) − f(a)`. Like the first-order estimate it is exact to its order
only, and is never reported as a result.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ivx.engine.address import OWN, Patch, spots
from ivx.engine.hooks.capture import PlaceStates, states_of
from ivx.engine.hooks.sites import Place, read
from ivx.engine.linear.estimate import graph_of
from ivx.engine.turns import only_user
from ivx.engine.workload import Prompts, Workload, by_length, checked
from ivx.errors import AddressError
from ivx.models.model import Model


def curvature(
    model: Model,
    *,
    source: Prompts,
    target: Prompts,
    answer: Sequence[int],
    patches: Sequence[str],
    contrast: Sequence[int] | None = None,
) -> Tensor:
    """Second-order estimate of every pair's interaction, on the answer's logit; less the contrast's where there is one.

    Args:
        patches: single patches, each with a source or `=own`; otherwise as for `ivx.sweep`.

    Returns:
        `[samples, patches, patches]`, symmetric, zero on the diagonal; in logits.
    """
    asked = checked(
        model, source=source, target=target, answer=answer, patches=patches, contrast=contrast, reference=None
    )
    players = [_single(patch_set) for patch_set in asked.patches.values()]
    places = sorted({(p.site, p.layer) for p in players})
    sources = states_of(model, asked.source, places)
    found = torch.zeros(len(target), len(players), len(players), dtype=torch.float64)
    # The fused attention kernels have no second derivative.
    with only_user(model), sdpa_kernel(SDPBackend.MATH), torch.enable_grad():
        for samples in by_length(asked.target).values():
            ids = torch.tensor([asked.target[i] for i in samples], device=model.device)
            with read(model, places) as seen:
                logits = graph_of(model, ids)
            wholes = [_whole(model, asked, player, samples, sources, seen) for player in players]
            rows = range(len(samples))
            total = logits[rows, [asked.answer[i] for i in samples]].sum()
            if asked.contrast is not None:
                total = total - logits[rows, [asked.contrast[i] for i in samples]].sum()
            found[samples] = _mixed(total, players, wholes, seen)
    return found + found.transpose(1, 2)


def _single(patches: Sequence[Patch]) -> Patch:
    patch = patches[0]
    if len(patches) > 1 or not patch.copies or patch.site == "resid_mid":
        raise AddressError(
            f"{patch}: an estimate of pairs takes single patches with a source's state or =own, and no resid_mid"
        )
    return patch


def _whole(
    model: Model, asked: Workload, patch: Patch, samples: Sequence[int], sources: PlaceStates, seen: dict[Place, Tensor]
) -> tuple[Tensor, Tensor]:
    """(states to write at the patch's tokens, mask of these tokens): both shaped like the place's, 0 elsewhere."""
    place = (patch.site, patch.layer)
    values, where = (torch.zeros_like(seen[place], requires_grad=False) for _ in range(2))
    width = values.shape[-1] // model.heads
    part = slice(None) if patch.head is None else slice(patch.head * width, (patch.head + 1) * width)
    for row, i in enumerate(samples):
        for position, taken in spots(patch, sample=i, target=asked.target[i], source=asked.source[i]):
            state = seen[place][row].detach() if patch.value == OWN else sources[i][place]
            values[row, position, part] = state[taken][part]
            where[row, position, part] = 1
    return values, where


def _mixed(
    total: Tensor, players: Sequence[Patch], wholes: Sequence[tuple[Tensor, Tensor]], seen: dict[Place, Tensor]
) -> Tensor:
    """Mixed derivatives `[samples, a, b]` of a logit summed over samples, which are independent; for a before b."""
    n = len(wholes[0][0])
    found = torch.zeros(n, len(players), len(players), dtype=torch.float64)
    places = list(seen)
    slopes = dict(zip(places, _grad(total, [seen[p] for p in places], create_graph=True), strict=True))
    deltas = [
        ((values - seen[p.site, p.layer]) * where).detach() for p, (values, where) in zip(players, wholes, strict=True)
    ]
    for b, later in enumerate(players):
        place = (later.site, later.layer)
        values, where = wholes[b]
        before = [a for a, earlier in enumerate(players) if (_order(earlier), a) < (_order(later), b)]
        if not before:
            continue
        # Both the gradient at b and the state there, which b overwrites, depend on earlier states.
        moved = (slopes[place] * (values - seen[place]) * where).sum()
        bends = dict(zip(places, _grad(moved, [seen[p] for p in places]), strict=True))
        for a in before:
            bent = bends[players[a].site, players[a].layer] * deltas[a]
            found[:, a, b] = bent.flatten(1).sum(1).double().cpu()
    return found


def _order(patch: Patch) -> tuple[int, int]:
    return patch.layer, ("resid_pre", "z", "attn_out", "mlp_out", "resid_post").index(patch.site)


def _grad(of: Tensor, by: list[Tensor], *, create_graph: bool = False) -> list[Tensor]:
    found = torch.autograd.grad(of, by, create_graph=create_graph, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(x) if slope is None else slope for x, slope in zip(by, found, strict=True)]
