"""A vector's file: what a command and a page offer of a run that holds vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from ivx.analyses.base import Extra
from ivx.errors import IvxError
from ivx.formats.vector import OPERATIONS, Vector, check_name
from ivx.models import document

EXTRAS = {
    "save": Extra("write one vector to FILE.safetensors, or to FILE.gguf, a control vector of llama.cpp", "FILE"),
    "layer": Extra("of the saved vector", "NUMBER"),
    "operation": Extra(
        "of the saved vector: overwrite (a mean state), or add (a difference, or a function vector)", "NAME"
    ),
}


class Source(Protocol):
    """A result that vectors can be taken from."""

    @property
    def layers(self) -> int: ...
    @property
    def receipt(self) -> dict[str, Any]: ...
    def vector(self, layer: int, *, operation: str) -> Vector: ...


def check(default: str, *, save: str | None, layer: str | None, operation: str | None) -> None:
    """Refuse what names no vector, before anything is computed."""
    if save is None:
        if layer is not None or operation is not None:
            raise IvxError("--layer and --operation are of a vector that is saved: name a file with --save")
        return
    check_name(Path(save))
    if layer is None or not layer.isdecimal():
        raise IvxError(f"--save {save}: say of which layer with --layer, a whole number from 0")
    if (operation or default) not in OPERATIONS:
        raise IvxError(f"--operation {operation}: choose {' or '.join(OPERATIONS)}")


def write(found: Source, default: str, *, save: str | None, layer: str | None, operation: str | None) -> None:
    """Write the vector that a command names."""
    if save is not None and layer is not None:
        found.vector(int(layer), operation=operation or default).save(save, hint=hint(found))


def hint(found: Source) -> str:
    """The architecture of a run's checkpoint as its config names it; empty where that is not at hand."""
    folder = Path(str(found.receipt["checkpoint"].get("source", "")))
    try:
        told = document.read(folder / "config.json", name=folder.name)
    except (IvxError, OSError):
        return ""
    return str(told.get("model_type", ""))[:60].replace("_", "")
