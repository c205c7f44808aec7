"""Streamed weights: the numbers of the whole model, from a block at a time; and what is refused."""

from __future__ import annotations

import gc
import json
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ivx
from ivx.engine.linear.curvature import curvature
from ivx.engine.linear.estimate import estimate
from ivx.errors import CheckpointError, IvxError, MemoryRefused, UnsupportedArchitecture
from ivx.models import memory
from ivx.models.tensors import Files, Piece
from tests.support.random_models import random_model
from tests.support.tokenizers import tokenizer as tokenizer_of

KINDS = ("llama", "olmo2", "gemma2", "gemma3_text", "qwen3", "gpt2", "phi", "cohere", "granite", "gpt_neox")
"""Norms before and after, tied heads, scaled embeddings, two kinds of layers, positions, biases, parallel blocks."""


def saved(kind: str, folder: Path, *, dtype: torch.dtype = torch.bfloat16, **changed: Any) -> Path:
    """A random checkpoint in a directory, as it would be published."""
    tokenizer = tokenizer_of("llama")
    model = random_model(kind, dtype=torch.float32, check=False, tokenizer=tokenizer, **changed)
    model.hf.to(dtype).save_pretrained(folder)  # type: ignore[arg-type]  # wrongly wrapped stub
    tokenizer.save_pretrained(folder)
    return folder


def asked(model: ivx.Model) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    source, target = draw.integers(3, model.vocabulary, (2, 3, 6)).tolist()
    every = range(model.layers)
    patches = [f"resid_post.{i}@2" for i in every] + [f"z.{i}.1@*,mlp_out.{i}@1=zero" for i in every]
    return {"source": source, "target": target, "answer": [5, 6, 7], "contrast": [8, 9, 10], "patches": patches}


@pytest.mark.parametrize("kind", KINDS)
def test_a_streamed_model_is_the_whole_one(kind: str, tmp_path: Path) -> None:
    """By plan bit for bit, by hooks and by gradients within rounding; and it passes the doctor on the way in."""
    folder = str(saved(kind, tmp_path))
    whole = ivx.load(folder, weights="whole")
    told = asked(whole)
    planned = ivx.sweep(whole, **told)
    assert planned.schema.metadata[b"ivx.engine"] == b"plan"
    shades = estimate(whole, **told)
    for weights in ("stream", "compact"):
        model = ivx.load(folder, weights=weights)
        assert model.dtype == torch.float32 and model.stream is not None
        assert ivx.sweep(model, **told).equals(planned)
        plain = ivx.sweep(model, engine="hooks", **told)
        assert np.allclose(plain["logit"].to_numpy(), planned["logit"].to_numpy(), atol=2e-4)
        found = estimate(model, **told)
        for name in ("logit", "contrast"):
            assert np.allclose(found[name].to_numpy(), shades[name].to_numpy(), atol=2e-4)


def test_no_more_than_two_blocks_are_held(tmp_path: Path) -> None:
    model = ivx.load(str(saved("llama", tmp_path, num_hidden_layers=6)), weights="stream")
    ivx.sweep(model, **asked(model))
    block = max(sum(p.numel() for p in block.parameters()) for block in model.blocks)
    held = {p.untyped_storage().data_ptr(): p.untyped_storage().nbytes() for p in model.hf.parameters()}
    norms = 4 * model.width
    assert sum(held.values()) <= 2 * 4 * (block + 16 * 12) + norms + 64


def test_blocks_are_fetched_once_a_pass_and_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ivx.load(str(saved("llama", tmp_path, num_hidden_layers=5)), weights="stream")
    told = asked(model)
    ivx.sweep(model, **told)
    read: list[str] = []
    own = Files.read
    monkeypatch.setattr(Files, "read", lambda self, piece: read.append(piece.name) or own(self, piece))  # type: ignore[func-returns-value]
    ivx.sweep(model, engine="plan", **told)
    fetched = [name for name in read if name.endswith("mlp.up_proj.weight")]
    assert len(fetched) <= model.layers + 1  # the pass, and the first block for the next


def test_a_model_that_is_let_go_gives_its_memory_back(tmp_path: Path) -> None:
    model = ivx.load(str(saved("llama", tmp_path)), weights="compact")
    ivx.sweep(model, **asked(model))
    held = weakref.ref(model.stream)
    del model
    gc.collect()
    assert held() is None


def test_a_gradient_finds_the_weights_it_needs(tmp_path: Path) -> None:
    """On the way back the blocks come in the other order; each is run again there."""
    folder = str(saved("llama", tmp_path, num_hidden_layers=5))
    grads = []
    for weights in ("whole", "stream"):
        model = ivx.load(folder, weights=weights)
        states = torch.randn(1, 4, model.width, generator=torch.Generator().manual_seed(0)).requires_grad_()
        logits = model.hf(inputs_embeds=states, use_cache=False).logits
        grads.append(torch.autograd.grad(logits[0, -1, 3], states)[0])
    assert torch.allclose(grads[0], grads[1], atol=1e-5 * float(grads[0].abs().max()))


