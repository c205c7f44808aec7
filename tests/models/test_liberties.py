"""A checkpoint does not say how it is computed, nor by whose code: whatever its documents name is left out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import ivx
from ivx.errors import CheckpointError
from ivx.models import adapters, liberties, library
from ivx.models.registry import EMBEDDED
from tests.support import wrappers
from tests.support.checkpoints import configured
from tests.support.watch import watched

PROMPT = torch.arange(5, 17)[None]
KERNEL = "org/kernel:func"
CONFIG: dict[str, Any] = {
    "attn_implementation": KERNEL,
    "_attn_implementation": KERNEL,
    "_attn_implementation_internal": KERNEL,
    "attn_implementation of each part": ("attn_implementation", {"": KERNEL, "text_config": KERNEL}),
    "another attention": ("attn_implementation", "eager"),
    "an attention that asks for a kernel": ("_attn_implementation", "flash_attention_2"),
    "an attention of the hub": ("_attn_implementation", "kernels-community/flash-attn2"),
    "paged": ("attn_implementation", "paged|org/kernel:func"),
    "an attention of no type": ("attn_implementation", [3]),
    "experts_implementation": KERNEL,
    "_experts_implementation": "sonicmoe",
    "_experts_implementation_internal": KERNEL,
    "use_kernels": True,
    "kernel_config": {"kernel_mapping": {"RMSNorm": "org/kernel:RMSNorm"}},
    "fusion_config": {"rms_norm": True},
    "distributed_config": {"tp_size": 2},
    "base_model_tp_plan": {"layers.*": "colwise"},
    "auto_map": {"AutoConfig": "other/repo--evil.Evil", "AutoModelForCausalLM": "evil.Evil"},
    "auto_map in a list": ("auto_map", ["evil.Evil", None]),
    "custom_pipelines": {"x": {"impl": "evil.Evil", "pt": ["AutoModel"]}},
    "custom_generate": "org/generate",
    "trust_remote_code": True,
    "torchscript": True,
    "output_attentions": True,
    "output_hidden_states": True,
    "return_dict": False,
    "configuration_files": ["config.9.json", "config.4.0.0.json"],
    "transformers_weights": "other.safetensors",
    "quantization_config": None,
}


def named(told: dict[str, Any], key: str) -> dict[str, Any]:
    value = told[key]
    return dict([value]) if isinstance(value, tuple) else {key: value}


@pytest.fixture(scope="module")
def wanted() -> Any:
    return ivx.load("tiny-sft").hf


@pytest.mark.parametrize("way", ["whole", "stream"])
@pytest.mark.parametrize("key", CONFIG)
def test_a_config_does_not_say_how_it_is_computed(checkpoint: Path, wanted: Any, key: str, way: str) -> None:
    configured(checkpoint, **named(CONFIG, key))
    shutil.copy(EMBEDDED / "tiny-base" / "model.safetensors", checkpoint / "other.safetensors")
    told = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.4.0.0.json").write_text(json.dumps(told | {"rms_norm_eps": 0.5}))
    with watched() as seen:
        hf = ivx.load(str(checkpoint), weights=way).hf
    assert not seen.reached
    assert hf.config._attn_implementation == wanted.config._attn_implementation
    assert torch.equal(hf(PROMPT).logits, wanted(PROMPT).logits)


@pytest.mark.parametrize(
    "key",
    ["attn_implementation", "_attn_implementation", "_experts_implementation_internal", "auto_map", "use_kernels"],
)
def test_nor_does_a_config_within_it(tmp_path: Path, key: str) -> None:
    folder = tmp_path
    wrappers.wrapper_of("mistral3", folder)
    before = ivx.load(str(folder), check=False).hf
    told = json.loads((folder / "config.json").read_text())
    configured(folder, text_config=told["text_config"] | named(CONFIG, key))
    with watched() as seen:
        hf = ivx.load(str(folder), check=False).hf
    assert not seen.reached and hf.config._attn_implementation == before.config._attn_implementation
    assert torch.equal(hf(PROMPT).logits, before(PROMPT).logits)


TOKENIZER: dict[str, Any] = {
    "auto_map": {"AutoTokenizer": ["other/repo--evil.Slow", "other/repo--evil.Fast"]},
    "auto_map in a list": ("auto_map", ["evil.Slow", "evil.Fast"]),
    "trust_remote_code": True,
    "tokenizer_file": "/etc/hostname",
    "vocab_file": "/etc/hostname",
    "merges_file": "../other",
    "vocab": "/etc/hostname",
    "merges": "/etc/hostname",
    "gguf_file": "org/name",
    "tokenizer_object": "x",
    "fast_tokenizer_files": ["tokenizer.4.0.0.json"],
    "init_inputs": ["/etc/hostname"],
    "added_tokens_file": "/etc/hostname",
}


@pytest.mark.parametrize("key", TOKENIZER)
def test_a_tokenizers_config_names_no_code_and_no_other_file(checkpoint: Path, key: str) -> None:
    own = checkpoint / "tokenizer_config.json"
    own.write_text(json.dumps(json.loads(own.read_text()) | named(TOKENIZER, key)))
    shutil.copy(checkpoint / "tokenizer.json", checkpoint / "tokenizer.4.0.0.json")
    before = library.tokenizer(EMBEDDED / "tiny-sft", name="tiny-sft")
    with watched() as seen:
        found = library.tokenizer(checkpoint, name="it")
    assert not seen.reached and Path("/etc/hostname") not in seen.opened
    assert checkpoint / "tokenizer.4.0.0.json" not in seen.opened
    assert found("Animal: crow.")["input_ids"] == before("Animal: crow.")["input_ids"]


def test_what_a_model_is_stays() -> None:
    told = json.loads((EMBEDDED / "tiny-sft" / "config.json").read_text())
    more = {"quantization_config": {"quant_method": "fp8"}, "text_config": {"rope_parameters": {"rope_type": "yarn"}}}
    kept = {**told, **more, "conv_kernel": 4, "kernel_size": 3, "use_cache": True, "layer_types": ["full_attention"]}
    assert liberties.taken_away(kept) == kept
    assert liberties.taken_away({"a": [{"auto_map": 1, "b": {"use_kernels": True, "c": 2}}]}) == {
        "a": [{"b": {"c": 2}}]
    }


# Adapters

ADAPTER: dict[str, tuple[dict[str, Any], str]] = {
    "code to import": ({"megatron_config": {"x": 1}, "megatron_core": "antigravity"}, "megatron_config"),
    "a pickle that is a cache": (
        {"init_lora_weights": "corda", "corda_config": {"cache_file": "x.pt"}},
        "corda_config",
    ),
    "adapters elsewhere": ({"peft_type": "XLORA", "adapters": {"0": "org/name"}, "hidden_size": 8}, "is a XLORA"),
    "another model": ({"peft_type": "SHADOW", "shadow_model": "org/name"}, "is a SHADOW"),
    "a tokenizer": (
        {"peft_type": "PROMPT_TUNING", "prompt_tuning_init": "TEXT", "tokenizer_name_or_path": "org/name"},
        "is a PROMPT_TUNING",
    ),
    "no kind": ({"peft_type": ["LORA"]}, "is a "),
}


@pytest.mark.parametrize("key", ADAPTER)
def test_an_adapter_reads_nothing_beside_its_own_files(tmp_path: Path, wanted: Any, key: str) -> None:
    told, why = ADAPTER[key]
    plain = json.loads((EMBEDDED.parents[1] / "taught/adapters/smollm2-sft/adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(plain | told))
    shutil.copy(EMBEDDED / "tiny-base" / "model.safetensors", tmp_path / "adapter_model.safetensors")
    with watched() as seen, pytest.raises(CheckpointError, match=why) as caught:
        adapters.merged(wanted, tmp_path)
    assert "\n" not in str(caught.value) and not seen.reached
