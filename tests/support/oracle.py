"""The slow, obvious oracle: one row at a time, hooks written by hand for each architecture; of ivx, only the grammar of
addresses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ivx.engine.address import parse

# For each architecture: block list, output projection, what attention adds, what the MLP adds.
NAMES: dict[str, tuple[Callable[[Any], Any], Callable, Callable, Callable]] = {
    "olmo2": (
        lambda m: m.model.layers,
        lambda b: b.self_attn.o_proj,
        lambda b: b.post_attention_layernorm,
        lambda b: b.post_feedforward_layernorm,
    ),
    "llama": (lambda m: m.model.layers, lambda b: b.self_attn.o_proj, lambda b: b.self_attn, lambda b: b.mlp),
    "gpt2": (lambda m: m.transformer.h, lambda b: b.attn.c_proj, lambda b: b.attn, lambda b: b.mlp),
    "gemma2": (
        lambda m: m.model.layers,
        lambda b: b.self_attn.o_proj,
        lambda b: b.post_attention_layernorm,
        lambda b: b.post_feedforward_layernorm,
    ),
    "gpt_neox": (lambda m: m.gpt_neox.layers, lambda b: b.attention.dense, lambda b: b.attention, lambda b: b.mlp),
}
NAMES |= {kind: NAMES["llama"] for kind in ("qwen3", "mistral", "starcoder2")} | {"gemma3_text": NAMES["gemma2"]}
NAMES["phi"] = (lambda m: m.model.layers, lambda b: b.self_attn.dense, lambda b: b.self_attn, lambda b: b.mlp)
Edit = Callable[[Tensor], Tensor]


def _first(value: Any) -> Tensor:
    return value[0] if isinstance(value, tuple) else value


def _rewrap(value: Any, new: Tensor) -> Any:
    return (new, *value[1:]) if isinstance(value, tuple) else new


def run(hf: PreTrainedModel, kind: str, ids: list[int], edits: dict[tuple[str, int], Edit]) -> Tensor:
    """Last-token logits of one prompt, every site in `edits` passed through its function."""
    blocks, projection, attention, mlp = NAMES[kind]
    mid: dict[int, Tensor] = {}

    def put(handle_stack: ExitStack, module: nn.Module, edit: Edit) -> None:
        hook = module.register_forward_hook(lambda m, a, out: _rewrap(out, edit(_first(out))))
        handle_stack.callback(hook.remove)

    with ExitStack() as stack, torch.no_grad():
        for layer, block in enumerate(blocks(hf)):

            def entering(m: Any, args: Any, kwargs: Any, layer: int = layer) -> Any:
                state = edits.get(("resid_pre", layer), lambda s: s)(args[0])
                mid[layer] = state
                return (state, *args[1:]), kwargs

            stack.callback(block.register_forward_pre_hook(entering, with_kwargs=True).remove)
            if ("z", layer) in edits:
                z = edits["z", layer]
                hook = projection(block).register_forward_pre_hook(lambda m, a, z=z: (z(a[0]),))
                stack.callback(hook.remove)
            if ("attn_out", layer) in edits:
                put(stack, attention(block), edits["attn_out", layer])
            if ("resid_mid", layer) in edits:

                def behind(added: Tensor, edit: Edit = edits["resid_mid", layer], layer: int = layer) -> Tensor:
                    return edit(mid[layer] + added) - mid[layer]

                put(stack, attention(block), behind)
            if ("mlp_out", layer) in edits:
                put(stack, mlp(block), edits["mlp_out", layer])
            if ("resid_post", layer) in edits:
                put(stack, block, edits["resid_post", layer])
        return hf(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]


def states(hf: PreTrainedModel, kind: str, ids: list[int], place: tuple[str, int]) -> Tensor:
    """The state at one site: `[tokens, width]`."""
    return all_states(hf, kind, ids, [place])[place]


def all_states(
    hf: PreTrainedModel, kind: str, ids: Sequence[int], places: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], Tensor]:
    """The states at several sites, each `[tokens, width]`."""
    found: dict[tuple[str, int], Tensor] = {}

    def keep(state: Tensor, place: tuple[str, int]) -> Tensor:
        found[place] = state[0].clone()
        return state

    run(hf, kind, list(ids), {place: lambda state, place=place: keep(state, place) for place in places})  # type: ignore[misc]
    return found


def random_state(
    patch: Any, *, target: Sequence[int], source: Sequence[int], taken: int, theirs: Tensor, heads: int
) -> Tensor:
    """What `=random` writes, from what it says of itself: the seed, the direction, the norm of `theirs`."""
    key = (patch.site, patch.layer, patch.head, taken % len(source), tuple(target), tuple(source))
    rng = np.random.default_rng(int.from_bytes(sha256(repr(key).encode()).digest()[:8], "big"))
    if patch.head is None:
        direction = rng.standard_normal(len(theirs))
        return torch.tensor(direction * float(theirs.norm()) / np.linalg.norm(direction))
    own = theirs.view(heads, -1)[patch.head]
    direction = rng.standard_normal(len(own))
    found = torch.zeros(heads, len(own), dtype=torch.float64)
    found[patch.head] = torch.tensor(direction * float(own.norm()) / np.linalg.norm(direction))
    return found.flatten()


def edits_of(
    hf: PreTrainedModel,
    kind: str,
    address: str,
    *,
    sample: int,
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
) -> dict[tuple[str, int], Edit]:
    """The edits of one patched row, in the order given. Positions are those of the prompt, whatever is written behind
    it; `=mean` is over all targets.
    """
    edits: dict[tuple[str, int], Edit] = {}
    patches, heads, target, source = parse(address), hf.config.num_attention_heads, targets[sample], sources[sample]
    places = [(patch.site, patch.layer) for patch in patches]
    own, theirs = (all_states(hf, kind, ids, places) for ids in (target, source))
    every = [all_states(hf, kind, ids, places) for ids in targets if "=mean" in address]
    for patch, place in zip(patches, places, strict=True):
        values: dict[int, Tensor] = {}
        for p in range(len(target)) if patch.position is None else [patch.position]:
            taken = p if patch.source is None else patch.source
            if patch.value == "zero":
                value = torch.zeros_like(own[place][0])
            elif patch.value == "mean":
                value = torch.cat([e[place] if patch.position is None else e[place][[p]] for e in every]).mean(0)
            elif patch.value == "own":
                value = own[place][p]
            elif patch.value == "random":
                value = random_state(
                    patch, target=target, source=source, taken=taken, theirs=theirs[place][taken], heads=heads
                )
            else:
                value = theirs[place][taken]
            values[p % len(target)] = value
        part = slice(None)
        if patch.head is not None:
            wide = len(own[place][0]) // heads
            part = slice(patch.head * wide, (patch.head + 1) * wide)
        edits[place] = _writing(values, part, edits.get(place))
    return edits


def _writing(values: dict[int, Tensor], part: slice, before: Edit | None) -> Edit:
    def edit(state: Tensor) -> Tensor:
        state = state.clone() if before is None else before(state)
        for position, value in values.items():
            state[0, position, part] = value[part].to(state)
        return state

    return edit
