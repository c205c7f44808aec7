"""Quantised checkpoints are loaded as the floating point weights that they stand for, or refused in one sentence.

What stands for what is worked out here by hand. Without a quantisation's package its tests are skipped.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import BitsAndBytesConfig

import ivx
from ivx.errors import CheckpointError, IvxError, MemoryRefused
from ivx.models.doctor import checkup, report_text
from tests.support import published
from tests.support.checkpoints import configured
from tests.support.random_models import random_model
from tests.support.tokenizers import tokenizer as tokenizer_of
from tests.support.wrappers import wrapper_of

IDS = [[20, 33, 47, 80, 64, 90, 22, 120, 45]]
BLOCK = 16
FP8 = {"quant_method": "fp8", "weight_block_size": [BLOCK, BLOCK], "activation_scheme": "dynamic"}
Tensors = dict[str, Tensor]
Quantise = Callable[[Tensor], tuple[Tensors, Tensor]]
"""From a weight to what stands in the file behind its name's stem, and the floating point weight it stands for."""


def by_block(weight: Tensor) -> tuple[Tensors, Tensor]:
    rows, columns = (size // BLOCK for size in weight.shape)
    tiles = weight.float().view(rows, BLOCK, columns, BLOCK)
    scale = tiles.abs().amax((1, 3)) / 448
    stored = (tiles / scale[:, None, :, None]).to(torch.float8_e4m3fn)
    meant = stored.float() * scale[:, None, :, None]
    return {"weight": stored.view(weight.shape), "weight_scale_inv": scale}, meant.view(weight.shape)


def by_tensor(weight: Tensor) -> tuple[Tensors, Tensor]:
    scale = weight.float().abs().max() / 448
    stored = (weight / scale).to(torch.float8_e4m3fn)
    return {"weight": stored, "weight_scale_inv": scale, "activation_scale": torch.ones(())}, stored.float() * scale


def by_row(dtype: torch.dtype, most: float) -> Quantise:
    def quantise(weight: Tensor) -> tuple[Tensors, Tensor]:
        scale = weight.float().abs().amax(1, keepdim=True) / most
        stored = (weight / scale).to(dtype) if dtype.is_floating_point else (weight / scale).round().to(dtype)
        return {"weight": stored, "weight_scale": scale}, stored.float() * scale

    return quantise


def in_four_bits(weight: Tensor) -> tuple[Tensors, Tensor]:
    groups = weight.float().view(len(weight), -1, BLOCK)
    scale = groups.abs().amax(2, keepdim=True) / 7
    number = (groups / scale).round()
    eights = (number.view(len(weight), -1, 8) + 8).to(torch.int64)
    packed = (eights << torch.arange(0, 32, 4)).sum(2)
    packed = torch.where(packed >= 2**31, packed - 2**32, packed).to(torch.int32)
    told = {"weight_packed": packed, "weight_scale": scale[..., 0], "weight_shape": torch.tensor(weight.shape)}
    return told, (number * scale).view(weight.shape)


def compressed(kind: str, bits: int, form: str, **more: Any) -> dict[str, Any]:
    weights = {"num_bits": bits, "type": kind, "symmetric": True, "dynamic": False, "strategy": "channel"} | more
    group = {"targets": ["Linear"], "weights": weights, "input_activations": None, "output_activations": None}
    told = {"config_groups": {"group_0": group}, "format": form, "ignore": ["lm_head"]}
    return {"quant_method": "compressed-tensors", "quantization_status": "compressed", **told}


WAYS: dict[str, tuple[dict[str, Any], Quantise]] = {
    "fp8 by block": (FP8, by_block),
    "fp8 by tensor": (FP8 | {"weight_block_size": None, "activation_scheme": "static"}, by_tensor),
    "float8": (compressed("float", 8, "float-quantized"), by_row(torch.float8_e4m3fn, 448)),
    "int8": (compressed("int", 8, "int-quantized"), by_row(torch.int8, 127)),
    "int4": (compressed("int", 4, "pack-quantized", strategy="group", group_size=BLOCK), in_four_bits),
}


def plain(folder: Path, kind: str = "llama") -> nn.Module:
    tokenizer = tokenizer_of("llama")
    sizes: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "head_dim": 16}
    model = random_model(kind, dtype=torch.float32, check=False, tokenizer=tokenizer, **sizes)
    model.hf.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.hf


