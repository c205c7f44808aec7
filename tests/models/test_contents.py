"""The door of a checkpoint: which files are read of it, where links and an index may lead; refused before any opens."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import ivx
from ivx.errors import CheckpointError
from ivx.models import contents, document, door, files, library, paths
from ivx.models.contents import INDEX, WEIGHTS, contents_of
from ivx.models.prospect import prospect
from ivx.models.registry import EMBEDDED
from tests.support.checkpoints import configured
from tests.support.watch import watched

PROMPT = torch.arange(5, 17)[None]


class Poison:
    """Writes a file where it is unpickled."""

    def __init__(self, told: Path) -> None:
        self.told = str(told)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return os.mkdir, (self.told,)


def poisoned(path: Path, told: Path) -> None:
    path.write_bytes(pickle.dumps(Poison(told)))


def sharded(folder: Path, **otherwise: object) -> None:
    """The weights in two shards with an index; what `otherwise` says of a tensor comes into the index."""
    held = load_file(folder / WEIGHTS)
    names = sorted(held)
    (folder / WEIGHTS).unlink()
    index: dict[str, object] = {}
    for k, part in enumerate((names[::2], names[1::2]), 1):
        own = f"model-{k:05}-of-00002.safetensors"
        save_file({name: held[name] for name in part}, folder / own, metadata={"format": "pt"})
        index |= dict.fromkeys(part, own)
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": {**index, **otherwise}}))


def refused(folder: Path | str, *told: str) -> None:
    """Loading is refused in one sentence with these words, whichever way it would be loaded."""
    for way in ("auto",) if "+" in str(folder) else ("auto", "stream"):
        with pytest.raises(CheckpointError) as caught:
            ivx.load(str(folder), weights=way)
        assert "\n" not in str(caught.value) and all(word in str(caught.value) for word in told), caught.value


# An index

ENTRIES = {
    "the folder above": "../stray.safetensors",
    "an absolute path": "/etc/hostname",
    "a subfolder": "inner/model.safetensors",
    "through a subfolder": "inner/../model-00001-of-00002.safetensors",
    "a pickle": "pytorch_model.bin",
    "a pickle, in capitals": "stray.SAFETENSORS",
    "another way to write a path": "..\\stray.safetensors",
    "a NUL": "model-00001-of-00002.safetensors\0.bin",
    "no name": "",
    "the folder itself": ".",
    "only the ending": ".safetensors/",
    "a number": 3,
    "nothing": None,
    "a list": ["model-00001-of-00002.safetensors"],
}


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_an_index_names_safetensors_of_its_folder_alone(checkpoint: Path, entry: object) -> None:
    told = checkpoint.parent / "unpickled"
    sharded(checkpoint, **{"lm_head.weight": entry})
    shutil.copy(EMBEDDED / "tiny-base" / WEIGHTS, checkpoint.parent / "stray.safetensors")
    (checkpoint / "inner").mkdir()
    shutil.copy(EMBEDDED / "tiny-base" / WEIGHTS, checkpoint / "inner")
    poisoned(checkpoint / "pytorch_model.bin", told)
    with watched() as seen:
        refused(checkpoint, INDEX, "lm_head.weight", f"{entry!r:.80}", "save the weights again")
    assert not told.exists() and not seen.reached
    assert not any(path.suffix == ".bin" or path.name == "stray.safetensors" for path in seen.opened)


@pytest.mark.parametrize("told", ['{"weight_map": []}', "{}", '{"weight_map": {}}', "[1]", "{", '{"weight_map": 1}'])
def test_an_index_that_is_none_is_said_to_be(checkpoint: Path, told: str) -> None:
    sharded(checkpoint)
    (checkpoint / INDEX).write_text(told)
    refused(checkpoint, INDEX, "copy it again")


@pytest.mark.parametrize("way", ["whole", "stream"])
def test_shards_by_any_plain_name_are_the_same_model(checkpoint: Path, way: str) -> None:
    """Also by names that transformers takes for something else."""
    wanted = ivx.load("tiny-sft").hf(PROMPT).logits
    sharded(checkpoint)
    told = json.loads((checkpoint / INDEX).read_text())
    for k in (1, 2):
        own, other = f"model-{k:05}-of-00002.safetensors", f"shard-0000{k}-model-00001-of-00001.safetensors"
        (checkpoint / own).rename(checkpoint / other)
        told["weight_map"] = {t: other if one == own else one for t, one in told["weight_map"].items()}
    (checkpoint / INDEX).write_text(json.dumps({"weight_map": told["weight_map"]}))
    assert torch.equal(ivx.load(str(checkpoint), weights=way).hf(PROMPT).logits, wanted)


@pytest.mark.parametrize("way", ["whole", "stream", "compact"])
def test_what_no_index_names_is_not_read(checkpoint: Path, way: str) -> None:
    """Whole and streamed models take the same files: once the last by name would have had its way in one of them."""
    wanted = ivx.load("tiny-sft").hf(PROMPT).logits
    shutil.copy(EMBEDDED / "tiny-base" / WEIGHTS, checkpoint / "z.safetensors")
    assert torch.equal(ivx.load(str(checkpoint), weights=way).hf(PROMPT).logits, wanted)


@pytest.mark.parametrize("own", ["adapter_model.bin", "pytorch_model.bin", "inner/model.safetensors", "../model.bin"])
def test_a_config_names_no_weights(checkpoint: Path, own: str) -> None:
    told = checkpoint.parent / "unpickled"
    (checkpoint / own).parent.mkdir(exist_ok=True)
    poisoned(checkpoint / own, told)
    configured(checkpoint, transformers_weights=own)
    with watched() as seen:
        model = ivx.load(str(checkpoint), weights="whole")
    assert not told.exists() and not seen.reached and not any(path.suffix == ".bin" for path in seen.opened)
    assert torch.equal(model.hf(PROMPT).logits, ivx.load("tiny-sft").hf(PROMPT).logits)


def test_the_poison_would_have_worked(tmp_path: Path) -> None:
    poisoned(tmp_path / "x.bin", tmp_path / "told")
    with watched() as seen:
        pickle.loads((tmp_path / "x.bin").read_bytes())
    assert (tmp_path / "told").exists() and any("find_class" in one for one in seen.reached)


# What is no file

READ = [
    *("config.json", "generation_config.json", "model.safetensors", INDEX, "tokenizer.json", "tokenizer_config.json"),
    *("special_tokens_map.json", "vocab.json", "merges.txt", "tokenizer.model", "vocab.txt", "added_tokens.json"),
    *("chat_template.json", "chat_template.jinja", "additional_chat_templates/tool.jinja"),
]
STRANGE: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a folder": os.mkdir,
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
}


@pytest.mark.parametrize("own", READ)
@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_no_file_is_never_opened(checkpoint: Path, own: str, kind: str) -> None:
    """A pipe would be waited for without end."""
    place = checkpoint / own
    place.parent.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    STRANGE[kind](place)
    with watched() as seen:
        refused(checkpoint, own, "copy the file itself there")
        with pytest.raises(CheckpointError):
            library.tokenizer(checkpoint, name="it")
        with pytest.raises(CheckpointError):
            door.within(str(checkpoint), among=[checkpoint.parent])
    assert place not in seen.opened and Path("/dev/zero") not in seen.opened


def test_neither_is_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(EMBEDDED / "tiny-sft", tmp_path / "it"))
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("merges.txt")
        refused(folder, "merges.txt", "a pipe, a socket or a device")


@pytest.mark.parametrize("own", ["adapter_config.json", "adapter_model.safetensors"])
@pytest.mark.parametrize("kind", STRANGE)
def test_an_adapters_files_are_files(tmp_path: Path, own: str, kind: str) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "tiny-sft", "peft_type": "LORA"}')
    (folder / "adapter_model.safetensors").write_bytes(b"")
    (folder / own).unlink()
    STRANGE[kind](folder / own)
    refused(f"tiny-sft+{folder}", own)


def test_a_gguf_file_of_a_folder_is_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.gguf")
    refused(tmp_path, "x.gguf", "a pipe")
    (tmp_path / "x.gguf").unlink()
    (tmp_path / "x.gguf").symlink_to("/etc/hostname")
    refused(tmp_path, "x.gguf", "leads out of its folder")


# Links


@pytest.fixture
def nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder under no root, and a home elsewhere."""
    for name in ("home", "roots", "private"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv(paths.ROOTS, str(tmp_path / "roots"))
    return tmp_path / "private"


@pytest.mark.parametrize("own", ["config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json"])
def test_a_link_leads_nowhere_else(tmp_path: Path, nobodys: Path, own: str) -> None:
    folder = Path(shutil.copytree(EMBEDDED / "tiny-sft", tmp_path / "roots" / "it"))
    private = Path(shutil.move(folder / own, nobodys / own))
    for target in (private, os.path.relpath(private, folder)):
        (folder / own).symlink_to(target)
        with watched() as seen:
            refused(folder, own, "leads out of its folder", paths.ROOTS)
        assert not any(os.path.realpath(path) == str(private) for path in seen.opened)
        (folder / own).unlink()
    inner = folder / "kept" / "elsewhere"
    inner.parent.mkdir()
    shutil.copy(private, inner)
    (folder / own).symlink_to("kept/elsewhere")
    assert ivx.load(str(folder)).fingerprint == ivx.load("tiny-sft").fingerprint
    (folder / own).unlink()
    beside = tmp_path / "roots" / "beside"
    shutil.copy(private, beside)
    (folder / own).symlink_to(beside)
    assert door.within(str(folder), among=paths.roots()) == str(folder)
    assert ivx.load(str(folder)).fingerprint == ivx.load("tiny-sft").fingerprint
    with pytest.raises(CheckpointError, match="leads out of its folder"):
        door.within(str(folder), among=[folder])


def test_without_roots_a_link_may_lead_under_ones_home(
    tmp_path: Path, nobodys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(paths.ROOTS)
    folder = Path(shutil.copytree(EMBEDDED / "tiny-sft", tmp_path / "it"))
    (folder / WEIGHTS).rename(tmp_path / "home" / "w")
    (folder / WEIGHTS).symlink_to(tmp_path / "home" / "w")
    assert ivx.load(str(folder)).fingerprint == ivx.load("tiny-sft").fingerprint
    (tmp_path / "home" / "w").rename(nobodys / "w")
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).symlink_to(nobodys / "w")
    refused(folder, WEIGHTS, "leads out of its folder")


def hub(cache: Path, *, shared: bool = False) -> Path:
    """tiny-sft as the hub's client keeps a snapshot: links to blobs, which may be links to those that all share."""
    folder = cache / "models--org--name" / "snapshots" / "abc"
    blobs = cache / "models--org--name" / "blobs"
    folder.mkdir(parents=True)
    blobs.mkdir()
    for k, path in enumerate(sorted((EMBEDDED / "tiny-sft").iterdir())):
        if shared:
            (cache / "blobs" / "ab").mkdir(parents=True, exist_ok=True)
            shutil.copy(path, cache / "blobs" / "ab" / f"x{k}")
            (blobs / f"b{k}").symlink_to(f"../../blobs/ab/x{k}")
        else:
            shutil.copy(path, blobs / f"b{k}")
        (folder / path.name).symlink_to(f"../../blobs/b{k}")
    return folder


@pytest.mark.parametrize("shared", [False, True])
def test_a_snapshot_of_the_hub_links_to_its_blobs(tmp_path: Path, nobodys: Path, shared: bool) -> None:
    folder = hub(nobodys / "hub", shared=shared)
    assert ivx.load(str(folder)).fingerprint == ivx.load("tiny-sft").fingerprint
    if shared:
        return
    blobs = folder.parents[1] / "blobs"
    shutil.move(blobs, tmp_path / "private" / "taken")
    blobs.symlink_to(tmp_path / "private" / "taken")
    refused(folder, "leads out of its folder")


@pytest.mark.parametrize("name", ["snapshots/abc", "models--org--name/revisions/abc", "datasets--x/snapshots/abc"])
def test_what_only_looks_like_one_does_not(tmp_path: Path, nobodys: Path, name: str) -> None:
    folder = hub(nobodys / "hub")
    other = nobodys / "like" / name
    other.parent.mkdir(parents=True)
    shutil.move(folder, other)
    shutil.move(folder.parents[1] / "blobs", other.parents[1] / "blobs")
    refused(other, "leads out of its folder")


# An adapter's base


def test_a_page_judges_the_base_that_an_adapter_names(tmp_path: Path, nobodys: Path) -> None:
    folder = tmp_path / "roots" / "adapter"
    folder.mkdir()
    private = Path(shutil.copytree(EMBEDDED / "tiny-sft", nobodys / "it"))
    inside = Path(shutil.copytree(EMBEDDED / "tiny-sft", tmp_path / "roots" / "it"))
    roots = paths.roots()

    def named(base: object) -> str:
        (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
        return str(folder)

    for base in (str(private), "../../private/it", "//host/share", "file:///etc", "~/x", f"{inside}+{private}"):
        with pytest.raises(CheckpointError, match="does not lie under|a share or an address"):
            door.within(named(base), among=roots)
    for base in ("tiny-sft", "org/name", str(inside)):
        assert door.within(named(base), among=roots) == str(folder)
    for nothing in ("", 3, None, ["tiny-sft"]):
        with pytest.raises(CheckpointError, match="does not name its base model"):
            door.within(named(nothing), among=roots)
    (inside / "config.json").unlink()
    (inside / "config.json").symlink_to(private / "config.json")
    for name in (named(str(inside)), f"{inside}+{folder}"):
        with pytest.raises(CheckpointError, match=r"config\.json is a link that leads out"):
            door.within(name, among=roots)


def test_a_library_call_judges_the_base_that_an_adapter_names(tmp_path: Path, nobodys: Path) -> None:
    folder = tmp_path / "roots" / "adapter"
    folder.mkdir()
    private = Path(shutil.copytree(EMBEDDED / "tiny-sft", nobodys / "it"))
    for base in (str(private), "../../private/it", "//host/share", "file:///etc"):
        (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
        with pytest.raises(CheckpointError, match="does not lie under|a share or an address"):
            prospect(str(folder), fetch=False)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "org/name"}))
    with pytest.raises(CheckpointError, match="was trained on 'org/name', which is not here"):
        prospect(str(folder), fetch=False)


