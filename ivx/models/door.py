"""The door of the app: which checkpoints a page may open; what these would lead to is judged with them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ivx.models import paths, registry
from ivx.models.contents import ADAPTER, CONFIG, base_of, contents_of


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
                _base_within(held.folder, among)
    return found


def _base_within(folder: Path, among: Sequence[Path]) -> None:
    base = paths.within_roots(base_of(folder), among=among)
    if Path(base).expanduser().is_dir():
        contents_of(Path(base).expanduser(), name=base, among=among)
