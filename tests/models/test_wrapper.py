"""The text part of a wrapper: its logits are the wrapper's own on text, whatever the layout of the files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import ivx
from ivx.errors import CheckpointError, IvxError
from ivx.models.anatomy import WRAPPERS
from ivx.models.doctor import checkup, report_text
from ivx.ui.kit.checkpoints import layers_of
from tests.support.checkpoints import configured
from tests.support.wrappers import renamed, wrapper_of

MODELS = Path(__file__).parents[2] / "docs" / "models.md"
IDS = [[20, 33, 47, 80, 64, 90, 22, 120, 45]]
OLD = {"model.language_model.": "language_model.model.", "lm_head.": "language_model.lm_head."}
NEW = {"language_model.model.": "model.language_model.", "language_model.lm_head.": "lm_head."}


def logits_of(net: Any) -> torch.Tensor:
    with torch.inference_mode():
        return net(input_ids=torch.tensor(IDS), use_cache=False).logits


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether logits are equal but for rounding: two ways of calling attention differ in the last bit on some
    processors."""
    return torch.allclose(one, other, rtol=0, atol=1e-12)


def asked(model: ivx.Model) -> dict[str, Any]:
    every = range(model.layers)
    patches = [f"{site}.{i}@2" for site in ("resid_post", "mlp_out", "attn_out") for i in every]
    patches += [f"z.{i}.1@*,mlp_out.{i}@1=zero" for i in every] + ["resid_post.0@1~-1,resid_post.1@1~-1"]
    return {"source": IDS, "target": [IDS[0][::-1]], "answer": [5], "contrast": [8], "patches": patches}


@pytest.mark.architectures
@pytest.mark.parametrize("kind", sorted(WRAPPERS))
def test_the_text_part_is_the_wrapper_on_text(kind: str, tmp_path: Path) -> None:
    """Every wrapper of the table; the doctor's checks pass on the way in."""
    full = logits_of(wrapper_of(kind, tmp_path))
    model = ivx.load(str(tmp_path), dtype="float64")
    assert same(logits_of(model.hf), full)
    found, plain = (ivx.sweep(model, engine=engine, **asked(model)) for engine in ("plan", "hooks"))
    for number in ("logit", "contrast", "logsumexp"):
        assert np.abs(found[number].to_numpy() - plain[number].to_numpy()).max() <= 1e-10


@pytest.mark.parametrize(
    ("kind", "layout", "tied"),
    [
        ("gemma3", {}, True),
        ("gemma3", NEW, True),
        ("llava", {}, False),
        ("llava", NEW, False),
        ("mistral3", NEW, True),
        ("qwen3_vl", OLD, False),
        ("qwen2_5_vl", {"model.": "model.language_model.", "visual.": "model.visual."}, False),
        ("idefics3", {}, False),
    ],
)
@pytest.mark.parametrize("weights", ["whole", "compact", "stream"])
def test_every_layout_of_the_files_is_read(
    kind: str, layout: dict[str, str], tied: bool, weights: str, tmp_path: Path
) -> None:
    net = wrapper_of(kind, tmp_path)
    before = set(load_file(tmp_path / "model.safetensors"))
    if layout:
        renamed(tmp_path, layout)
        assert set(load_file(tmp_path / "model.safetensors")) != before
    model = ivx.load(str(tmp_path), dtype="float64", weights=weights)
    assert (model.hf.get_input_embeddings().weight is model.hf.get_output_embeddings().weight) == tied
    assert torch.allclose(logits_of(model.hf), logits_of(net), atol=1e-12)
    assert layers_of(str(tmp_path)) == model.layers == 3


def test_a_streamed_text_part_sweeps_as_the_whole(tmp_path: Path) -> None:
    wrapper_of("gemma3", tmp_path)
    whole, streamed = (ivx.load(str(tmp_path), dtype="float64", weights=way) for way in ("whole", "stream"))
    told = asked(whole)
    assert ivx.sweep(streamed, **told).equals(ivx.sweep(whole, **told))


