"""A checkpoint's JSON documents, read within bounds: a stranger's may be vast, deep, contradictory, or no file."""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any

from ivx.errors import CheckpointError

MOST = 4_000_000
"""Most bytes of a document that describes."""
VAST = 200_000_000
"""Most bytes of one that holds a vocabulary, or an index of tensors."""
DEEPEST = 40
"""Most braces and brackets within one another."""
CURE = "copy it again"


def read(path: Path, *, name: str, most: int = MOST) -> dict[str, Any]:
    """What a document says.

    Raises:
        CheckpointError: it is no file, cannot be read, has more than `most` bytes, is no JSON object in UTF-8, is
        nested too deeply, says something twice, or holds a number that is none.
    """
    about = f"{name}: {path}"
    try:
        written = text(path, name=name, most=most)
        told = json.loads(written, object_pairs_hook=_once, parse_float=_number, parse_constant=_number)
    except RecursionError as error:
        raise CheckpointError(f"{about} is nested more than {DEEPEST} deep: {CURE}") from error
    except ValueError as error:
        raise CheckpointError(f"{about} is not readable JSON ({str(error):.200}): {CURE}") from error
    if not isinstance(told, dict):
        raise CheckpointError(f"{about} is not readable JSON with names and values at its top: {CURE}")
    if _depth(told) > DEEPEST:
        raise CheckpointError(f"{about} is nested more than {DEEPEST} deep: {CURE}")
    return told


def text(path: Path, *, name: str, most: int = MOST) -> str:
    """What is written in a file; raises `CheckpointError` as `read` does."""
    about = f"{name}: {path}"
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise CheckpointError(f"{about} is no file: {CURE}")
        if found.st_size > most:
            raise CheckpointError(f"{about} has {found.st_size:,} bytes, and at most {most:,} are read: {CURE}")
        with path.open("rb") as file:
            return file.read(most).decode("utf-8")
    except OSError as error:
        raise CheckpointError(f"{about} cannot be read ({error.strerror}): let this user read it, or {CURE}") from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{about} is not readable text (no UTF-8 at byte {error.start}): {CURE}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The names and values of an object; of a name that is there twice, one reader takes this and another that."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in found if names.count(key) > 1)
        raise ValueError(f"it says {twice[:40]!r} twice")
    return found


def _number(told: str) -> float:
    found = float(told)
    if not math.isfinite(found):
        raise ValueError(f"it holds {told:.40}, which is no number")
    return found


def _depth(told: Any) -> int:
    """How many objects and lists lie within one another, as far as that is asked."""
    deep, level = 0, [told]
    while level and deep <= DEEPEST:
        below: list[Any] = []
        for one in level:
            within = list(one.values()) if isinstance(one, dict) else one
            below += [value for value in within if isinstance(value, dict | list)]
        deep, level = deep + 1, below
    return deep
