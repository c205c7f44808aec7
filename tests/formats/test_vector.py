"""Vectors in files: what is read back is what was written, does the same, and is what llama.cpp's own package reads."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import ivx
from ivx.analyses.function.result import halves
from ivx.cli.main import main
from ivx.errors import IvxError
from ivx.formats.vector import KEY, Vector

TASK = "animal/colour"


@pytest.fixture(scope="module")
def model() -> ivx.Model:
    return ivx.load("tiny-sft")


@pytest.fixture(scope="module")
def found(model: ivx.Model) -> ivx.Vectors:
    return ivx.vectors(model, TASK, samples=8)


def plain(model: ivx.Model, prompt: tuple[int, ...], values: np.ndarray, layer: int, *, put: bool) -> torch.Tensor:
    """The last logits where a vector is put in place of the first token's state, or added to it; by a bare hook."""

    def hook(module: torch.nn.Module, args: tuple, output: torch.Tensor) -> torch.Tensor:
        moved = (output if isinstance(output, torch.Tensor) else output[0]).clone()
        moved[0, 0] = torch.from_numpy(values) + (0 if put else moved[0, 0])
        return moved if isinstance(output, torch.Tensor) else (moved, *output[1:])

    handle = model.blocks[layer].register_forward_hook(hook)
    try:
        with torch.inference_mode():
            return model.hf(torch.tensor([prompt])).logits[0, -1]
    finally:
        handle.remove()


@pytest.mark.parametrize("operation", ["overwrite", "add"])
def test_a_vector_read_back_does_what_it_did(
    found: ivx.Vectors, model: ivx.Model, operation: str, tmp_path: Path
) -> None:
    vector = found.vector(3, operation=operation)
    vector.save(tmp_path / "v.safetensors")
    again = ivx.load_vector(tmp_path / "v.safetensors")
    assert (again.site, again.layer, again.operation) == ("resid_post", 3, operation)
    assert again.provenance == vector.provenance and again.provenance["run"] == found.run_id
    assert again.provenance["fingerprint"] == model.fingerprint and again.provenance["ivx"] == ivx.__version__
    rows = found.samples.rows
    table = again.rows(
        model,
        target=[s.target for s in rows],
        answer=[s.answer_id for s in rows],
        contrast=[s.contrast_id for s in rows],
        position=0,
    )
    assert table["patch"].to_pylist() == [""] * len(rows) + ["resid_post.3@0"] * len(rows)
    patched = table.slice(len(rows)).to_pylist()
    for sample, row in zip(rows, patched, strict=True):
        logits = plain(model, sample.target, vector.values, 3, put=operation == "overwrite")
        assert row["logit"] == pytest.approx(float(logits[sample.answer_id]), abs=1e-6 * 50)
        assert row["contrast"] == pytest.approx(float(logits[sample.contrast_id]), abs=1e-6 * 50)
    before = vector.rows(model, target=[rows[0].target], answer=[rows[0].answer_id], position=0)
    after = again.rows(model, target=[rows[0].target], answer=[rows[0].answer_id], position=0)
    assert np.abs(before["logit"].to_numpy() - after["logit"].to_numpy()).max() <= 1e-6
    assert before["logit"][0] != before["logit"][1]


def test_what_is_added_is_what_the_task_has_and_another_has_not(found: ivx.Vectors) -> None:
    own, other = found.states()[2].mean(axis=0), found.states("control")[2].mean(axis=0)
    assert np.allclose(found.vector(2).values, own, atol=1e-6)
    assert np.allclose(found.vector(2, operation="add").values, own - other, atol=1e-6)
    with pytest.raises(IvxError, match="layers 0 to 7"):
        found.vector(8)