def test_pairs_of_streamed_weights_have_no_estimate(tmp_path: Path) -> None:
    """A second derivative needs the weights of all blocks; exact pairs do not."""
    folder = str(saved("llama", tmp_path))
    model = ivx.load(folder, weights="compact")
    with pytest.raises(IvxError, match="needs them all at once: load it with weights='whole'"):
        curvature(model, source=[[5, 6]], target=[[7, 8]], answer=[9], patches=["resid_post.0@0", "resid_post.1@1"])
    seen: list[Any] = []
    about: dict[str, Any] = {"samples": 2, "on_progress": lambda found, *_: seen.append(found)}
    found = ivx.interactions(model, "adjective/antonym", **about)
    whole = ivx.interactions(ivx.load(folder, weights="whole"), "adjective/antonym", **about)
    assert found.estimates == {"contrast": {}, "logit": {}} and whole.estimates["contrast"]
    assert np.allclose(found.table["logit"].to_numpy(), whole.table["logit"].to_numpy(), atol=1e-4)


def test_pathways_are_refused_with_the_reason(tmp_path: Path) -> None:
    model = ivx.load(str(saved("llama", tmp_path)), weights="stream")
    with pytest.raises(IvxError, match="weights='whole'"):
        from ivx.engine.linear.surrogate import Surrogate

        Surrogate(model, [[5, 6, 7]])


@pytest.mark.parametrize(
    ("dtype", "arithmetic"),
    [(torch.bfloat16, torch.float32), (torch.float16, torch.float32), (torch.float64, torch.float64)],
)
def test_what_is_published_in_half_precision_is_computed_in_full(
    dtype: torch.dtype, arithmetic: torch.dtype, tmp_path: Path
) -> None:
    folder = str(saved("llama", tmp_path, dtype=dtype))
    assert ivx.load(folder).dtype == arithmetic
    assert ivx.load(folder, dtype="bfloat16").dtype == torch.bfloat16


def test_the_way_is_chosen_by_what_fits() -> None:
    size = memory.Estimate(10**9, weights_gb=4.0, needed_gb=5.0, free_gb=100.0, block_gb=0.2, file_gb=2.0)
    for limit, half, way in (
        (100, True, "whole"),
        (6, True, "compact"),
        (6, False, "whole"),
        (4, False, "compact"),
        (3, True, "stream"),
    ):
        assert memory.choose(size, memory_gb=limit, is_half=half) == way


def test_memory_that_holds_no_two_blocks_is_refused(tmp_path: Path) -> None:
    folder = str(saved("llama", tmp_path))
    with pytest.raises(MemoryRefused, match="even with weights='stream'"):
        ivx.load(folder, weights="stream", memory_gb=0.5)
    with pytest.raises(IvxError, match="use auto, whole, compact, stream"):
        ivx.load(folder, weights="disk")
    with pytest.raises(IvxError, match="merged into whole weights"):
        ivx.load(folder, weights="stream", adapter=str(tmp_path))


def test_weights_in_another_form_are_refused(tmp_path: Path) -> None:
    """A mixture's experts are joined when it is loaded whole."""
    folder = str(saved("mixtral", tmp_path))
    with pytest.raises(UnsupportedArchitecture, match="another form.*weights='whole'"):
        ivx.load(folder, weights="stream")
    assert ivx.load(folder, weights="whole").stream is None


def changed(folder: Path, change: Any) -> None:
    """Rewrite a checkpoint's tensors."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


@pytest.mark.parametrize("weights", ["stream", "compact"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.pop("model.layers.1.mlp.up_proj.weight"), "lacks model.layers.1.mlp.up_proj.weight"),
        (lambda t: t["model.layers.1.mlp.up_proj.weight"].fill_(torch.nan), "up_proj.weight holds values that are not"),
        (lambda t: t["model.layers.2.input_layernorm.weight"].fill_(torch.inf), "layernorm.weight holds values"),
        (lambda t: t["model.norm.weight"].fill_(torch.nan), "norm.weight holds values that are not"),
        (lambda t: t["lm_head.weight"].fill_(torch.nan), "holds values that are not|not finite"),
        (lambda t: t.update(strange=torch.zeros(3)), "holds strange"),
        (lambda t: t.update({f"x.{k}": t.pop(k) for k in list(t)}), "'x.' before them"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(weights: str, change: Any, told: str, tmp_path: Path) -> None:
    changed(saved("llama", tmp_path), change)
    with pytest.raises((CheckpointError, UnsupportedArchitecture), match=told):
        ivx.load(str(tmp_path), weights=weights)


def test_a_broken_header_is_refused(tmp_path: Path) -> None:
    path = saved("llama", tmp_path) / "model.safetensors"
    whole = path.read_bytes()
    size = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + size])
    told = dict(header["model.norm.weight"])
    header["model.norm.weight"]["dtype"] = "F8_E4M3"
    other = json.dumps(header).encode()
    path.write_bytes(len(other).to_bytes(8, "little") + other + whole[8 + size :])
    with pytest.raises(CheckpointError, match="model.norm.weight.*is stored as F8_E4M3"):
        Files(tmp_path, name="it")
    header["model.norm.weight"] = told | {"data_offsets": [0, 10**9]}
    broken = json.dumps(header).encode()
    for text in (whole[:100], len(broken).to_bytes(8, "little") + broken + whole[8 + size :], b"\xff" * 20):
        path.write_bytes(text)
        with pytest.raises(CheckpointError, match="broken"):
            Files(tmp_path, name="it")
    path.write_bytes(whole)
    assert torch.equal(Files(tmp_path, name="it").read(Piece("model.norm.weight", 2, 5)).float(), ivx.load(
        str(tmp_path), weights="whole").hf.model.norm.weight[2:5])  # fmt: skip
