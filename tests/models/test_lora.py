"""Plain LoRA is merged as peft merges it; what is more than plain is left to peft."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from ivx.errors import CheckpointError
from ivx.models import adapters, lora
from ivx.models.registry import EMBEDDED
from tests.support import published

PLAIN: list[dict[str, Any]] = [
    {"r": 2, "target_modules": ["q_proj"]},
    {"r": 4, "lora_alpha": 3, "target_modules": ["down_proj", "o_proj", "self_attn.v_proj"]},
    {"r": 1, "lora_alpha": 16, "target_modules": ["lm_head", "gate_proj"]},
    {"r": 3, "target_modules": ["k_proj"], "lora_dropout": 0.3},
]
MORE: list[dict[str, Any]] = [
    {"use_rslora": True},
    {"use_dora": True},
    {"alpha_pattern": {"layers.0.self_attn.q_proj": 3}},
    {"rank_pattern": {"layers.1.self_attn.q_proj": 1}},
    {"layers_to_transform": [0, 3]},
    {"modules_to_save": ["lm_head"]},
    {"exclude_modules": ["model.layers.0.self_attn.q_proj"]},
    {"target_modules": ".*(q|v)_proj"},
    {"target_modules": ["embed_tokens", "q_proj"]},
]


def base(dtype: torch.dtype = torch.float64) -> Any:
    return published.read(EMBEDDED / "tiny-sft", dtype=dtype)


def saved(folder: Path, **config: Any) -> None:
    """Write an adapter of tiny-sft that changes it."""
    torch.manual_seed(0)
    asked = {"r": 2, "target_modules": ["q_proj"], **config}
    get_peft_model(base(), LoraConfig(init_lora_weights=False, task_type="CAUSAL_LM", **asked)).save_pretrained(
        str(folder), save_embedding_layers=False
    )


def by_peft(folder: Path) -> dict[str, torch.Tensor]:
    return PeftModel.from_pretrained(base(), str(folder)).merge_and_unload().state_dict()


@pytest.mark.parametrize("config", PLAIN, ids=str)
def test_a_plain_adapter_is_merged_as_by_peft_and_without_it(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path, **config)
    wanted = by_peft(tmp_path)
    monkeypatch.setitem(sys.modules, "peft", None)
    found = adapters.merged(base(), tmp_path).state_dict()
    before = base().state_dict()
    assert found.keys() == wanted.keys()
    changed = {name for name in found if not torch.equal(found[name], before[name])}
    assert changed and all(any(target in name for target in config["target_modules"]) for name in changed)
    assert max(float((found[name] - wanted[name]).abs().max()) for name in found) < 1e-6


@pytest.mark.parametrize("config", MORE, ids=str)
def test_what_is_more_than_plain_is_peft_s(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path, **config)
    told = json.loads((tmp_path / adapters.CONFIG).read_text())
    assert lora.targets(base(), told) is None
    found, wanted = adapters.merged(base(), tmp_path).state_dict(), by_peft(tmp_path)
    assert all(torch.allclose(found[name], wanted[name], atol=1e-9) for name in wanted)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(CheckpointError, match="more than plain LoRA and needs the package peft"):
        adapters.merged(base(), tmp_path)


@pytest.mark.parametrize("change", [{"init_lora_weights": "pissa"}, {"r": "2"}, {"bias": "all"}, {"new_word": 1}])
def test_a_config_that_says_more_is_not_taken_for_plain(change: dict[str, Any], tmp_path: Path) -> None:
    saved(tmp_path)
    told = json.loads((tmp_path / adapters.CONFIG).read_text())
    assert lora.targets(base(), told) is not None and lora.targets(base(), {**told, **change}) is None


def test_a_half_precision_weight_is_rounded_once(tmp_path: Path) -> None:
    saved(tmp_path)
    exact = adapters.merged(base(), tmp_path).state_dict()
    half = adapters.merged(base(torch.bfloat16), tmp_path).state_dict()
    assert all(torch.equal(half[name], exact[name].bfloat16()) for name in half)