def test_a_function_vector_of_a_file_has_the_effect_that_its_run_measured(model: ivx.Model, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    run = ivx.function(model, TASK, samples=8, demonstrations=4, heads=4)
    run.vector(2).save(tmp_path / "f.gguf")
    vector = ivx.load_vector(tmp_path / "f.gguf")
    assert vector.operation == "add" and vector.provenance["heads"] == [list(head) for head in run.top()]
    chosen = halves(len(run.samples.rows))[1]
    rows = run.samples.rows[chosen]
    table = vector.rows(model, target=[s.target for s in rows], answer=[s.answer_tokens for s in rows])
    stored = {
        row["sample"] - chosen.start: row["logit"]
        for row in run.table.to_pylist()
        if row["role"] == "effect" and row["patch"] == "resid_post.2@-1"
    }
    moved = table.slice(len(rows)).to_pylist()
    assert len(stored) == len(rows)
    assert max(abs(row["logit"] - stored[row["sample"]]) for row in moved) <= 1e-5
    assert any(abs(row["logit"] - bare["logit"]) > 0.1 for row, bare in zip(moved, table.to_pylist(), strict=False))


def test_a_control_vector_has_the_names_that_llama_cpp_reads(found: ivx.Vectors, tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    vector = found.vector(3, operation="add")
    vector.save(tmp_path / "v.gguf", hint="llama")
    reader = gguf.GGUFReader(tmp_path / "v.gguf")
    told = {name: field.contents() for name, field in reader.fields.items()}
    assert told["general.architecture"] == "controlvector"
    assert told["controlvector.model_hint"] == "llama" and told["controlvector.layer_count"] == 1
    (tensor,) = reader.tensors
    assert tensor.name == "direction.3" and tensor.tensor_type.name == "F32"
    assert np.array_equal(tensor.data, vector.values)
    assert json.loads(told[KEY])["norm"] == pytest.approx(vector.norm)
    again = ivx.load_vector(tmp_path / "v.gguf")
    assert np.array_equal(again.values, vector.values) and again.provenance == vector.provenance


def test_a_control_vector_of_another_tool_is_read_a_layer_at_a_time(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(tmp_path / "theirs.gguf", "controlvector")
    writer.add_string("controlvector.model_hint", "llama")
    for layer in (1, 2):
        writer.add_tensor(f"direction.{layer}", np.full(4, layer, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(IvxError, match="layer="):
        ivx.load_vector(tmp_path / "theirs.gguf")
    vector = ivx.load_vector(tmp_path / "theirs.gguf", layer=2)
    assert (vector.layer, vector.operation, vector.provenance) == (2, "add", {}) and vector.values[0] == 2


@pytest.mark.parametrize(
    ("vector", "said"),
    [
        (Vector("resid_post", 0, "add", np.ones(4, np.float32)), "blocks 1 and above"),
        (Vector("attn_out", 2, "add", np.ones(4, np.float32)), "resid_post"),
        (Vector("resid_post", 2, "overwrite", np.ones(4, np.float32)), "overwrites"),
    ],
)
def test_what_no_control_vector_can_be_is_refused(vector: Vector, said: str, tmp_path: Path) -> None:
    with pytest.raises(IvxError, match=said):
        vector.save(tmp_path / "v.gguf")
    vector.save(tmp_path / "v.safetensors")
    assert ivx.load_vector(tmp_path / "v.safetensors").operation == vector.operation


def test_a_file_that_is_none_is_refused_in_a_sentence(model: ivx.Model, tmp_path: Path) -> None:
    ones = np.ones(4, np.float32)
    cases: dict[str, tuple[str, Any]] = {
        "v.pt": ("let it end in", b"x"),
        "a.safetensors": ("no safetensors file", b"\x80\x04garbage"),
        "b.gguf": ("no GGUF file", b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0)),
        "c.safetensors": ("float32", {"resid_post.1": ones.astype(np.float64)}),
        "d.safetensors": ("one row", {"resid_post.1": np.ones((2, 2), np.float32)}),
        "e.safetensors": ("finite", {"resid_post.1": ones * np.nan}),
        "f.safetensors": ("layer=", {"resid_post.1": ones, "resid_post.2": ones}),
        "g.safetensors": ("site", {"q.1": ones}),
        "h.safetensors": ("no site and layer", {"model.embed": ones}),
    }
    for name, (said, content) in cases.items():
        path = tmp_path / name
        path.write_bytes(content) if isinstance(content, bytes) else save_file(content, path)
        with pytest.raises(IvxError, match=said):
            ivx.load_vector(path)
    save_file({"resid_post.1": ones}, tmp_path / "i.safetensors", metadata={KEY: '{"site": 3}'})
    with pytest.raises(IvxError, match="cannot be read"):
        ivx.load_vector(tmp_path / "i.safetensors")
    with pytest.raises(IvxError, match="cannot be read"):
        ivx.load_vector(tmp_path / "missing.gguf")
    with pytest.raises(IvxError, match="width 4"):
        Vector("resid_post", 1, "add", ones).rows(model, target=[(1, 2)], answer=[3])


def test_the_command_writes_a_vector(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["vectors", "--checkpoint", "tiny-sft", "--task", TASK, "--samples", "6"]
    path = tmp_path / "v.safetensors"
    assert main([*asked, "--save", str(path), "--layer", "3", "--operation", "add"]) == 0
    assert ivx.load_vector(path).layer == 3
    for wrong in (["--save", str(path)], ["--layer", "3"], ["--save", str(path), "--layer", "3", "--operation", "mix"]):
        assert main([*asked, *wrong]) == 2
    assert "--operation mix" in capsys.readouterr().err
