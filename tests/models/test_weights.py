"""Every tensor of a loaded model comes from its file; what a library would draw, drop or accept is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor

import ivx
from ivx.errors import CheckpointError
from ivx.models.doctor import checkup, report_text
from ivx.models.registry import EMBEDDED
from tests.support import published
from tests.support.checkpoints import configured

Tensors = dict[str, Tensor]


def rewritten(file: Path, change: Callable[[Tensors], Tensors]) -> None:
    held = change(load_file(file))
    save_file({name: value.clone() for name, value in held.items()}, file, metadata={"format": "pt"})


def without(part: str) -> Callable[[Tensors], Tensors]:
    return lambda held: {name: value for name, value in held.items() if part not in name}


def spoilt(value: float) -> Callable[[Tensors], Tensors]:
    def change(held: Tensors) -> Tensors:
        held["model.layers.2.mlp.up_proj.weight"][1, 1] = value
        return held

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without("lm_head"), "lacks lm_head.weight, which would be random"),
        (without("layers.3.self_attn.q_proj"), "lacks model.layers.3.self_attn.q_proj.weight"),
        (without("layers.7."), r"lacks model.layers.7.* and \d+ more"),
        (without("embed_tokens"), "lacks model.embed_tokens.weight"),
        (lambda held: {f"module.{name}": value for name, value in held.items()}, "named with 'module.' before them"),
        (lambda held: {f"_orig_mod.{k}": v for k, v in held.items()}, "named with '_orig_mod.' before them"),
        (
            lambda held: {**held, "model.layers.0.self_attn.q_proj.weight_scale": torch.ones(1)},
            "holds model.layers.0.self_attn.q_proj.weight_scale, for which the architecture",
        ),
        (lambda held: {**held, "adapter.down.weight": torch.ones(2, 2)}, "holds adapter.down.weight"),
        (spoilt(float("nan")), "model.layers.2.mlp.up_proj.weight holds values that are not finite"),
        (spoilt(float("-inf")), "model.layers.2.mlp.up_proj.weight holds values that are not finite"),
    ],
)
def test_tensors_that_do_not_fit_the_model_are_named(
    checkpoint: Path, change: Callable[[Tensors], Tensors], told: str
) -> None:
    configured(checkpoint, tie_word_embeddings=False)
    head = load_file(checkpoint / "model.safetensors")["model.embed_tokens.weight"]
    rewritten(checkpoint / "model.safetensors", lambda held: change({"lm_head.weight": head.clone(), **held}))
    with pytest.raises(CheckpointError, match=told) as caught:
        ivx.load(str(checkpoint))
    assert "\n" not in str(caught.value)


def test_a_file_of_more_layers_than_the_config_is_refused(checkpoint: Path) -> None:
    configured(checkpoint, num_hidden_layers=6)
    with pytest.raises(CheckpointError, match=r"6 layers and its file more .*set num_hidden_layers to 8"):
        ivx.load(str(checkpoint))


def test_heads_for_further_tokens_are_said(checkpoint: Path) -> None:
    rewritten(checkpoint / "model.safetensors", lambda held: {**held, "mtp.layers.0.proj.weight": torch.ones(2, 2)})
    model = ivx.load(str(checkpoint))
    assert model.surplus == ("mtp.layers.0.proj.weight",)
    assert "its file also holds mtp.layers.0.proj.weight" in report_text(checkup(model))
    assert "also holds" not in report_text(checkup(ivx.load("tiny-sft")))


def test_weights_that_overflow_in_the_dtype_asked_for_are_refused(checkpoint: Path) -> None:
    rewritten(checkpoint / "model.safetensors", spoilt(1e6))
    with pytest.raises(CheckpointError, match="not finite: copy the weights again, or load them in a wider dtype"):
        ivx.load(str(checkpoint), dtype="float16")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, r"weights are quantised \(gptq\)"),
        ({"quantization_config": {"load_in_8bit": True}}, "quantised"),
        ({"architectures": ["Gemma3ForConditionalGeneration"]}, "a wrapper of a text model and others"),
        ({"architectures": ["LlavaModel"], "text_config": {}}, "a wrapper of a text model and others"),
        ({"architectures": "Olmo2ForCausalLM"}, "architectures in .* is not a list of names"),
        ({"num_attention_heads": 0}, "num_attention_heads in .* is 0, not a whole number"),
    ],
)
def test_a_config_that_ivx_cannot_read_is_one_sentence(checkpoint: Path, changes: dict[str, object], told: str) -> None:
    configured(checkpoint, **changes)
    with pytest.raises(CheckpointError, match=told) as caught:
        ivx.load(str(checkpoint))
    assert "\n" not in str(caught.value)


def test_code_of_its_own_beside_a_native_architecture_is_left_alone(checkpoint: Path) -> None:
    configured(checkpoint, auto_map={"AutoModelForCausalLM": "modeling_evil.Evil"})
    (checkpoint / "modeling_evil.py").write_text("raise SystemExit('run')")
    assert ivx.load(str(checkpoint)).layers == ivx.load("tiny-sft").layers


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A LoRA adapter of tiny-sft that changes it."""
    torch.manual_seed(0)
    tuned = get_peft_model(
        published.read(EMBEDDED / "tiny-sft", dtype=torch.float32),
        LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False, task_type="CAUSAL_LM"),
    )
    tuned.save_pretrained(str(tmp_path / "adapter"))
    return tmp_path / "adapter"


def zeroed(held: Tensors) -> Tensors:
    return {name: value * ("lora_B" not in name) for name, value in held.items()}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda held: {k.replace("model.model.", "model.model.text."): v for k, v in held.items()}, "no place for"),
        (without("layers.7."), "it lacks .*layers.7"),
        (lambda held: {**held, **{k.replace("layers.7", "layers.9"): v for k, v in held.items()}}, "no place for"),
        (zeroed, "changes no weight"),
        (lambda held: {name: value[:1] for name, value in held.items()}, "does not fit this checkpoint"),
        (lambda held: {name: value * torch.nan for name, value in held.items()}, "not finite"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(
    adapter: Path, change: Callable[[Tensors], Tensors], told: str
) -> None:
    rewritten(adapter / "adapter_model.safetensors", change)
    with pytest.raises(CheckpointError, match=told) as caught:
        ivx.load("tiny-sft", adapter=str(adapter))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("base", ["/mnt/cluster/base", None, "", 3])
def test_an_adapter_whose_base_moved_says_how_to_name_it(adapter: Path, base: object) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": base}))
    with pytest.raises(CheckpointError, match="give the base as the checkpoint, and this directory as its adapter"):
        ivx.load(str(adapter))
    assert ivx.load("tiny-sft", adapter=str(adapter)).layers == 8


def test_an_adapter_of_virtual_tokens_is_refused(tmp_path: Path) -> None:
    hf = published.read(EMBEDDED / "tiny-sft", dtype=torch.float32)
    soft = get_peft_model(hf, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3))
    soft.save_pretrained(str(tmp_path))
    with pytest.raises(CheckpointError, match="PROMPT_TUNING, which adds tokens or states"):
        ivx.load("tiny-sft", adapter=str(tmp_path))
