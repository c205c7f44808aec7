"""What is said of a checkpoint before it is loaded is what loading it finds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ivx
from ivx.errors import CheckpointError, IvxError, MemoryRefused
from ivx.models import folders
from ivx.models.folders import entries, kind_of
from ivx.models.prospect import prospect
from ivx.models.registry import EMBEDDED
from tests.models.test_models import hub

ADAPTER = Path(ivx.__file__).parent / "taught" / "adapters" / "smollm2-sft"


@pytest.mark.parametrize("told", [{}, {"dtype": "float64"}, {"weights": "stream"}])
def test_a_prospect_is_what_is_loaded(told: dict[str, Any]) -> None:
    found, model = prospect("tiny-sft", **told), ivx.load("tiny-sft", **told)
    parameters = list(model.hf.parameters())
    assert (found.dtype, found.device) == (model.hf.dtype, "cpu")
    assert found.estimate.parameters == sum(one.numel() for one in parameters)
    assert (found.weights == "stream") == (model.stream is not None)
    assert found.anatomy == model.anatomy


def test_what_does_not_fit_is_seen_and_refused_alike() -> None:
    found = prospect("tiny-sft", weights="whole", memory_gb=0.001)
    assert found.needed_gb > 1
    with pytest.raises(MemoryRefused) as seen:
        found.refuse_what_cannot_fit()
    with pytest.raises(MemoryRefused) as loaded:
        ivx.load("tiny-sft", weights="whole", memory_gb=0.001)
    assert str(seen.value) == str(loaded.value)


def test_what_cannot_be_loaded_has_no_prospect(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((EMBEDDED / "tiny-sft" / "config.json").read_text())
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    (tmp_path / "other").mkdir()
    for name, weights in ((str(tmp_path), "auto"), (str(tmp_path / "other"), "auto"), ("tiny-sft", "half")):
        with pytest.raises(IvxError) as seen:
            prospect(name, weights=weights)
        with pytest.raises(IvxError) as loaded:
            ivx.load(name, weights=weights)
        assert str(seen.value) == str(loaded.value)


def test_an_adapter_of_another_model_is_refused_before_any_weight_is_read() -> None:
    with pytest.raises(CheckpointError, match="does not fit this checkpoint: it has base_model") as seen:
        prospect("tiny-base", adapter=str(ADAPTER))
    with pytest.raises(CheckpointError) as loaded:
        ivx.load("tiny-base", adapter=str(ADAPTER))
    assert str(seen.value) == str(loaded.value)


def test_the_hub_tells_how_much_it_would_send() -> None:
    sent = [one for one in (EMBEDDED / "tiny-sft").iterdir() if one.suffix in (".json", ".safetensors")]
    with hub() as endpoint:
        assert asked("org/real@v2", endpoint) == (str(sum(one.stat().st_size for one in sent)), "")
        assert "the hub has no model 'org/none'" in asked("org/none", endpoint)[1]
    assert "the hub cannot be reached" in asked("org/real@v2", endpoint)[1]


def asked(name: str, endpoint: str) -> tuple[str, str]:
    """What a process of its own, whose hub is there, is told of a name's size: the number, and the error."""
    told = {key: value for key, value in os.environ.items() if not key.startswith("HF_")} | {"HF_ENDPOINT": endpoint}
    code = f"from ivx.models import files; print(files.hub_bytes({name!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=told, timeout=60)
    return done.stdout.strip(), done.stderr


def test_a_folder_shows_its_checkpoints_and_no_other_file(tmp_path: Path) -> None:
    shutil.copytree(EMBEDDED / "tiny-sft", tmp_path / "mine")
    shutil.copytree(ADAPTER, tmp_path / "adapter")
    (tmp_path / "packed.gguf").write_bytes(b"GGUF")
    for name in ("papers", ".hidden", "Zoo"):
        (tmp_path / name).mkdir()
    (tmp_path / "letter.txt").write_text("private")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    found = [(one.path.name, one.kind) for one in entries(tmp_path, among=[tmp_path])]
    assert found == [
        ("mine", "safetensors"),
        ("packed.gguf", "GGUF"),
        ("adapter", "adapter"),
        ("papers", "folder"),
        ("Zoo", "folder"),
    ]
    mine = kind_of(tmp_path / "mine")
    assert mine is not None and mine.size == (tmp_path / "mine" / "model.safetensors").stat().st_size
    assert kind_of(tmp_path / "papers") is None
    with pytest.raises(CheckpointError, match="cannot be looked into"):
        entries(tmp_path / "letter.txt", among=[tmp_path])


def test_a_link_that_leads_out_of_the_roots_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed, outside = tmp_path / "allowed", tmp_path / "outside"
    shutil.copytree(ADAPTER, outside / "adapter")
    (allowed / "inside").mkdir(parents=True)
    for name, to in (("folder", outside), ("adapter", outside / "adapter"), ("near", allowed / "inside")):
        (allowed / name).symlink_to(to)
    seen: list[Path] = []
    monkeypatch.setattr(folders, "kind_of", lambda folder: seen.append(folder))
    assert [one.path.name for one in entries(allowed, among=[allowed])] == ["inside", "near"]
    assert {one.name for one in seen} == {"inside", "near"}
