"""The door: which checkpoints may be opened here; what these would lead to is judged with them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ivx.errors import CheckpointError, IvxError
from ivx.models import paths, registry
from ivx.models.contents import ADAPTER, CONFIG, base_of, contents_of

MODEL_GB = "IVX_MODEL_GB"


def within(name: str, *, among: Sequence[Path]) -> str:
    """A checkpoint's name, as `paths.within_roots` gives it, where its files are such and its links lead nowhere else.

    Of an adapter's directory by itself the checkpoint that it names is judged likewise.

    Raises:
        CheckpointError: it lies elsewhere, one of its links or its base does, or a file of it is none.
    """
    found = paths.within_roots(name, among=among)
    if registry.embedded(found) or registry.fetched(found):
        return found
    base, adapter = paths.parts(found)
    for part in filter(None, (base, adapter)):
        if os.path.exists(os.path.expanduser(part)):  # what can be no path is none, and said where it is opened
            held = contents_of(Path(part).expanduser(), name=part, among=among)
            if adapter is None and ADAPTER in held.files and CONFIG not in held.files:
                base_within(held.folder, among=among)
    return found


def base_within(folder: Path, *, among: Sequence[Path]) -> None:
    """Judge the checkpoint that an adapter's directory says it was trained on: whoever made the adapter chose it.

    It, and where its links lead, lies under these folders, or it is one of the hub.

    Raises:
        CheckpointError: it lies elsewhere, or none is named.
    """
    base = paths.within_roots(base_of(folder), among=among)
    if Path(base).expanduser().is_dir():
        contents_of(Path(base).expanduser(), name=base, among=among)


def refuse_larger(name: str, folder: Path, *, most: float) -> None:
    """Refuse a checkpoint's, or an adapter's, files that have more gigabytes (1e9 bytes) together than `most`."""
    size = sum(file.size for file in contents_of(folder, name=name).files.values()) / 1e9
    if size > most:
        raise CheckpointError(
            f"{name[:100]!r} has {size:.1f} GB of files, and this server opens up to {most:g} GB: choose a smaller "
            f"one, or ask its owner to raise {MODEL_GB}"
        )


def largest() -> float:
    """Most gigabytes of one checkpoint's files, by the setting; infinite where nothing is set.

    Raises:
        IvxError: it is no such number.
    """
    text = os.environ.get(MODEL_GB, "").strip()
    found = -1.0
    with suppress(ValueError):
        found = float(text or "inf")
    if not found >= 0 or (text and found == float("inf")):
        raise IvxError(f"{MODEL_GB} is {text[:60]!r}: give a number of GB, such as 20")
    return found