def test_it_is_said_in_the_receipt_and_by_the_doctor(tmp_path: Path) -> None:
    wrapper_of("gemma3", tmp_path)
    model = ivx.load(str(tmp_path))
    part = "text part of Gemma3ForConditionalGeneration"
    assert model.part == model.identity["part"] == part and model.surplus == ()
    assert part in report_text(checkup(model))
    assert not {"part", "quantisation"} & set(ivx.load("tiny-sft").identity)


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["whole", "stream"])
def test_nothing_else_is_read_into_memory(weights: str, tmp_path: Path) -> None:
    """Four gigabytes of a vision tower, a hole in the file: had they been read, the process had held them."""
    wrapper_of("gemma3", tmp_path)
    file = tmp_path / "model.safetensors"
    held = load_file(file)
    seen = next(tensor for tensor in held if "vision" in tensor and held[tensor].ndim > 1)
    save_file({k: v.clone() for k, v in held.items() if k != seen}, file, metadata={"format": "pt"})
    size = 4 << 30
    with file.open("rb") as old:
        header = json.loads(old.read(int.from_bytes(old.read(8), "little")))
        data = old.read()
    header[seen] = {"dtype": "F64", "shape": [size // 8], "data_offsets": [len(data), len(data) + size]}
    told = json.dumps(header).encode()
    told += b" " * (-len(told) % 8)
    with file.open("wb") as new:
        new.write(len(told).to_bytes(8, "little") + told + data)
        new.truncate(8 + len(told) + len(data) + size)
    with safe_open(file, framework="pt") as opened:
        assert seen in opened.keys()  # noqa: SIM118  # no dictionary
    code = (
        "import ivx, re, sys, torch; m = ivx.load(sys.argv[1], check=False, weights=sys.argv[2]); "
        # Not `ru_maxrss`: a process that was begun here inherits this one's.
        "print(m.layers, re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    )
    out = subprocess.run([sys.executable, "-c", code, str(tmp_path), weights], capture_output=True, text=True)
    layers, most = map(int, out.stdout.split())
    assert layers == 3 and most * 1024 < size / 2


def test_the_readme_lists_the_table() -> None:
    row = next(line for line in MODELS.read_text().splitlines() if line.startswith("| a wrapper of a text model"))
    assert row.split(":")[1].split("|")[0].strip().split(", ") == sorted(WRAPPERS)


@pytest.mark.parametrize("kind", ["aya_vision", "cohere2_vision", "paligemma"])
def test_a_wrapper_that_does_more_to_a_text_is_refused(kind: str, tmp_path: Path) -> None:
    wrapper_of(kind, tmp_path)
    with pytest.raises(CheckpointError, match="a wrapper of a text model and others") as caught:
        ivx.load(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "changed"), [("cohere", {"logit_scale": 0.5}), ("gemma2", {}), ("granite", {"logits_scaling": 2.0})]
)
def test_a_head_that_scales_where_the_wrapper_does_not_is_refused(
    text: str, changed: dict[str, Any], tmp_path: Path
) -> None:
    wrapper_of("llava", tmp_path, text=text, **changed)
    with pytest.raises(CheckpointError, match="scales or caps its logits and the wrapper does not"):
        ivx.load(str(tmp_path), dtype="float64")


@pytest.mark.parametrize("text", ["qwen3", "mistral", "olmo2"])
def test_another_text_part_is_loaded_as_what_it_is(text: str, tmp_path: Path) -> None:
    net = wrapper_of("llava", tmp_path, text=text)
    model = ivx.load(str(tmp_path), dtype="float64")
    assert model.hf.config.model_type == text and same(logits_of(model.hf), logits_of(net))


def test_a_text_part_of_an_unknown_architecture_is_refused(tmp_path: Path) -> None:
    wrapper_of("llava", tmp_path, text="lfm2")
    with pytest.raises(IvxError, match="lfm2"):
        ivx.load(str(tmp_path))


@pytest.mark.parametrize(
    ("layout", "changes", "told"),
    [
        ({"language_model.": "inner.language_model."}, {}, "so its text part is not found"),
        ({}, {"text_config": None}, "no text_config that describes its text part"),
        ({}, {"architectures": ["LlavaModel"]}, "a wrapper of a text model and others"),
        ({"language_model.lm_head.": "lost."}, {}, "its file lacks lm_head.weight"),
        ({"language_model.model.norm.": "language_model.model.other."}, {}, "model.norm.weight"),
        ({"language_model.model.layers.2.": "language_model.model.layers.7."}, {}, r"model.layers.2\."),
    ],
)
@pytest.mark.parametrize("weights", ["whole", "stream"])
def test_what_does_not_fit_is_one_sentence(
    layout: dict[str, str], changes: dict[str, Any], told: str, weights: str, tmp_path: Path
) -> None:
    wrapper_of("llava", tmp_path)
    renamed(tmp_path, layout)
    configured(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=told) as caught:
        ivx.load(str(tmp_path), weights=weights)
    assert "\n" not in str(caught.value)