def quantised(folder: Path, told: dict[str, Any], quantise: Quantise) -> Tensors:
    """Quantise the linear layers of every block in a checkpoint's file; what the file stands for."""
    file = folder / "model.safetensors"
    stored: Tensors = {}
    meant: Tensors = {}
    for name, value in load_file(file).items():
        meant[name] = value
        if "proj.weight" in name and "vision" not in name and "projector" not in name:
            parts, meant[name] = quantise(value)
            stored |= {name.removesuffix("weight") + part: kept.clone() for part, kept in parts.items()}
        else:
            stored[name] = value.clone()
    save_file({name: value.contiguous() for name, value in stored.items()}, file, metadata={"format": "pt"})
    configured(folder, quantization_config=told)
    return meant


def logits_of(net: Any) -> Tensor:
    with torch.inference_mode():
        return net(input_ids=torch.tensor(IDS), use_cache=False).logits


def needs(told: dict[str, Any]) -> None:
    if told["quant_method"] != "fp8":
        pytest.importorskip({"compressed-tensors": "compressed_tensors"}.get(told["quant_method"], "bitsandbytes"))


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gemma3_text"])
@pytest.mark.parametrize("way", WAYS)
def test_it_is_the_model_of_the_weights_that_it_stands_for(way: str, kind: str, tmp_path: Path) -> None:
    """Bit for bit; and with what it loads as, a sweep by plan is one by plain hooks."""
    told, quantise = WAYS[way]
    needs(told)
    net = plain(tmp_path, kind)
    meant = quantised(tmp_path, told, quantise)
    before = logits_of(net)
    net.load_state_dict(meant, strict=False)
    model = ivx.load(str(tmp_path))
    assert torch.equal(logits_of(model.hf), logits_of(net)) and not torch.allclose(logits_of(net), before, atol=1e-3)
    assert {type(part) for part in model.hf.modules() if isinstance(part, nn.Linear)} == {nn.Linear}
    assert model.dtype == torch.float32 and model.stream is None
    kept = f"{told['quant_method']}, dequantised"
    assert model.identity["quantisation"].startswith(kept) and kept in report_text(checkup(model))
    patches = [f"{site}.{i}@2" for site in ("resid_post", "mlp_out", "z") for i in range(model.layers)]
    asked: dict[str, Any] = {"source": IDS, "target": [IDS[0][::-1]], "answer": [5], "patches": patches}
    found, hooks = (ivx.sweep(model, engine=engine, **asked)["logit"].to_numpy() for engine in ("plan", "hooks"))
    assert np.abs(found - hooks).max() <= 1e-4


@pytest.mark.parametrize("way", ["fp8 by block", "int4"])
def test_the_text_part_of_a_quantised_wrapper(way: str, tmp_path: Path) -> None:
    told, quantise = WAYS[way]
    needs(told)
    net = wrapper_of("gemma3", tmp_path)
    meant = quantised(tmp_path, told, quantise)
    names = {name.replace("language_model.model.", "model.language_model."): value for name, value in meant.items()}
    net.load_state_dict(names, strict=False)
    model = ivx.load(str(tmp_path), dtype="float64")
    assert torch.allclose(logits_of(model.hf), logits_of(net), atol=1e-10)
    assert model.identity["part"] == "text part of Gemma3ForConditionalGeneration"
    assert model.identity["quantisation"].startswith(told["quant_method"])


@pytest.mark.parametrize(
    "how", [{"load_in_4bit": True}, {"load_in_4bit": True, "bnb_4bit_use_double_quant": True}, {"load_in_8bit": True}]
)
def test_what_bitsandbytes_quantised_is_loaded_as_it_computes(how: dict[str, Any], tmp_path: Path) -> None:
    """In four bits its logits are the library's own; in eight the library rounds the activations, too."""
    needs({"quant_method": "bitsandbytes"})
    net = plain(tmp_path / "plain")
    asked = BitsAndBytesConfig(**how)
    own = published.read(tmp_path / "plain", quantization_config=asked, dtype=torch.float32)
    own.save_pretrained(tmp_path / "bnb")
    tokenizer_of("llama").save_pretrained(tmp_path / "bnb")
    model = ivx.load(str(tmp_path / "bnb"))
    if "load_in_4bit" in how:
        assert torch.equal(logits_of(model.hf), logits_of(own))
    else:
        held = load_file(tmp_path / "bnb" / "model.safetensors")
        stem = "model.layers.1.mlp.up_proj."
        meant = held[stem + "weight"].float() * held[stem + "SCB"][:, None] / 127
        assert torch.allclose(model.hf.get_parameter(stem + "weight"), meant, rtol=1e-6)
    assert not torch.allclose(logits_of(model.hf), logits_of(net), atol=1e-3)
    assert {type(part) for part in model.hf.modules() if isinstance(part, nn.Linear)} == {nn.Linear}
    with pytest.raises(IvxError, match=r"its weights are quantised \(model.layers.0.* is u?int8\)"):
        ivx.wrap(own)


