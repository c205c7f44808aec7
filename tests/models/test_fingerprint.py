"""A fingerprint covers every file that is read, and is that of what was read."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

import ivx
from ivx.errors import CheckpointError
from ivx.jobs import compute
from ivx.models import fingerprint, library, tensors
from ivx.models.contents import NAMES, WEIGHTS, contents_of
from ivx.models.registry import EMBEDDED
from ivx.store.store import Store
from tests.models.test_contents import hub, sharded
from tests.support.checkpoints import configured
from tests.support.watch import watched

SHIPPED = {
    "tiny-base": "4728648251fa90e9",
    "tiny-sft": "acce74dd26c8cca0",
    "tiny-dpo": "96c5eb9a1c2b634f",
    "tiny-sft-period": "431a51f5d252da62",
}
PROMPT = torch.arange(5, 17)[None]


@pytest.mark.parametrize("name", SHIPPED)
def test_runs_that_came_with_ivx_are_of_these(name: str) -> None:
    assert fingerprint.of_directory(EMBEDDED / name) == SHIPPED[name]


COVERED = [
    *sorted(NAMES - {"generation_config.json", "config.json", "tokenizer_config.json"}),
    *("model.safetensors", "other.safetensors", "tokenizer.model", "spiece.model", "tokenizer.model.v3"),
    *("additional_chat_templates/tool.jinja",),
]


@pytest.mark.parametrize("own", COVERED)
@pytest.mark.parametrize("fast", [True, False], ids=["tokenizer.json", "none"])
def test_a_change_of_any_file_that_is_read_is_another_checkpoint(checkpoint: Path, own: str, fast: bool) -> None:
    if not fast:
        (checkpoint / "tokenizer.json").unlink()
    (checkpoint / own).parent.mkdir(exist_ok=True)
    found = [fingerprint.of_directory(checkpoint)]
    for written in (b"{}", b"[]", b""):
        (checkpoint / own).write_bytes(written)
        found.append(fingerprint.of_directory(checkpoint))
    assert len(set(found)) == 4
    (checkpoint / own).unlink()
    assert fingerprint.of_directory(checkpoint) not in found[1:]


@pytest.mark.parametrize("own", ["README.md", "pytorch_model.bin", "evaluation.json", "x.py", ".hidden"])
def test_what_is_not_read_is_not_covered(checkpoint: Path, own: str) -> None:
    before = fingerprint.of_directory(checkpoint)
    (checkpoint / own).write_text("x")
    assert fingerprint.of_directory(checkpoint) == before


def test_of_the_generation_config_the_ends_count(checkpoint: Path) -> None:
    own = checkpoint / "generation_config.json"
    before = fingerprint.of_directory(checkpoint)
    own.write_text(json.dumps({"eos_token_id": 2, "temperature": 0.6, "transformers_version": "5"}))
    assert fingerprint.of_directory(checkpoint) == before
    found = {before}
    for ends in ([2, 3], [3, 2], 3, None):
        own.write_text(json.dumps({"eos_token_id": ends}))
        found.add(fingerprint.of_directory(checkpoint))
        for way in ("whole", "stream"):
            assert ivx.load(str(checkpoint), weights=way).hf.generation_config.eos_token_id == ends
    assert len(found) == 5
    for told in ("2", True, 2.0, {"a": 1}, [2, "x"]):
        own.write_text(json.dumps({"eos_token_id": told}))
        with pytest.raises(CheckpointError, match=r"generation_config\.json says eos_token_id .*: copy it again"):
            ivx.load(str(checkpoint))


# What several kinds of checkpoint open


def gpt2(folder: Path) -> Path:
    """A checkpoint whose tokenizer is vocab.json and merges.txt."""
    folder.mkdir()
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters = pre_tokenizers.ByteLevel.alphabet()
    told = trainers.BpeTrainer(vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=letters)
    inner.train_from_iterator(["name the colour of the animal, and the animal of the colour"] * 9, told)
    inner.model.save(str(folder))
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=300, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=0, eos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def rich(folder: Path) -> Path:
    """tiny-sft with all that a tokenizer may have beside it."""
    shutil.copytree(EMBEDDED / "tiny-sft", folder)
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool.jinja").write_text("x")
    (folder / "special_tokens_map.json").write_text("{}")
    (folder / "added_tokens.json").write_text("{}")
    (folder / "x.py").write_text("raise SystemExit")
    return folder


def in_shards(folder: Path) -> Path:
    shutil.copytree(EMBEDDED / "tiny-sft", folder)
    sharded(folder)
    return folder


KINDS: dict[str, Callable[[Path], Path]] = {
    "fast": rich,
    "vocab and merges": gpt2,
    "shards": in_shards,
    "hub": lambda folder: hub(folder),
}


@pytest.mark.parametrize("way", ["whole", "stream"])
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_a_load_opens_is_covered(tmp_path: Path, kind: str, way: str) -> None:
    folder = KINDS[kind](tmp_path / "it")
    with watched() as seen:
        model = ivx.load(str(folder), weights=way, check=False)
    covered = set(contents_of(folder, name="it").files)
    opened = seen.under(folder)
    # The loaders of weights and of tokenizer.json open in native code, which Python does not see.
    assert {"config.json"} < opened <= covered, opened - covered
    assert model.fingerprint == fingerprint.of_directory(folder)
    held = contents_of(folder, name="it")
    with library.ALONE, watched() as seen, held.alone() as place:  # without what hashing opens
        AutoTokenizer.from_pretrained(place, local_files_only=True)
    opened = seen.under(folder)
    assert opened <= covered
    assert kind != "fast" or {"chat_template.jinja", "additional_chat_templates/tool.jinja"} <= opened


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_is_given_what_is_covered_and_no_more(tmp_path: Path, kind: str) -> None:
    """Native code, too: there is nothing else in the folder that it reads."""
    held = contents_of(KINDS[kind](tmp_path / "it"), name="it")
    places = {os.path.realpath(file.place) for file in held.files.values()}
    with held.alone(weights=True) as place:
        links = [path for path in place.rglob("*") if path.is_symlink()]
        assert links and {os.path.realpath(path) for path in links} <= places
        written = {path.name for path in place.rglob("*") if path.is_file() and not path.is_symlink()}
        documents = {"config.json", "tokenizer_config.json", "generation_config.json", "model.safetensors.index.json"}
        assert written <= documents & set(held.files)


def test_gpt2s_own_tokenizer_is_another_checkpoint(tmp_path: Path) -> None:
    """Merges in another order, with the same weights: once the same run id, and a stored wrong result."""
    folder = gpt2(tmp_path / "it")
    (before, words) = (ivx.load(str(folder), check=False) for _ in range(2))
    first, *merges = (folder / "merges.txt").read_text().splitlines()
    (folder / "merges.txt").write_text("\n".join([first, *reversed(merges)]))
    after = ivx.load(str(folder), check=False)
    assert before.fingerprint == words.fingerprint != after.fingerprint


def test_the_names_are_those_that_tokenizers_of_transformers_read() -> None:
    from transformers.models.auto import tokenization_auto as auto

    with library.ALONE:
        classes = map(auto.tokenizer_class_from_name, {*filter(None, auto.TOKENIZER_MAPPING_NAMES.values())})
        read = {
            own
            for kind in filter(None, classes)
            for base in kind.__mro__
            for own in (vars(base).get("vocab_files_names") or {}).values()
        }
    assert {"vocab.json", "merges.txt", "tokenizer.json", "spiece.model"} < read
    unknown = {own for own in read if own not in NAMES and not own.endswith(".model")}
    assert not unknown, unknown


# What was read


def later(path: Path) -> None:
    """Another byte in a file, of the same size and with its time set back."""
    before = path.stat()
    written = path.read_bytes()
    json_still = written.replace(b"\n", b" ", 1)
    path.write_bytes(json_still if path.suffix == ".json" else written[:-1] + bytes([written[-1] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("own", [WEIGHTS, "config.json", "tokenizer.json", "added_tokens.json", "new.safetensors"])
@pytest.mark.parametrize("way", ["whole", "stream", "compact"])
def test_what_changes_while_it_is_read_is_noticed(
    checkpoint: Path, own: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = library.tokenizer

    def meanwhile(folder: Path, *, name: str) -> object:
        found = read(folder, name=name)
        later(checkpoint / own) if (checkpoint / own).exists() else (checkpoint / own).write_bytes(b"{}")
        return found

    monkeypatch.setattr(library, "tokenizer", meanwhile)
    with pytest.raises(CheckpointError, match=rf"{own} was changed while it was read.*load it again"):
        ivx.load(str(checkpoint), weights=way, check=False)


def whole(checkpoint: Path) -> None:
    """The weights in the dtype of the arithmetic, as a file that could be seen through."""
    held = {name: tensor.float() for name, tensor in load_file(checkpoint / WEIGHTS).items()}
    save_file(held, checkpoint / WEIGHTS, metadata={"format": "pt"})
    configured(checkpoint, dtype="float32")


def test_a_loaded_model_is_not_its_file(checkpoint: Path) -> None:
    whole(checkpoint)
    model = ivx.load(str(checkpoint), weights="whole")
    wanted = model.hf(PROMPT).logits
    with (checkpoint / WEIGHTS).open("r+b") as file:
        file.seek((checkpoint / WEIGHTS).stat().st_size // 2)
        file.write(bytes(1_000_000))
    assert torch.equal(model.hf(PROMPT).logits, wanted)


def test_a_streamed_model_notices_that_its_file_was_written_to(checkpoint: Path) -> None:
    model = ivx.load(str(checkpoint), weights="stream")
    wanted = model.hf(PROMPT).logits
    moved = checkpoint / "moved"
    shutil.copy(EMBEDDED / "tiny-base" / WEIGHTS, moved)
    moved.replace(checkpoint / WEIGHTS)  # another file by its name: it goes on with its own
    assert torch.equal(model.hf(PROMPT).logits, wanted)
    model = ivx.load(str(checkpoint), weights="stream", check=False)
    with (checkpoint / WEIGHTS).open("r+b") as file:
        file.seek(100_000)
        file.write(bytes(1_000))
    with pytest.raises(CheckpointError, match=r"was written to since it was opened: load it again"):
        model.hf(PROMPT)
        model.hf(PROMPT)
    assert tensors.Files(checkpoint, name="it").stored


@pytest.mark.parametrize("own", [WEIGHTS, "tokenizer.json", "additional_chat_templates/tool.jinja"])
def test_a_kept_fingerprint_is_of_all_files_and_no_time_hides_a_change(
    tmp_path: Path, checkpoint: Path, own: str
) -> None:
    (checkpoint / "additional_chat_templates").mkdir()
    (checkpoint / "additional_chat_templates" / "tool.jinja").write_text("x")
    store = Store(tmp_path / "store")
    before = compute.fingerprint_of(store, str(checkpoint))
    with watched() as seen:
        assert compute.fingerprint_of(store, str(checkpoint)) == before
    assert checkpoint / WEIGHTS not in seen.opened, "it is kept"
    later(checkpoint / own)
    after = compute.fingerprint_of(store, str(checkpoint))
    assert after == fingerprint.of_directory(checkpoint) != before
    fresh = checkpoint / "fresh"
    told = (checkpoint / own).stat()
    shutil.copy(EMBEDDED / "tiny-base" / WEIGHTS, fresh)
    os.truncate(fresh, told.st_size)
    os.utime(fresh, ns=(told.st_atime_ns, told.st_mtime_ns))
    fresh.replace(checkpoint / own)
    assert compute.fingerprint_of(store, str(checkpoint)) == fingerprint.of_directory(checkpoint) != after
