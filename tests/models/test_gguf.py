"""GGUF files: equal to what they stand for, named as what they are, and refused where they are broken or more is meant
than transformers reads."""

from __future__ import annotations

import shutil
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ivx
from ivx.archive import pack, unpack
from ivx.cli.main import main
from ivx.errors import CheckpointError, IvxError, UnsupportedArchitecture
from ivx.jobs.compute import stored
from ivx.models import files, fingerprint, gguf, library, paths
from ivx.models.doctor import report_of, report_text
from ivx.store.store import Store
from tests.support.ggufs import CHAT, Kind, written

QUANTISED = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF file of Q4_1, with embeddings of Q8_0; not to be changed."""
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    written(path, embeddings=Kind.Q8_0)
    return path


@pytest.fixture
def broken(made: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copy(made, tmp_path / "broken.gguf"))


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", *QUANTISED])
def test_it_is_the_model_that_its_blocks_stand_for(kind: str, tmp_path: Path) -> None:
    wanted, tok = written(tmp_path / "m.gguf", Kind[kind])
    model = ivx.load(str(tmp_path / "m.gguf"))
    assert model.dtype == torch.float32 and model.stream is None
    for (name, own), (other, theirs) in zip(model.hf.named_parameters(), wanted.named_parameters(), strict=True):
        assert name == other and torch.equal(own, theirs), name
    ids = torch.tensor([tok("Name the colour of the animal. Animal: crow. Answer:")["input_ids"]])
    with torch.no_grad():
        assert torch.equal(model.hf(ids).logits, wanted(ids).logits)
    assert model.quantisation == (f"{kind}, dequantised" if kind in QUANTISED else None)


def test_its_tokenizer_and_chat_template_come_along(made: Path, tmp_path: Path) -> None:
    _, tok = written(tmp_path / "m.gguf")
    found = library.tokenizer(tmp_path / "m.gguf", name="m")
    for text in ("Name the colour of the animal. Animal: crow. Answer:", "</s> é  two", "black"):
        assert found(text)["input_ids"] == tok(text)["input_ids"]
    assert found.chat_template == CHAT and found.eos_token == "</s>"


@pytest.mark.parametrize("pre", ["llama-bpe", "default"])
def test_a_way_to_split_text_that_is_known_passes(pre: str, tmp_path: Path) -> None:
    _, tok = written(tmp_path / "m.gguf", pre=pre)
    text = "Name the colour of the animal."
    assert library.tokenizer(tmp_path / "m.gguf", name="m")(text)["input_ids"] == tok(text)["input_ids"]


@pytest.mark.parametrize("pre", ["unheard-of", "smollm"])
def test_a_way_to_split_text_that_is_not_known_is_refused(pre: str, tmp_path: Path) -> None:
    """Digit by digit is a way that is known, but not of a vocabulary that joins digits, as this one does."""
    written(tmp_path / "m.gguf", pre=pre)
    with pytest.raises(CheckpointError, match=f"splits text as {pre}, which transformers does not know"):
        ivx.load(str(tmp_path / "m.gguf"))


def test_its_quantisation_is_named(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = "Q4_1 and Q8_0, dequantised"
    model = ivx.load(str(made))
    assert model.identity == {
        "name": str(made),
        "fingerprint": fingerprint.of_directory(made),
        "source": str(made),
        "quantisation": told,
    }
    report = report_of(model)
    assert f"(llama, {told}, float32, cpu)" in report_text(report).splitlines()[0]
    assert told in report.checks[0].detail
    assert main(["doctor", str(made)]) == 0
    shown = capsys.readouterr()
    assert told in shown.out and not shown.err, "transformers draws no bars of its own"
    assert "quantisation" not in ivx.load("tiny-sft", check=False).identity


def test_tables_are_those_of_the_safetensors_made_from_it(made: Path, tmp_path: Path) -> None:
    model = ivx.load(str(made))
    model.hf.save_pretrained(tmp_path / "same")
    library.read_tokenizer(made, name="made").save_pretrained(tmp_path / "same")
    asked: dict[str, Any] = {"samples": 4, "position": "last", "sites": ("resid_post", "z")}
    one = ivx.effects(str(made), "animal/colour", **asked)
    other = ivx.effects(str(tmp_path / "same"), "animal/colour", **asked)
    assert one.table.num_rows and one.table.equals(other.table)
    assert one.receipt["checkpoint"]["quantisation"] == "Q4_1 and Q8_0, dequantised"
    assert "quantisation" not in other.receipt["checkpoint"] and one.run_id != other.run_id


def test_a_run_of_it_is_found_again_and_goes_out_and_in(made: Path, tmp_path: Path) -> None:
    asked = ["effects", "--checkpoint", str(made), "--task", "animal/colour", "--sites", "resid_post"]
    assert main([*asked, "--samples", "4", "--position", "first"]) == 0
    store = Store()
    entry = next(e for e in store.entries() if e.request("checkpoint") == str(made))
    run = store.find(entry.run)
    assert run is not None
    result = unpack.stored(run)
    assert stored(store, result.request) is not None
    archive = tmp_path / "run.zip"
    archive.write_bytes(pack.of_result(result))
    assert unpack.unpack(archive).receipt["checkpoint"]["quantisation"] == "Q4_1 and Q8_0, dequantised"


def test_a_directory_with_one_is_that_file(made: Path, tmp_path: Path) -> None:
    shutil.copy(made, tmp_path / "one.gguf")
    assert files.locate(str(tmp_path)) == tmp_path / "one.gguf"
    assert ivx.load(str(tmp_path), check=False).fingerprint == fingerprint.of_directory(made)
    shutil.copy(made, tmp_path / "two.gguf")
    with pytest.raises(CheckpointError, match="holds 2 GGUF files: name one of them"):
        ivx.load(str(tmp_path))
    (tmp_path / "model.safetensors").touch()
    assert files.locate(str(tmp_path)) == tmp_path


def test_what_lies_beside_it_is_not_read(made: Path, broken: Path) -> None:
    for name in (
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "adapter_config.json",
        "chat_template.jinja",
    ):
        broken.with_name(name).write_text('{"model_type": "gpt2", "base_model_name_or_path": "nobody/nothing"}')
    model = ivx.load(str(broken))
    assert model.fingerprint == fingerprint.of_directory(made) and model.hf.config.model_type == "llama"
    assert model.tokenizer.chat_template == CHAT


def test_its_fingerprint_covers_every_byte(made: Path, broken: Path) -> None:
    assert fingerprint.of_directory(broken) == fingerprint.of_directory(made)
    whole = bytearray(broken.read_bytes())
    whole[-1] ^= 1
    broken.write_bytes(whole)
    assert fingerprint.of_directory(broken) != fingerprint.of_directory(made)


@pytest.mark.parametrize("weights", ["compact", "stream"])
def test_it_is_whole_only(made: Path, weights: str) -> None:
    with pytest.raises(IvxError, match="dequantised when it is read: use weights='whole'"):
        ivx.load(str(made), weights=weights)
    assert ivx.load(str(made), weights="whole", check=False).stream is None


@pytest.mark.parametrize("package", gguf.NEEDED)
def test_where_its_reader_is_not_installed_it_is_said(
    made: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = gguf.find_spec
    monkeypatch.setattr(gguf, "find_spec", lambda name: None if name == package else known(name))
    with pytest.raises(CheckpointError, match=r"not here: pip install ivx-explorer\[gguf\]"):
        ivx.load(str(made))


def test_the_app_opens_one_under_its_roots_only(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    inside = Path(shutil.copy(made, allowed / "in.gguf"))
    (allowed / "link.gguf").symlink_to(made)
    monkeypatch.setenv(paths.ROOTS, str(allowed))
    assert paths.within_roots(str(inside)) == str(inside)
    for outside in (made, allowed / "link.gguf", allowed / ".." / ".." / made.parent.name / made.name):
        with pytest.raises(CheckpointError, match="not lie under a directory the app may read"):
            paths.within_roots(str(outside))


def cut(data: bytes, at: float) -> bytes:
    return data[: int(len(data) * at)]


def put(data: bytes, at: int, code: str, value: int) -> bytes:
    return data[:at] + struct.pack("<" + code, value) + data[at + struct.calcsize(code) :]


def key_at(data: bytes, key: str) -> int:
    """Where the type of a key's value stands."""
    return data.index(key.encode()) + len(key)


