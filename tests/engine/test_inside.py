"""The sites inside attention, `q`, `k`, `v` and `pattern`: against hooks written by hand, one row at a time."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import ivx
from ivx.engine.address import parse
from ivx.engine.hooks.inside import split_of
from ivx.errors import AddressError, IvxError, UnsupportedArchitecture
from ivx.models.model import Model
from tests.support.random_models import random_model

SOURCE = [[5, 17, 33, 8, 64], [9, 2, 40, 11, 77]]
TARGET = [[3, 60, 21, 90, 14], [7, 44, 13, 9, 2]]
ANSWER = [50, 51]
NORMED = {"olmo2": ("q_norm", "k_norm"), "qwen3": ("q_norm", "k_norm"), "gemma3_text": ("q_norm", "k_norm")}
SPLIT = ["gemma", "gemma3_text", "gpt2", "granite", "llama", "mistral", "olmo2", "phi", "phi3", "qwen3", "starcoder2"]
"""Whose queries and keys a module makes: before and behind norms, with a window, in parallel, and side by side."""
NOT_ALONE = ["gpt_neox", "deepseek_v2"]
"""Whose values and attention rows alone are had."""
REFUSED = ["bitnet", "diffllama", "doge"]
PLACES = ["1.3@-1", "2@1", "0.0@*"]
PATCHES = [f"q.{place}" for place in PLACES] + [f"pattern.{place}" for place in PLACES]
PATCHES += [f"{site}.{place}" for site in "kv" for place in ("1.1@2", "2@1", "0.0@*")]
PATCHES += ["pattern.1.2@-1,v.1.1@*", "q.1.1@2~0", "k.0.1@1~3", "v.2.0@1=zero", "q.1.2@-1=zero"]
PATCHES += ["z.1.0@-1,pattern.2.0@-1"]
Edit = Callable[[Tensor], Tensor]


def edited(state: Tensor, theirs: Tensor, patch: Any, heads: int) -> Tensor:
    """A state `[1, tokens, heads × width]` with one patch written."""
    state = state.clone()
    wide = state.shape[-1] // heads
    part = slice(None) if patch.head is None else slice(patch.head * wide, (patch.head + 1) * wide)
    for p in range(state.shape[1]) if patch.position is None else [patch.position]:
        taken = theirs[0, p if patch.source is None else patch.source, part]
        state[0, p, part] = torch.zeros_like(taken) if patch.value == "zero" else taken
    return state


def by_hand(model: Model, kind: str, ids: list[int], edits: dict[tuple[str, int], Edit]) -> Tensor:
    """Last-token logits of one prompt; every site in `edits` goes through its function, by the names of the modules."""
    hf: Any = model.hf
    heads, width = hf.config.num_attention_heads, model.head_dim
    keyed = getattr(hf.config, "num_key_value_heads", None) or heads
    blocks = hf.transformer.h if kind == "gpt2" else hf.model.layers
    starts = {"q": (0, heads * width), "k": (heads * width, (heads + keyed) * width)}
    starts["v"] = (starts["k"][1], starts["k"][1] + keyed * width)

    def put(stack: ExitStack, layer: int, site: str, edit: Edit) -> None:
        attention = blocks[layer].attn if kind == "gpt2" else blocks[layer].self_attn
        if site == "z":
            out = attention.c_proj if kind == "gpt2" else attention.dense if kind == "phi" else attention.o_proj
            stack.callback(out.register_forward_pre_hook(lambda m, a: (edit(a[0]),)).remove)
            return
        if kind in ("gpt2", "phi3"):
            start, stop = starts[site]

            def within(m: Any, a: Any, out: Tensor) -> Tensor:
                return torch.cat([out[..., :start], edit(out[..., start:stop]), out[..., stop:]], dim=-1)

            module = attention.c_attn if kind == "gpt2" else attention.qkv_proj
            stack.callback(module.register_forward_hook(within).remove)
            return
        name = NORMED[kind]["qk".index(site)] if kind in NORMED and site in "qk" else f"{site}_proj"

        def whole(m: Any, a: Any, out: Tensor) -> Tensor:
            if out.ndim == 3:
                return edit(out)
            if kind == "gemma3_text":  # heads before tokens
                return edit(out.transpose(1, 2).flatten(2)).view(1, len(ids), -1, width).transpose(1, 2)
            return edit(out.flatten(2)).view(out.shape)

        stack.callback(getattr(attention, name).register_forward_hook(whole).remove)

    with ExitStack() as stack, torch.no_grad():
        rows = {layer: edit for (site, layer), edit in edits.items() if site == "pattern"}
        for (site, layer), edit in edits.items():
            if site != "pattern":
                put(stack, layer, site, edit)
        if rows:
            module = inspect.getmodule(type(blocks[0].attn if kind == "gpt2" else blocks[0].self_attn))
            stack.enter_context(eager_edited(module, rows))
        return hf(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]


def eager_edited(module: Any, rows: dict[int, Edit]) -> Any:
    """transformers' own eager attention, its weights edited and applied once more."""
    patching, own = pytest.MonkeyPatch.context(), module.eager_attention_forward

    def eager(attention: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, *more: Any, **named: Any) -> Any:
        output, weights = own(attention, query, key, value, mask, *more, **named)
        if attention.layer_idx not in rows:
            return output, weights
        flat = rows[attention.layer_idx](weights.transpose(1, 2).flatten(2))
        weights = flat.unflatten(2, (weights.shape[1], -1)).transpose(1, 2)
        value = value.repeat_interleave(weights.shape[1] // value.shape[1], dim=1)
        return (weights @ value).transpose(1, 2).contiguous(), weights

    stack = ExitStack()
    stack.enter_context(patching).setattr(module, "eager_attention_forward", eager)
    return stack


def expected(model: Model, kind: str, address: str, sample: int) -> float:
    patches = parse(address)
    places = {(patch.site, patch.layer) for patch in patches}
    theirs: dict[tuple[str, int], Tensor] = {}

    def keep(place: tuple[str, int]) -> Edit:
        return lambda state: theirs.setdefault(place, state.clone())

    by_hand(model, kind, SOURCE[sample], {place: keep(place) for place in places})
    keyed = getattr(model.hf.config, "num_key_value_heads", None) or model.heads
    edits: dict[tuple[str, int], Edit] = {}
    for patch in patches:
        heads = keyed if patch.site in ("k", "v") else model.heads
        place = (patch.site, patch.layer)
        edits[place] = lambda state, patch=patch, place=place, heads=heads: edited(  # type: ignore[misc]
            state, theirs[place], patch, heads
        )
    return float(by_hand(model, kind, TARGET[sample], edits)[ANSWER[sample]])


def eager(kind: str) -> Model:
    model = random_model(kind)
    model.hf.set_attn_implementation("eager")
    return model


@pytest.mark.architectures
@pytest.mark.parametrize("kind", SPLIT)
def test_sites_inside_attention_equal_hooks_by_hand(kind: str) -> None:
    model = eager(kind)
    table = ivx.sweep(model, source=SOURCE, target=TARGET, answer=ANSWER, patches=PATCHES)
    assert table.schema.metadata[b"ivx.engine"].startswith(b"hooks: ")
    base = dict(zip(table["sample"].to_pylist(), table["logit"].to_pylist(), strict=False))
    moved = 0
    for row in table.to_pylist()[len(TARGET) :]:
        assert row["logit"] == pytest.approx(expected(model, kind, row["patch"], row["sample"]), abs=1e-10), row
        moved += abs(row["logit"] - base[row["sample"]]) > 1e-6
    assert moved > len(PATCHES), "most patches move the answer, so that equality says something"


@pytest.mark.architectures
@pytest.mark.parametrize("kind", NOT_ALONE)
def test_queries_that_no_module_makes_alone_are_refused_and_values_are_not(kind: str) -> None:
    model = random_model(kind)
    asked: dict[str, Any] = {"source": SOURCE, "target": TARGET, "answer": ANSWER}
    with pytest.raises(UnsupportedArchitecture, match=f"{kind}.*queries and keys before rotation cannot be had"):
        ivx.sweep(model, patches=["q.1.1@-1"], **asked)
    every = [f"{site}.{layer}@*" for layer in range(model.layers) for site in ("pattern", "v")]
    # All that a layer's heads look at and read is what they write.
    both = ivx.sweep(model, patches=["pattern.1@*,v.1@*", "z.1@*"], engine="hooks", **asked)["logit"].to_numpy()
    assert np.abs(both[2:4] - both[4:6]).max() <= 1e-6
    assert ivx.sweep(model, patches=every, **asked).num_rows == 2 * (1 + len(every))


@pytest.mark.architectures
@pytest.mark.parametrize("kind", REFUSED)
def test_attention_that_cannot_be_taken_apart_is_refused(kind: str) -> None:
    with pytest.raises(UnsupportedArchitecture, match="so q, k, v and pattern cannot be patched; patch z"):
        ivx.sweep(random_model(kind), source=SOURCE, target=TARGET, answer=ANSWER, patches=["pattern.1.1@-1"])


def test_a_site_inside_attention_is_refused_where_it_cannot_be() -> None:
    model = random_model("llama")
    assert split_of(model).q is not None
    asked: dict[str, Any] = {"target": TARGET[:1], "answer": ANSWER[:1]}
    with pytest.raises(AddressError, match="6 source and 5 target tokens, and an attention row"):
        ivx.sweep(model, source=[[*SOURCE[0], 4]], patches=["pattern.1.0@-1"], **asked)
    with pytest.raises(AddressError, match="the same token"):
        ivx.sweep(model, source=SOURCE[:1], patches=["pattern.1.0@3~2"], **asked)
    with pytest.raises(AddressError, match="key heads 0 to 1"):
        ivx.sweep(model, source=SOURCE[:1], patches=["v.1.3@-1"], **asked)
    with pytest.raises(AddressError, match="taken from a run, or is =zero or =own"):
        ivx.sweep(model, source=SOURCE[:1], patches=["pattern.1.0@-1=mean"], **asked)
    with pytest.raises(IvxError, match="cannot be swept by plan: v lie"):
        ivx.sweep(model, source=SOURCE[:1], patches=["v.1.0@-1"], engine="plan", **asked)
