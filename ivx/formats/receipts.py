"""Receipts that come from elsewhere: every field that anything shows is checked, and any other is left out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Any

from ivx.formats.checks import LARGEST, boolean, each, keys, maybe, refuse, text, whole
from ivx.formats.samples import MAX_SAMPLES, MAX_WARNINGS
from ivx.stats.following import Following

MAX_WORD = 200
"""Characters of a name, a version, a number format, a device."""
LONGEST = 1e9
"""Seconds of the longest run: thirty years."""
ROWS = 2**40
_ID = re.compile(r"[0-9a-f]{12}")
_SPACES = "\n\t"
_TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Marks that turn the direction of what follows, so that a text reads as another."""


def receipt_read(told: dict[str, Any]) -> dict[str, Any]:
    """The fields that are known, each of its type, range and length; raises `IvxError`. None is missing that every
    receipt has."""
    lacking = [name for name in _EVERY if name not in told]
    if lacking:
        refuse(f"receipt, {lacking[0]}", "there")
    for name, read in {**_EVERY, **_SOME}.items():
        if name in told:
            read(told[name], f"receipt, {name}")
    return {name: value for name, value in told.items() if name in _EVERY or name in _SOME}


def word(told: Any, what: str) -> str:
    """A short text of one line, in which nothing is hidden."""
    if not isinstance(told, str) or not 0 < len(told) <= MAX_WORD or not told.isprintable():
        refuse(what, f"a text of 1 to {MAX_WORD} characters that can be printed")
    return told


def prose(told: Any, what: str) -> str:
    """A text without control characters, or marks that turn its direction."""
    text(told, what)
    if any((unicodedata.category(c) == "Cc" and c not in _SPACES) or c in _TURNS for c in told):
        refuse(what, "a text without control characters")
    return str(told)


def bounded(most: float) -> Callable[[Any, str], float]:
    """A check for a number from 0 to `most`."""

    def read(told: Any, what: str) -> float:
        if type(told) not in (int, float) or not 0 <= told <= most:
            refuse(what, f"a number from 0 to {most:g}")
        return float(told)

    return read


def _run(told: Any, what: str) -> None:
    if not isinstance(told, str) or not _ID.fullmatch(told):
        refuse(what, "12 hexadecimal digits")


def _object(told: Any, what: str) -> None:
    if not isinstance(told, dict):
        refuse(what, "an object")


def _checkpoint(told: Any, what: str) -> None:
    _object(told, what)
    for name, value in told.items():
        if name == "fingerprint":
            if not isinstance(value, str) or not re.fullmatch(r"[0-9a-zA-Z+:._-]{1,200}", value):
                refuse(f"{what}, {name}", "letters and digits")
        elif name in ("name", "part", "quantisation", "merged"):
            prose(value, f"{what}, {name}")


def _versions(told: Any, what: str) -> None:
    _object(told, what)
    if len(told) > MAX_WARNINGS or not {"ivx", "torch", "transformers"} <= set(told):
        refuse(what, "packages and their versions")
    for name, version in told.items():
        word(name, what)
        word(version, f"{what}, {name}")


def _check(told: Any, what: str) -> None:
    keys(told, "name", "passed", "deviation", "tolerance", "detail", what=what)
    boolean(told["passed"], f"{what}, passed")
    word(told["name"], f"{what}, name")
    prose(told["detail"], f"{what}, detail")
    for name in ("deviation", "tolerance"):
        maybe(told[name], f"{what}, {name}", bounded(LARGEST))


def _following(told: Any, what: str) -> None:
    if told is None:
        return
    keys(told, *Following._fields, what=what)
    for name, count in told.items():
        whole(count, f"{what}, {name}", 0, MAX_SAMPLES)


_EVERY: dict[str, Callable[[Any, str], Any]] = {
    "run": _run,
    "kind": word,
    "request": _object,
    "checkpoint": _checkpoint,
    "task": prose,
    "dtype": word,
    "device": word,
    "engine": word,
    "versions": _versions,
    "checks": lambda told, what: each(told, what, _check, most=MAX_WARNINGS),
    "warnings": lambda told, what: each(told, what, prose, most=MAX_WARNINGS),
    "how": prose,
    "rows": lambda told, what: whole(told, what, 0, ROWS),
    "samples": lambda told, what: whole(told, what, 0, MAX_SAMPLES),
    "seconds": bounded(LONGEST),
}
_SOME: dict[str, Callable[[Any, str], Any]] = {
    "weights": word,
    "contrast": lambda told, what: maybe(told, what, prose),
    "control": lambda told, what: maybe(told, what, prose),
    "asked": lambda told, what: maybe(told, what, prose),
    "patch": lambda told, what: maybe(told, what, prose),
    "following": _following,
    "chance": bounded(1.0),
    "origin": _run,
    "imported": boolean,
    "begun_by": _run,
    "resumed_rows": lambda told, what: whole(told, what, 0, ROWS),
}
