"""Estimates of first and second order: against slow loops in float64, in turns, and ended within a pass."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

import ivx
from ivx.engine.address import RANDOM, Patch, parse, spots
from ivx.engine.draws import draw_of, drawn
from ivx.engine.hooks.capture import states_of
from ivx.engine.hooks.sites import read
from ivx.engine.linear import estimate as estimates
from ivx.engine.linear.curvature import curvature
from ivx.engine.linear.estimate import estimate, estimate_groups, graph_of
from ivx.engine.turns import only_user
from ivx.errors import Cancelled
from ivx.models.model import Model
from tests.support.random_models import random_model

SOURCE = [[5, 17, 33, 8], [9, 2, 40, 11, 77], [5, 17, 33, 8, 12]]
TARGET = [[3, 60, 21, 90, 14], [7, 44, 13], [8, 45, 14]]
ABOUT: dict[str, Any] = {"target": TARGET, "answer": [50, 51, 52], "contrast": [60, 61, 62]}
SITES = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "z")
PATCHES = [
    *(f"{site}.{layer}@{end}" for site in SITES for layer in (0, 1) for end in ("0~-1", "-1~2", "1")),
    *(f"{site}.1@0~-1={RANDOM}" for site in SITES),
    *("z.1.3@0~-1", "z.1.0@*~-2", "resid_post.1@*~0", "z.2.3@-1~1=random", "resid_post.1@*~0=random"),
    *("attn_out.1@1=zero", "z.1.1@0=zero", "mlp_out.0@-1=mean", "resid_post.1@*=mean", "z.1@0=mean", "z.1.2@*=mean"),
    *("resid_post.0@0~-1,resid_post.2@-1~1", "z.0.1@0~-1,z.0.2@0~-1,mlp_out.1@1~1,resid_pre.2@*=zero"),
]
PAIRED = ["resid_post.0@1~-1", "z.1.2@1~-1", "z.1.3@1~-1", "z.1@2~0", "mlp_out.1@-1~-1", "resid_pre.2@1~0"]


def slow(model: Model, source: list[list[int]], patches: list[str]) -> np.ndarray:
    """`[logits, patches, samples]`: one product for every logit, patch, token and sample."""
    places = [(site, layer) for site in SITES for layer in range(model.layers)]
    every = states_of(model, TARGET, places)
    found = np.zeros((2, len(patches), len(TARGET)))
    for i, ids in enumerate(TARGET):
        theirs = states_of(model, [source[i]], places)[0]
        for k, tokens in enumerate((ABOUT["answer"], ABOUT["contrast"])):
            with torch.enable_grad(), read(model, places) as seen:
                graph_of(model, torch.tensor([ids]))[0, tokens[i]].backward(inputs=[seen[place] for place in places])
            for n, text in enumerate(patches):
                for patch in parse(text):
                    place = (patch.site, patch.layer)
                    through = seen["attn_out" if patch.site == "resid_mid" else patch.site, patch.layer].grad
                    for position, taken in spots(patch, sample=i, target=ids, source=source[i]):
                        here = every[i][place][position]
                        if patch.value == "zero":
                            value = torch.zeros_like(here)
                        elif patch.value == "mean":
                            value = torch.stack(meant(patch, [states[place] for states in every])).mean(0)
                        else:
                            value = theirs[place][taken]
                        if patch.value == RANDOM:
                            draw = draw_of(patch, target=ids, source=source[i], taken=taken)
                            value = drawn(value, draw, heads=model.heads)
                        slope = torch.zeros_like(here) if through is None else through[0, position]
                        wide = len(here) // model.heads
                        part = slice(None) if patch.head is None else slice(patch.head * wide, (patch.head + 1) * wide)
                        found[k, n, i] += float((value - here)[part] @ slope[part])
    return found


def meant(patch: Patch, states: list[torch.Tensor]) -> list[torch.Tensor]:
    """The states that a mean is of: at the patch's position in every target, or at all positions."""
    return [s for every in states for s in (every if patch.position is None else [every[patch.position]])]


def moved(table: pa.Table) -> np.ndarray:
    """`[logits, patches, samples]`: what a table says that the patches move."""
    levels = np.stack([table[name].to_numpy().reshape(-1, len(TARGET)) for name in ("logit", "contrast")])
    return levels[:, 1:] - levels[:, :1]


@pytest.mark.parametrize("kind", ["gpt2", "olmo2", "gemma2", "phi"])
def test_estimates_are_those_of_a_slow_loop(kind: str) -> None:
    model = random_model(kind)
    patches = [text for text in PATCHES if not (model.anatomy.parallel and "resid_mid" in text)]
    told = estimate(model, source=SOURCE, patches=patches, **ABOUT)
    assert told["patch"].to_pylist()[:: len(TARGET)] == ["", *patches]
    assert told["sample"].to_pylist()[: len(TARGET)] == [0, 1, 2]
    wanted = slow(model, SOURCE, patches)
    assert np.abs(wanted).max(axis=(0, 2)).min() > 1e-6, "every patch moves something"
    assert np.abs(moved(told) - wanted).max() < 1e-9
    bare = estimate(model, source=SOURCE, patches=patches, target=TARGET, answer=ABOUT["answer"])
    assert bare["contrast"].null_count == len(bare) and bare["logit"].equals(told["logit"])


