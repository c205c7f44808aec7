"""What is read of a checkpoint's folder: found, and judged, before any of it is opened.

Files are read that transformers or ivx know by name, and no others: what reads a checkpoint is given a folder that
holds these alone, with the liberties taken out of their documents, so that a name that somebody thought of, an adapter
that lies beside the weights, or a pickle is not there for it.

A file is one: no pipe, no device, no folder. A link leads into the checkpoint's own folder, to the blobs of the hub's
cache that the folder is a snapshot in, or under one of the directories that may be read: the app's roots; in Python and
on the command line `IVX_ROOTS`, or else the working directory and one's home.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ivx import scratch
from ivx.errors import CheckpointError
from ivx.models import document, liberties, paths

CONFIG, GENERATION, TOKENIZER = "config.json", "generation_config.json", "tokenizer_config.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
ADAPTER, ADAPTED = "adapter_config.json", "adapter_model.safetensors"
TEMPLATES = "additional_chat_templates"
NAMES = frozenset(
    {
        *(CONFIG, GENERATION, TOKENIZER, INDEX, ADAPTER),
        *("tokenizer.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"),
        *("vocab.json", "merges.txt", "vocab.txt", "bpe.codes", "dict.txt", "normalizer.json"),
        *("chat_template.json", "tekken.json"),
        *("emoji.json", "byte_maps.json", "entity_vocab.json", "word_shape.json", "word_pronunciation.json"),
        *("vocab-src.json", "vocab-tgt.json", "target_vocab.json", "source.spm", "target.spm", "prophetnet.tokenizer"),
    }
)
"""Documents and vocabularies, as the tokenizers of transformers name theirs."""
_LIKE = re.compile(r".*\.(safetensors|model)|tokenizer\.model\..*")
"""Weights, and the models of SentencePiece and tiktoken, by whatever name."""
MOST = {INDEX: 64_000_000, TOKENIZER: 32_000_000, GENERATION: 1_000_000}
"""Most bytes of a document, where it is another number than a config's."""
_SHARD = re.compile(r"[^/\\\0]+\.safetensors")
_CURE = "copy the file itself there"


class File(NamedTuple):
    """A file of a checkpoint: where it lies, links followed, and what tells it from another: its size, when it was
    written and touched (nanoseconds), and its inode."""

    place: Path
    size: int
    written: int
    touched: int
    inode: int


@dataclass(frozen=True)
class Contents:
    """The files that are read of a folder, by their names in it; of a GGUF file, that one.

    Attributes:
        name: the checkpoint's, for what is said of it.
    """

    folder: Path
    files: Mapping[str, File]
    name: str

    def document(self, own: str) -> dict[str, Any]:
        """What a JSON document of it says, whole; raises `CheckpointError` where it cannot be read."""
        return document.read(self.folder / own, name=self.name, most=MOST.get(own, document.MOST))

    @property
    def weights(self) -> list[str]:
        """The files that hold its weights, as transformers chooses them: the one; else those of the index; else all.

        Raises:
            CheckpointError: the index cannot be read, or names anything but safetensors files of this folder.
        """
        listed = sorted(set(self.index.values())) if INDEX in self.files else []
        if WEIGHTS in self.files:
            return [WEIGHTS]
        return listed or [own for own in self.files if own.endswith(".safetensors")]

    @property
    def index(self) -> dict[str, str]:
        """By tensor, the file that its index says it is in."""
        place = self.folder / INDEX
        told = self.document(INDEX).get("weight_map")
        if not isinstance(told, dict) or not told:
            raise CheckpointError(f"{self.name}: {place} is not a readable index of shards: copy it again")
        for tensor, own in told.items():
            if not isinstance(own, str) or not _SHARD.fullmatch(own):
                raise CheckpointError(
                    f"{self.name}: {place} says that {tensor:.60} is in {own!r:.80}, and a shard is a safetensors file "
                    "of the same folder, by its name alone: save the weights again with save_pretrained"
                )
            if own not in self.files:
                raise CheckpointError(f"{self.name}: {own} is missing from {self.folder}: copy it again")
        return told

    def refuse_change(self) -> None:
        """Refuse a checkpoint whose files are not those that were found at first."""
        now = contents_of(self.folder, name=self.name).files
        for own in sorted({*self.files, *now}):
            if self.files.get(own) != now.get(own):
                raise CheckpointError(
                    f"{self.name}: {self.folder / own} was changed while it was read, so that nobody could say what "
                    "was: load it again when nothing writes there"
                )

    @contextmanager
    def alone(self, *, weights: bool = False) -> Iterator[Path]:
        """A folder with what is read and nothing else, for transformers: links to the files, and documents of which
        the liberties were taken; with the weights where they are asked for."""
        with scratch.folder("checkpoint") as made:
            shards = self._shards() if weights else {}
            for own, file in self.files.items():
                there = Path(made, own)
                there.parent.mkdir(exist_ok=True)
                if own in (CONFIG, TOKENIZER, GENERATION):
                    there.write_text(json.dumps(self._judged(own)), encoding="utf-8")
                elif own in shards:
                    Path(made, shards[own]).symlink_to(file.place)
                elif own not in (INDEX, ADAPTER) and not own.endswith(".safetensors"):
                    there.symlink_to(file.place)
            if weights and WEIGHTS not in shards.values():
                told = {tensor: shards[own] for tensor, own in self.index.items()}
                Path(made, INDEX).write_text(json.dumps({"metadata": {}, "weight_map": told}), encoding="utf-8")
            yield Path(made)

    @contextmanager
    def adapter_alone(self) -> Iterator[Path]:
        """As `alone`, with an adapter's two files."""
        with scratch.folder("adapter") as made:
            told = liberties.taken_away(self.document(ADAPTER))
            Path(made, ADAPTER).write_text(json.dumps(told), encoding="utf-8")
            Path(made, ADAPTED).symlink_to(self.files[ADAPTED].place)
            yield Path(made)

    def ends(self) -> Any:
        """The tokens that end a text, as generation_config.json says: all that is read of it."""
        told = self.document(GENERATION).get("eos_token_id")
        if not all(type(one) is int for one in (told if isinstance(told, list) else [] if told is None else [told])):
            raise CheckpointError(
                f"{self.name}: {self.folder / GENERATION} says eos_token_id {told!r:.40}, which is neither the number "
                "of a token nor a list of such: copy it again"
            )
        return told

    def _judged(self, own: str) -> dict[str, Any]:
        return {"eos_token_id": self.ends()} if own == GENERATION else liberties.taken_away(self.document(own))

    def _shards(self) -> dict[str, str]:
        """By the names of its weights, those by which transformers takes them for nothing else."""
        found = self.weights
        if len(found) == 1:
            return {found[0]: WEIGHTS}
        if INDEX not in self.files:
            raise CheckpointError(
                f"{self.name}: {self.folder} holds {len(found)} safetensors files and no {INDEX}, so that nobody can "
                "say which of them are its weights: copy the index, too"
            )
        return {own: f"model-{k:05}-of-{len(found):05}.safetensors" for k, own in enumerate(found, 1)}