WRONG = {
    "empty": lambda data: b"",
    "cut short in its weights": lambda data: data[:-64],
    "cut in half": lambda data: cut(data, 0.5),
    "cut short in its header": lambda data: data[:200],
    "cut behind its magic": lambda data: data[:4],
    "wrong magic": lambda data: b"GGML" + data[4:],
    "a pickle": lambda data: b"\x80\x04\x95" + data[3:],
    "version 1": lambda data: put(data, 4, "I", 1),
    "of another byte order": lambda data: put(data, 4, "I", 3 << 24),
    "vast count of tensors": lambda data: put(data, 8, "Q", 2**63),
    "vast count of keys": lambda data: put(data, 16, "Q", 2**40),
    "one tensor more": lambda data: put(data, 8, "Q", struct.unpack_from("<Q", data, 8)[0] + 1),
    "a key longer than the file": lambda data: put(data, 24, "Q", 2**50),
    "a text longer than the file": lambda data: put(data, key_at(data, "tokenizer.ggml.model") + 4, "Q", 2**64 - 1),
    "vast array": lambda data: put(data, key_at(data, "tokenizer.ggml.tokens") + 8, "Q", 2**60),
    "array in an array": lambda data: put(data, key_at(data, "tokenizer.ggml.tokens") + 4, "I", 9),
    "a value of no type": lambda data: put(data, key_at(data, "llama.block_count"), "I", 77),
    "a key that is no text": lambda data: data.replace(b"llama.block_count", b"\xff\xfeama.block_count"),
    "two values for a key": lambda data: data.replace(b"llama.context_length", b"llama.rope.freq_base"),
    "no architecture": lambda data: data.replace(b"general.architecture", b"general.architectura"),
    "two tensors of one name": lambda data: data.replace(b"blk.1.attn_q.weight", b"blk.0.attn_q.weight"),
    "a type of tensor that is none": lambda data: put(data, key_at(data, "output_norm.weight") + 12, "I", 999),
    "a tensor without dimensions": lambda data: put(data, key_at(data, "output_norm.weight"), "I", 0),
    "a tensor of vast size": lambda data: put(data, key_at(data, "output_norm.weight") + 4, "Q", 2**62),
    "a tensor outside": lambda data: put(data, key_at(data, "output_norm.weight") + 16, "Q", 2**40),
    "a tensor between two places": lambda data: put(data, key_at(data, "output_norm.weight") + 16, "Q", 7),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_broken_file_is_refused_in_a_sentence(fault: str, broken: Path) -> None:
    data = broken.read_bytes()
    changed = WRONG[fault](data)
    assert changed != data
    broken.write_bytes(changed)
    for read in (ivx.load, lambda name: library.tokenizer(Path(name), name=name)):
        with pytest.raises(CheckpointError) as refused:
            read(str(broken))
        assert "broken.gguf" in str(refused.value) and "copy it again" in str(refused.value)
        assert "\n" not in str(refused.value) and len(str(refused.value)) < 400


MEANT = {
    "llama.rope.scaling.type": "yarn",
    "llama.rope.scaling.factor": 8.0,
    "llama.attention.sliding_window": 32,
    "llama.attention.key_length": 32,
    "llama.expert_count": 4,
    "llama.final_logit_softcapping": 30.0,
    "llama.something_new": 1,
    "llama.attention.head_count_by_layer": [2, 4, 4],
}


@pytest.mark.parametrize("key", MEANT)
def test_what_transformers_would_leave_out_is_refused(key: str, tmp_path: Path) -> None:
    written(tmp_path / "m.gguf", keys={key: MEANT[key]})
    with pytest.raises(UnsupportedArchitecture, match=f"says {key} = "):
        ivx.load(str(tmp_path / "m.gguf"))


def test_a_key_that_says_what_the_model_is_passes(tmp_path: Path) -> None:
    told = {
        "llama.rope.scaling.type": "none",
        "llama.attention.key_length": 16,
        "llama.attention.value_length": 16,
        "general.name": "mine",
        "other.scale": 3.0,
    }
    written(tmp_path / "m.gguf", keys=told)
    assert ivx.load(str(tmp_path / "m.gguf")).layers == 3


def test_a_tensor_without_a_place_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "m.gguf", tensors={"rope_freqs.weight": np.ones(8, dtype=np.float32)})
    with pytest.raises(CheckpointError, match="numbers and the architecture has .* scaled rotary embedding"):
        ivx.load(str(tmp_path / "m.gguf"))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"split.count": 3}, "is one of 3 parts: join them"),
        ({"general.alignment": 24}, "no power of two"),
    ],
)
def test_a_part_and_an_odd_alignment_are_refused(keys: dict[str, Any], said: str, tmp_path: Path) -> None:
    written(tmp_path / "m.gguf", keys=keys)
    with pytest.raises(CheckpointError, match=said):
        ivx.load(str(tmp_path / "m.gguf"))


