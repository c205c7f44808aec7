"""What a user would otherwise write or install for the same sweep. Each returns the answers' logits, patch by patch.

All patch batches of rows of equal length, 64 rows at a time; all read the last token only.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import torch
from torch import Tensor

from ivx.engine.address import PatchSet, parse
from ivx.models.model import Model

ROWS = 64
Rival = Callable[[Model, list[list[int]], list[list[int]], list[int], list[str]], Tensor]


def _batches(samples: int, patches: list[str]) -> list[list[tuple[int, PatchSet]]]:
    rows = [(i, parse(patch)) for patch in patches for i in range(samples)]
    return [rows[start : start + ROWS] for start in range(0, len(rows), ROWS)]


def hooks(
    model: Model, source: list[list[int]], target: list[list[int]], answer: list[int], patches: list[str]
) -> Tensor:
    """Batched forward hooks, well written: sources once, one tensor index a layer, the head at the last token only."""
    ids, told = torch.tensor(target, device=model.device), torch.tensor(source, device=model.device)
    wanted = torch.tensor(answer, device=model.device)
    kept: dict[tuple[str, int], Tensor] = {}

    def module(site: str, layer: int) -> torch.nn.Module:
        return model.module(layer, model.anatomy.projection) if site == "z" else model.blocks[layer]

    sites = {(p.site, p.layer) for patch in patches for p in parse(patch)}
    with torch.inference_mode(), ExitStack() as stack:
        for site, layer in sites:
            if site == "z":
                hook = module(site, layer).register_forward_pre_hook(
                    lambda m, a, key=(site, layer): kept.__setitem__(key, a[0])
                )
            else:
                hook = module(site, layer).register_forward_hook(
                    lambda m, a, o, key=(site, layer): kept.__setitem__(key, o if isinstance(o, Tensor) else o[0])
                )
            stack.callback(hook.remove)
        model.hf(input_ids=told, use_cache=False, logits_to_keep=1)
    found = []
    for batch in _batches(len(target), patches):
        rows = torch.tensor([i for i, _ in batch])
        writes: dict[tuple[str, int], list[tuple[int, int, int | None, int | None]]] = {}
        for k, (i, patch_set) in enumerate(batch):
            for p in patch_set:
                writes.setdefault((p.site, p.layer), []).append((k, i, p.position, p.head))
        with torch.inference_mode(), ExitStack() as stack:
            for (site, layer), spots in writes.items():
                edit = _edit(model, site, spots, kept[site, layer])
                if site == "z":
                    hook = module(site, layer).register_forward_pre_hook(lambda m, a, e=edit: (e(a[0]), *a[1:]))
                else:
                    hook = module(site, layer).register_forward_hook(
                        lambda m, a, o, e=edit: e(o) if isinstance(o, Tensor) else (e(o[0]), *o[1:])
                    )
                stack.callback(hook.remove)
            logits = model.hf(input_ids=ids[rows], use_cache=False, logits_to_keep=1).logits[:, -1]
        found.append(logits.gather(1, wanted[rows][:, None]).squeeze(1))
    return torch.cat(found)


def _edit(model: Model, site: str, spots: list, kept: Tensor) -> Callable[[Tensor], Tensor]:
    k, i = (torch.tensor([s[n] for s in spots]) for n in (0, 1))
    everywhere = spots[0][2] is None
    t = None if everywhere else torch.tensor([s[2] for s in spots])
    h = torch.tensor([s[3] for s in spots]) if site == "z" else None

    def edit(state: Tensor) -> Tensor:
        state = state.clone()
        if h is None:
            state[k, t] = kept[i, t]
        elif t is None:
            by_head, theirs = (x.view(*x.shape[:-1], model.heads, -1) for x in (state, kept))
            by_head[k, :, h] = theirs[i, :, h]
        else:
            by_head, theirs = (x.view(*x.shape[:-1], model.heads, -1) for x in (state, kept))
            by_head[k, t, h] = theirs[i, t, h]
        return state

    return edit