def test_a_quantisation_that_the_text_part_alone_tells_of_counts(tmp_path: Path) -> None:
    wrapper_of("gemma3", tmp_path)
    inner = json.loads((tmp_path / "config.json").read_text())["text_config"]
    configured(tmp_path, text_config={**inner, "quantization_config": {"quant_method": "gptq", "bits": 4}})
    with pytest.raises(CheckpointError, match=r"weights are quantised \(gptq\)"):
        ivx.load(str(tmp_path))
    net = wrapper_of("gemma3", tmp_path)
    meant = quantised(tmp_path, FP8, by_block)
    configured(tmp_path, text_config={**inner, "quantization_config": FP8}, quantization_config=None)
    net.load_state_dict(
        {k.replace("language_model.model.", "model.language_model."): v for k, v in meant.items()}, False
    )
    assert torch.allclose(logits_of(ivx.load(str(tmp_path), dtype="float64").hf), logits_of(net), atol=1e-10)


@pytest.mark.parametrize("weights", ["compact", "stream"])
def test_quantised_weights_are_not_streamed(weights: str, tmp_path: Path) -> None:
    plain(tmp_path)
    quantised(tmp_path, *WAYS["fp8 by block"])
    with pytest.raises(IvxError, match="quantised weights are dequantised whole: use weights='whole'"):
        ivx.load(str(tmp_path), weights=weights)


def test_where_memory_lacks_nothing_is_advised_that_quantised_weights_cannot_do(tmp_path: Path) -> None:
    plain(tmp_path)
    quantised(tmp_path, *WAYS["fp8 by block"])
    with pytest.raises(MemoryRefused, match="choose a smaller dtype, another device") as refused:
        ivx.load(str(tmp_path), memory_gb=0.5)
    assert "stream" not in str(refused.value)


def test_a_weight_without_its_scale_is_refused(tmp_path: Path) -> None:
    """transformers reads it as it lies, hundreds of times too large."""
    plain(tmp_path)
    quantised(tmp_path, *WAYS["fp8 by block"])
    file = tmp_path / "model.safetensors"
    held = load_file(file)
    del held["model.layers.1.mlp.up_proj.weight_scale_inv"]
    save_file(held, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="hold no scale for model.layers.1.mlp.up_proj.weight"):
        ivx.load(str(tmp_path))


def test_a_narrower_last_block_is_refused(tmp_path: Path) -> None:
    """Two blocks of 64 for 96 rows: transformers takes them for two of 48."""
    plain(tmp_path)
    told = FP8 | {"weight_block_size": [64, 64]}

    def ragged(weight: Tensor) -> tuple[Tensors, Tensor]:
        scale = torch.ones([-(-size // 64) for size in weight.shape])
        return {"weight": weight.to(torch.float8_e4m3fn), "weight_scale_inv": scale}, weight

    quantised(tmp_path, told, ragged)
    with pytest.raises(CheckpointError, match=r"is no whole number of blocks of \(64, 64\)"):
        ivx.load(str(tmp_path))


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"quant_method": "gptq", "bits": 4}, "which transformers does not make them"),
        ({"quant_method": "awq", "bits": 4}, "which transformers does not make them"),
        ({"quant_method": "bitnet"}, "which transformers does not make them"),
        ({"quant_method": "of my own"}, r"quantised \(of my own\)"),
        ({"bits": 4}, "by a method that is not named"),
        (["fp8"], "by a method that is not named"),
        ("fp8", "by a method that is not named"),
    ],
)
def test_what_cannot_be_undone_is_one_sentence(told: Any, sentence: str, tmp_path: Path) -> None:
    plain(tmp_path)
    configured(tmp_path, quantization_config=told)
    with pytest.raises(CheckpointError, match=sentence) as caught:
        ivx.load(str(tmp_path))
    assert "\n" not in str(caught.value) and "use the checkpoint it was made from" in str(caught.value)


MIXED = compressed("int", 8, "int-quantized")
GROUPS = MIXED["config_groups"]
OTHER = {"group_1": {"targets": ["re:.*down_proj"], "weights": {"num_bits": 4, "type": "int"}}}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"config_groups": GROUPS | OTHER}, "in 2 different ways"),
        ({"config_groups": {}}, "in 0 different ways"),
        ({"quantization_status": "frozen"}, r"not compressed \(frozen\)"),
        ({"transform_config": {"config_groups": {"R1": {}}}}, "with a transform_config"),
    ],
)
def test_a_mixture_is_refused(changed: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    needs(MIXED)
    plain(tmp_path)
    quantised(tmp_path, MIXED | changed, WAYS["int8"][1])
    with pytest.raises(CheckpointError, match=sentence):
        ivx.load(str(tmp_path))
