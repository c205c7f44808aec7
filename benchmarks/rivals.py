"""What a user would otherwise write or install for the same sweep. Each returns the answers' logits, patch by patch.

Each patches batches of 64 rows of equal length and reads the last token only.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from ivx.engine.address import PatchSet, parse
from ivx.models.model import Model
from ivx.models.registry import EMBEDDED

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


def nnsight(
    model: Model, source: list[list[int]], target: list[list[int]], answer: list[int], patches: list[str]
) -> Tensor:
    """The same batches as nnsight traces; residual patches only."""
    from nnsight import NNsight, save

    net = NNsight(model.hf)
    blocks = net.get(model.anatomy.blocks)
    ids, told = torch.tensor(target), torch.tensor(source)
    wanted = torch.tensor(answer)
    layers = sorted({p.layer for patch in patches for p in parse(patch)})
    found = []
    with torch.no_grad():
        with net.trace(input_ids=told, use_cache=False, logits_to_keep=1):
            kept = save({layer: blocks[layer].output for layer in layers})
        for batch in _batches(len(target), patches):
            rows = torch.tensor([i for i, _ in batch])
            writes: dict[int, list[tuple[int, int, int]]] = {}
            for k, (i, patch_set) in enumerate(batch):
                for p in patch_set:
                    writes.setdefault(p.layer, []).append((k, i, p.position or 0))
            with net.trace(input_ids=ids[rows], use_cache=False, logits_to_keep=1):
                for layer in sorted(writes):
                    at, whose, tokens = (list(column) for column in zip(*writes[layer], strict=True))
                    blocks[layer].output[at, tokens] = kept[layer][whose, tokens]
                logits = net.output.logits[:, -1].save()
            found.append(logits.gather(1, wanted[rows][:, None]).squeeze(1))
    return torch.cat(found)


def transformer_lens(
    model: Model, source: list[list[int]], target: list[list[int]], answer: list[int], patches: list[str]
) -> Tensor:
    """The same batches by TransformerLens' bridge and `run_with_hooks`, on a copy; residual patches only."""
    net = _bridge(model)
    ids, told, wanted = torch.tensor(target), torch.tensor(source), torch.tensor(answer)
    names = sorted({f"blocks.{p.layer}.hook_out" for patch in patches for p in parse(patch)})
    found = []
    with torch.inference_mode():
        _, cache = net.run_with_cache(told, names_filter=names)
        for batch in _batches(len(target), patches):
            rows = torch.tensor([i for i, _ in batch])
            writes: dict[str, list[tuple[int, int, int]]] = {}
            for k, (i, patch_set) in enumerate(batch):
                for p in patch_set:
                    writes.setdefault(f"blocks.{p.layer}.hook_out", []).append((k, i, p.position or 0))

            def put(state: Tensor, hook: Any, spots: dict = writes) -> Tensor:
                k, i, t = (list(column) for column in zip(*spots[hook.name], strict=True))
                state[k, t] = cache[hook.name][i, t]
                return state

            logits = net.run_with_hooks(ids[rows], fwd_hooks=[(name, put) for name in writes])[:, -1]
            found.append(logits.gather(1, wanted[rows][:, None]).squeeze(1))
    return torch.cat(found)


def _bridge(model: Model) -> Any:
    """TransformerLens reads the config from a directory and wraps a copy of the modules."""
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoTokenizer

    if model.name not in _bridges:
        hf = copy.deepcopy(model.hf)
        hf.config.architectures = [type(hf).__name__]
        folder = tempfile.mkdtemp(prefix="ivx-bench-")
        hf.config.save_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(EMBEDDED / "tiny-base")  # it asks for one; ids are given
        _bridges[model.name] = TransformerBridge.boot_transformers(folder, hf_model=hf, tokenizer=tokenizer)
    return _bridges[model.name]


def pyvene(
    model: Model, source: list[list[int]], target: list[list[int]], answer: list[int], patches: list[str]
) -> Tensor:
    """Interchange interventions by pyvene, each set of layers a model of its own; residual only."""
    import pyvene as pv
    from pyvene.models.intervenable_modelcard import type_to_module_mapping

    if type(model.hf) not in type_to_module_mapping:
        raise NotImplementedError(f"pyvene does not know {type(model.hf).__name__}")
    ids, told, wanted = torch.tensor(target), torch.tensor(source), torch.tensor(answer)
    rows = [(i, parse(patch)) for patch in patches for i in range(len(target))]
    by_layers: dict[tuple[int, ...], list[int]] = {}
    for k, (_, patch_set) in enumerate(rows):
        by_layers.setdefault(tuple(p.layer for p in patch_set), []).append(k)
    found = torch.empty(len(rows))
    with torch.inference_mode():
        for layers, members in by_layers.items():
            put = {"component": "block_output", "intervention_type": pv.VanillaIntervention}
            net = pv.IntervenableModel([{"layer": layer, **put} for layer in layers], model.hf)
            for start in range(0, len(members), ROWS):
                here = members[start : start + ROWS]
                i = torch.tensor([rows[k][0] for k in here])
                spots = [[[rows[k][1][n].position] for k in here] for n in range(len(layers))]
                _, output = net(
                    {"input_ids": ids[i]}, [{"input_ids": told[i]}] * len(layers),
                    unit_locations={"sources->base": (spots, spots)},
                )  # fmt: skip
                found[here] = output.logits[:, -1].gather(1, wanted[i][:, None]).squeeze(1)
    return found


_bridges: dict[str, Any] = {}
OTHERS: dict[str, Rival] = {"nnsight": nnsight, "transformer_lens": transformer_lens, "pyvene": pyvene}
"""Rivals timed on residual workloads, if installed and if they know the architecture."""