def test_what_came_from_the_hub_is_weighed_once_it_is_here(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub id's files are not here when a page asks what it may open: they are when they are about to be read."""
    monkeypatch.setattr("ivx.models.files._from_hub", lambda name, *, fetch: checkpoint)
    monkeypatch.setenv(door.MODEL_GB, "0.001")
    for name in ("org/name", str(checkpoint)):
        with pytest.raises(
            CheckpointError, match=rf"0\.0 GB of files, and this server opens up to 0\.001 GB.*{door.MODEL_GB}"
        ):
            prospect(name)
    assert prospect("tiny-sft").name == "tiny-sft", "what came with ivx is always opened"
    monkeypatch.setenv(door.MODEL_GB, "1")
    assert prospect("org/name").folder == checkpoint


def test_an_adapter_beside_the_weights_leads_to_no_other_base(checkpoint: Path, nobodys: Path) -> None:
    """transformers would read it of itself, and peft a pickle beside it."""
    told = nobodys / "unpickled"
    lora = Path(EMBEDDED.parents[1] / "taught" / "adapters" / "smollm2-sft")
    config = json.loads((lora / "adapter_config.json").read_text())
    (checkpoint / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": str(nobodys)}))
    poisoned(checkpoint / "adapter_model.bin", told)
    with contents_of(checkpoint, name="it").alone(weights=True) as place:
        assert not [path.name for path in place.iterdir() if "adapter" in path.name]
    assert library.tokenizer(checkpoint, name="it") and not told.exists()


# Documents


@pytest.mark.parametrize("own", ["config.json", "tokenizer_config.json", "generation_config.json", INDEX])
@pytest.mark.parametrize(
    "told",
    [b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 5_000 + b"1" + b"}" * 5_000, b"[]", b'{"a": ' + b"9" * 5_000 + b"}"],
    ids=["cut", "no UTF-8", "brackets", "deep", "a list", "a number without end"],
)
def test_a_document_is_read_within_bounds(checkpoint: Path, own: str, told: bytes) -> None:
    if own == INDEX:
        sharded(checkpoint)
    (checkpoint / own).write_bytes(told)
    refused(checkpoint, own)


@pytest.mark.parametrize("own", ["config.json", "tokenizer_config.json", "generation_config.json", INDEX])
def test_a_document_of_gigabytes_is_not_read(checkpoint: Path, own: str) -> None:
    if own == INDEX:
        sharded(checkpoint)
    with (checkpoint / own).open("ab") as file:
        file.truncate(contents.MOST.get(own, document.MOST) + 1)
    with watched() as seen:
        refused(checkpoint, own, "bytes")
    assert checkpoint / own not in seen.opened


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable to root")
@pytest.mark.parametrize("own", [*READ[:6], "."])
def test_what_may_not_be_read_is_said(checkpoint: Path, own: str) -> None:
    if own == INDEX:
        sharded(checkpoint)
    (checkpoint / own).chmod(0)
    try:
        refused(checkpoint)
    finally:
        (checkpoint / own).chmod(0o700)


def test_the_weights_that_are_read_are_those_that_are_judged(checkpoint: Path) -> None:
    sharded(checkpoint)
    assert files.check_weights(checkpoint, name="it").weights == [f"model-0000{k}-of-00002.safetensors" for k in (1, 2)]
