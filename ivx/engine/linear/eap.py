"""EAP and EAP-IG for heads: reference rankings that others use, a few lines each.

*Edge attribution patching* (Syed et al. 2310.10348; Nanda 2023) says what ablating a head would cost by one gradient:
(its output − its ablated value) · ∂m/∂output, summed over tokens. *With integrated gradients* (Hanna et al. 2403.17806,
EAP-IG inputs) the gradient is a mean over prompts on the way from a baseline, here the mean embedding, to the prompt
itself. Unlike the surrogate's parts both let gates and attention move; like them, both are of first order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import numpy as np
import torch
from torch import Tensor, nn

from ivx.engine.hooks.run import rows_within
from ivx.engine.turns import FREE_SHARE, only_user
from ivx.engine.workload import by_length
from ivx.models.memory import free_bytes
from ivx.models.model import Model
from ivx.stats.intervals import Array

STEPS = 5
"""Prompts on the way from the baseline, of EAP-IG; as many as its authors take."""


def head_scores(
    model: Model,
    prompts: Sequence[Sequence[int]],
    *,
    answer: Sequence[int],
    contrast: Sequence[int],
    fill: Sequence[Tensor],
    steps: int = 1,
    beat: Callable[[], None] = lambda: None,
) -> Array:
    """What each head is worth in logits of answer less contrast, by a gradient `[prompts, layers, heads]`.

    Args:
        fill: z of the ablated heads of each layer `[heads × width]`.
        steps: 1 is EAP; more, EAP-IG.
        beat: called before each pass; what it raises ends the work.
    """
    found = np.zeros((len(prompts), model.layers, model.heads))
    embed = model.hf.get_input_embeddings()
    with torch.no_grad():
        tokens = torch.tensor([token for prompt in prompts for token in prompt], device=model.device)
        baseline = embed(tokens).mean(0)
    for length, members in by_length(prompts).items():
        step = rows_within(model, length, FREE_SHARE * free_bytes(str(model.device)) / 1e9 / (2 * model.layers))
        for part in (members[i : i + step] for i in range(0, len(members), step)):
            ids = torch.tensor([list(prompts[k]) for k in part], device=model.device)
            read = [torch.tensor([name[k] for k in part], device=model.device) for name in (answer, contrast)]
            slopes: list[Tensor] = []
            for k in range(steps):
                beat()
                share = 1.0 if steps == 1 else (k + 1) / steps
                states, own = _slopes(model, embed, ids, baseline, share, read)
                slopes = [a + b for a, b in zip(slopes, own, strict=True)] if slopes else own
            # Of the last step, which is the prompt itself.
            for layer, (z, slope) in enumerate(zip(states, slopes, strict=True)):
                worth = ((z - fill[layer]) * slope / steps).sum(1).unflatten(-1, (model.heads, -1)).sum(-1)
                found[part, layer] = worth.double().cpu().numpy()
    return found


def _slopes(
    model: Model, embed: nn.Module, ids: Tensor, baseline: Tensor, share: float, read: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """z of every layer `[prompts, tokens, heads × width]`, and the slope of the logit difference there."""
    seen: dict[int, Tensor] = {}

    def watch(layer: int) -> Callable:
        def before(module: nn.Module, args: tuple) -> None:
            seen[layer] = args[0]

        return before

    with only_user(model), torch.enable_grad(), ExitStack() as stack:
        for layer in range(model.layers):
            hook = model.module(layer, model.anatomy.projection).register_forward_pre_hook(watch(layer))
            stack.callback(hook.remove)
        states = (baseline + share * (embed(ids) - baseline)).requires_grad_()
        logits = model.hf(inputs_embeds=states, use_cache=False, logits_to_keep=1).logits[:, -1]
        rows = torch.arange(len(ids), device=logits.device)
        moved = (logits[rows, read[0]] - logits[rows, read[1]]).sum()
        places = [seen[layer] for layer in range(model.layers)]
        slopes = torch.autograd.grad(moved, places, allow_unused=True)
    told = [torch.zeros_like(z) if slope is None else slope for z, slope in zip(places, slopes, strict=True)]
    return [z.detach() for z in places], told
