"""What lies in a folder, as far as checkpoints go: told by the names of files, none of which is opened."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ivx.errors import CheckpointError
from ivx.models.contents import ADAPTER

MOST = 2_000
"""Entries of a folder that are looked at."""
KINDS = ("safetensors", "GGUF", "adapter", "folder")


@dataclass(frozen=True)
class Entry:
    """One thing in a folder: a checkpoint of a kind, with the bytes of its weights; or a folder that may hold some."""

    path: Path
    kind: str
    size: int = 0


def entries(folder: Path, *, among: Sequence[Path]) -> list[Entry]:
    """The checkpoints, adapters and further folders in a folder; left out are hidden ones, all other files, and what a
    link leads to outside of the resolved folders `among`, which is not looked at.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        with os.scandir(folder) as found:
            within = [one for one, _ in zip(found, range(MOST), strict=False) if not one.name.startswith(".")]
        inside = [path for one in within if any((path := Path(one.path)).resolve().is_relative_to(r) for r in among)]
        told = [entry for path in inside if (entry := _entry(path)) is not None]
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be looked into ({error.strerror}): choose another folder") from error
    return sorted(told, key=lambda entry: (KINDS.index(entry.kind), entry.path.name.lower()))


def kind_of(folder: Path) -> Entry | None:
    """What a folder itself is, where it is a checkpoint or an adapter."""
    try:
        files = {one.name: one for one in folder.iterdir() if one.is_file()}
        weights = [one for name, one in files.items() if name.endswith(".safetensors")]
        size = sum(one.stat().st_size for one in weights)
    except OSError:
        return None
    if ADAPTER in files:
        return Entry(folder, "adapter", size)
    return Entry(folder, "safetensors", size) if weights and "config.json" in files else None


def _entry(path: Path) -> Entry | None:
    if path.is_dir():
        return kind_of(path) or Entry(path, "folder")
    return Entry(path, "GGUF", path.stat().st_size) if path.suffix == ".gguf" and path.is_file() else None