def test_an_architecture_that_is_not_known_is_refused(broken: Path) -> None:
    data = broken.read_bytes()
    broken.write_bytes(data.replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0lhama", 1))
    with pytest.raises(UnsupportedArchitecture, match="makes no model of a GGUF file of architecture 'lhama'"):
        ivx.load(str(broken))


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    written(tmp_path / "m.gguf", Kind.F32)
    data = bytearray((tmp_path / "m.gguf").read_bytes())
    data[-4:] = struct.pack("<f", float("nan"))
    (tmp_path / "m.gguf").write_bytes(data)
    with pytest.raises(CheckpointError, match="not finite"):
        ivx.load(str(tmp_path / "m.gguf"))


def test_the_strip_names_it(made: Path) -> None:
    from streamlit.testing.v1 import AppTest

    def page(receipt: dict) -> None:
        from ivx.ui.kit import pieces

        pieces.trust(receipt, rows="no rows")

    receipt = {"checks": [], "dtype": "float32", "device": "cpu"}
    for told, quantised in ((ivx.load(str(made)), True), (replace(ivx.load(str(made)), quantisation=None), False)):
        seen = AppTest.from_function(page, args=(receipt | {"checkpoint": told.identity},)).run()
        assert not seen.exception
        assert ("Q4_1 and Q8_0, dequantised, float32, cpu" in str(seen.get("html")[0].proto)) == quantised
