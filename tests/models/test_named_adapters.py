"""Checkpoints that were taught here: known by name, their base fetched, their adapter from the package."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import ivx
from ivx.cli.main import main
from ivx.errors import CheckpointError, IvxError
from ivx.jobs import compute
from ivx.models import doctor, files, fingerprint, paths, registry, wheels
from ivx.models.origin import Origin
from ivx.store.store import Store
from ivx.taught import lora
from tests.support import published

NAMES = ("smollm2", "smollm2-sft", "smollm2-dpo")


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache in which nothing was fetched."""
    monkeypatch.setenv(paths.CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "checkpoints"


@pytest.fixture
def little(nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small model in the base's place, with an adapter for each name; returns the base's directory."""
    place = Path(shutil.copytree(registry.EMBEDDED / "tiny-sft", nowhere / "smollm2"))
    Origin("a test", "Apache-2.0", "Q4_1, dequantised").write(place)
    monkeypatch.setattr(registry, "ADAPTERS", tmp_path / "adapters")
    for seed, name in enumerate(NAMES[1:]):
        hf = published.read(place, dtype=torch.float32)
        lora.add(hf, seed=seed)
        with torch.no_grad():
            for _, layer in lora.layers(hf):
                layer.up.normal_(std=0.05)
        lora.save(hf, tmp_path / "adapters" / name, base="smollm2")
    return place


def test_without_its_base_it_says_what_to_fetch(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in NAMES[1:]:
        with pytest.raises(
            CheckpointError, match=f"smollm2, which {name} is an adapter of, is not on this machine yet"
        ):
            ivx.load(name)
        assert main(["doctor", name]) == 2 and "python -m ivx get smollm2`" in capsys.readouterr().err
    assert not any(wheels.is_here(name) for name in NAMES)


def test_each_is_the_base_and_its_adapter(little: Path, tmp_path: Path) -> None:
    ids = torch.tensor([[5, 6, 7, 8]])
    models = {name: ivx.load(name) for name in NAMES}
    logits = [model.hf(ids).logits for model in models.values()]
    assert all((a - b).abs().max() > 1e-3 for a, b in zip(logits, [*logits[1:], logits[0]], strict=True))
    assert len({model.fingerprint for model in models.values()}) == 3
    for name, model in models.items():
        assert files.locate(name) == little and wheels.is_here(name) and wheels.get(name) == little
        assert paths.within_roots(name) == name
        assert model.quantisation == "Q4_1, dequantised" and model.collection == "english"
        told = None if name == "smollm2" else "LoRA on smollm2, taught here"
        assert model.merged == model.identity.get("merged") == told
        assert told is None or told in doctor.report_text(doctor.report_of(model))
    assert "merged" not in ivx.load("tiny-sft").identity
    copy = shutil.copytree(tmp_path / "adapters" / "smollm2-sft", tmp_path / "copy")
    for by_hand in (ivx.load("smollm2", adapter=str(copy)), ivx.load(f"smollm2+{copy}")):
        assert torch.equal(by_hand.hf(ids).logits, logits[1])
        assert by_hand.merged == "adapter copy" and by_hand.fingerprint == models["smollm2-sft"].fingerprint


def test_its_fingerprint_is_told_from_files_and_changes_with_either(little: Path, tmp_path: Path) -> None:
    with_store = Store(tmp_path / "store")

    def told() -> list[str]:
        return [compute.fingerprint_of(with_store, name) for name in NAMES]

    before = told()
    assert before == [ivx.load(name, check=False).fingerprint for name in NAMES]
    assert before[0] == fingerprint.of_directory(little)
    (tmp_path / "adapters" / "smollm2-sft" / "adapter_config.json").open("a").write("\n")
    after = told()
    assert after[0] == before[0] and after[1] != before[1] and after[2] == before[2]
    (little / "config.json").open("a").write("\n")
    assert not set(told()) & set(after)


def test_its_weights_are_whole(little: Path) -> None:
    for way in ("compact", "stream"):
        with pytest.raises(IvxError, match="an adapter is merged into whole weights"):
            ivx.load("smollm2-sft", weights=way)


def test_the_family_is_known_in_the_order_of_its_stages(capsys: pytest.CaptureFixture[str]) -> None:
    assert registry.families()["smollm2"] == NAMES
    assert registry.steps(NAMES) == (("smollm2", "smollm2-sft"), ("smollm2-sft", "smollm2-dpo"))
    assert main(["checkpoints"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in NAMES[1:]:
        (line,) = (line for line in lines if line.split()[0] == name)
        assert "taught here" in line and "ivx get smollm2" in line


@pytest.mark.parametrize("here", [True, False])
def test_post_training_offers_the_family(here: bool, little: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also without its base: runs of it came with ivx."""
    from streamlit.testing.v1 import AppTest

    def page() -> None:
        import streamlit as st

        from ivx.ui.training import stages

        st.write(" ".join(stages.chosen_names(st.container())))

    if not here:
        monkeypatch.setenv(paths.CACHE, str(little / "elsewhere"))
    seen = AppTest.from_function(page, default_timeout=120).run()
    assert "smollm2: Instruct, SFT, DPO" in seen.selectbox(key="family").options
    seen.selectbox(key="family").select("smollm2").run()
    assert not seen.exception and seen.markdown[0].value == " ".join(NAMES)