def test_an_estimate_is_the_first_order_of_the_exact_effect() -> None:
    """For a patch a thousandth of the way to another state, estimate and exact effect agree to the square of that."""
    model = random_model("llama")
    ids, answer = [[5, 17, 33, 8, 64]], [50]
    with torch.no_grad():
        embeddings = model.hf.get_input_embeddings()
        assert isinstance(embeddings, torch.nn.Embedding)
        embedding = embeddings.weight
        near, before = 7, embedding[7].clone()
        embedding[near] = embedding[33] + 1e-3 * (before - embedding[33])
        asked: dict[str, Any] = {
            "source": [[5, 17, near, 8, 64]],
            "target": ids,
            "answer": answer,
            "patches": ["resid_pre.0@2", "z.1.2@3", "mlp_out.1@2"],
        }
        told, exact = estimate(model, **asked, contrast=[60]), ivx.sweep(model, **asked, contrast=[60])
    assert told["estimate"].to_pylist() == [False, True, True, True]
    for name in ("logit", "contrast"):
        one, two = (t[name].to_numpy() - t[name].to_numpy()[0] for t in (told, exact))
        assert np.abs(two[1:]).min() > 1e-7, "the patches move something"
        assert np.abs(one - two).max() < 2e-2 * np.abs(two).max()


def test_groups_of_other_sources_share_the_target_runs() -> None:
    model, passes = random_model("llama"), []
    theirs = [[*ids, 20, 21] for ids in SOURCE]
    groups = [(SOURCE, ["resid_post.1@0~-1", "mlp_out.0@1~1"]), (theirs, ["z.1.2@-1~-1", "z.2.0@-1~-1"])]
    handle = model.hf.register_forward_pre_hook(lambda *_: passes.append(torch.is_inference_mode_enabled()))
    together = estimate_groups(model, groups, **ABOUT)
    handle.remove()
    assert passes.count(False) == 2, "targets of two lengths"
    assert passes.count(True) == 2, "the shorter sources are read where the longer begin with them"
    apart = [moved(estimate(model, source=source, patches=patches, **ABOUT)) for source, patches in groups]
    assert np.abs(moved(together) - np.concatenate(apart, axis=1)).max() < 1e-12


def test_pairs_of_many_samples_are_those_of_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model("gpt2")
    many = curvature(model, source=SOURCE, patches=PAIRED, **ABOUT)
    assert many.contrast is not None and many.logit.abs().amax(dim=0).fill_diagonal_(1).min() > 1e-6
    monkeypatch.setattr("ivx.engine.linear.curvature.TOGETHER", 1)  # one patch a pass, as for long prompts
    for i in range(len(TARGET)):
        about: dict[str, Any] = {name: [values[i]] for name, values in ABOUT.items()}
        one = curvature(model, source=[SOURCE[i]], patches=PAIRED, **about)
        assert one.contrast is not None
        for mine, theirs in zip((one.logit, one.contrast), (many.logit, many.contrast), strict=True):
            assert (mine[0] - theirs[i]).abs().max() < 1e-12
            assert torch.equal(theirs[i], theirs[i].T) and not theirs[i].diagonal().any()


def first_order(model: Model, beat: Callable[[], None] = lambda: None) -> np.ndarray:
    return moved(estimate(model, source=SOURCE, patches=PATCHES, beat=beat, **ABOUT))


def second_order(model: Model, beat: Callable[[], None] = lambda: None) -> np.ndarray:
    return curvature(model, source=SOURCE, patches=PAIRED, beat=beat, **ABOUT).logit.numpy()


@pytest.mark.parametrize("order", [first_order, second_order])
def test_what_a_beat_raises_ends_an_estimate_before_its_next_pass(order: Callable, monkeypatch: Any) -> None:
    monkeypatch.setattr(estimates, "TOKENS", 1)  # a pass for every sample, as for long prompts
    model = random_model("gpt2")
    passes: list[int] = []
    beats: list[int] = []
    handle = model.hf.register_forward_pre_hook(lambda *_: passes.append(len(beats)))
    whole = order(model, lambda: beats.append(len(passes)))
    assert len(set(passes)) == len(passes) > 3 and len(beats) > len(passes), "a beat before every pass, and more"
    for last in (1, len(beats) // 2, len(beats)):
        done: list[int] = []
        passes.clear()

        def beat(done: list[int] = done, last: int = last) -> None:
            done.append(len(passes))
            if len(done) == last:
                raise Cancelled

        with pytest.raises(Cancelled):
            order(model, beat)
        assert len(done) == last and len(passes) == done[-1], "nothing runs after it"
    handle.remove()
    assert np.array_equal(order(model), whole), "the model is free, and as it was"
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.hf.modules())


@pytest.mark.parametrize("order", [first_order, second_order])
def test_an_estimate_waits_for_its_turn(order: Callable) -> None:
    model, ran = random_model("gpt2"), threading.Event()
    handle = model.hf.register_forward_pre_hook(lambda *_: ran.set())
    thread = threading.Thread(target=order, args=(model,))
    with only_user(model):
        thread.start()
        assert not ran.wait(0.5)
    thread.join(60)
    assert not thread.is_alive() and ran.is_set()
    handle.remove()