def contents_of(folder: Path, *, name: str, among: Sequence[Path] | None = None) -> Contents:
    """The files that are read of a checkpoint's or an adapter's folder, or of a GGUF file; nothing is opened.

    Args:
        among: resolved directories under which its links may lead; by default those that Python may read.

    Raises:
        CheckpointError: the folder cannot be looked into; in the place of one of them is none, or a link leads out.
    """
    if folder.is_file():
        return Contents(folder, {folder.name: _file(folder, [folder.resolve().parent], name)}, name)
    try:
        found = [own for own in os.listdir(folder) if own in NAMES or _LIKE.fullmatch(own)]
        if (folder / TEMPLATES).is_dir():
            found += [f"{TEMPLATES}/{own}" for own in os.listdir(folder / TEMPLATES) if own.endswith(".jinja")]
    except FileNotFoundError as error:
        raise CheckpointError(f"{name}: there is no {folder}: name a directory that is there") from error
    except OSError as error:
        raise CheckpointError(
            f"{name}: {folder} cannot be looked into ({error.strerror}): let this user read it, or copy it again"
        ) from error
    allowed = _allowed(folder, among)
    return Contents(folder, {own: _file(folder / own, allowed, name) for own in sorted(found)}, name)


def base_of(folder: Path) -> str:
    """The name of the checkpoint that an adapter's directory says it was trained on.

    Raises:
        CheckpointError: it does not say.
    """
    base = contents_of(folder, name=str(folder)).document(ADAPTER).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise CheckpointError(
            f"the adapter in {folder} does not name its base model in {ADAPTER}: give the base as the checkpoint, and "
            "this directory as its adapter"
        )
    return base


def judged(path: Path, *, name: str, among: Sequence[Path] | None = None) -> File:
    """One file of a folder, judged as all of them are; raises as `contents_of` does."""
    return _file(path, _allowed(path.parent, among), name)


def _allowed(folder: Path, among: Sequence[Path] | None) -> list[Path]:
    own = folder.resolve()
    return [own, *_blobs(own), *(paths.readable() if among is None else among)]


def _blobs(folder: Path) -> list[Path]:
    """Where the files of a snapshot in a hub's cache lie: its repository's blobs, and those that all share."""
    repository = folder.parent.parent
    if folder.parent.name != "snapshots" or not repository.name.startswith("models--"):
        return []
    return [repository / "blobs", repository.parent / "blobs"]


def _file(path: Path, allowed: Sequence[Path], name: str) -> File:
    try:
        place = path.resolve(strict=True)
        found = place.stat()
    except (OSError, RuntimeError) as error:  # a link to nothing, a loop of links, a folder that may not be entered
        told = getattr(error, "strerror", None) or "it leads in a circle"
        raise CheckpointError(f"{name}: {path} cannot be reached ({told}): {_CURE}") from error
    if not any(place.is_relative_to(root) for root in allowed):
        raise CheckpointError(
            f"{name}: {path} is a link that leads out of its folder, to where ivx may not read: {_CURE}, or set "
            f"{paths.ROOTS} to a directory that holds both"
        )
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe, a socket or a device"
        raise CheckpointError(f"{name}: {path} is {kind} in the place of a file: {_CURE}")
    return File(place, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
