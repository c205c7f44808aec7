"""GGUF files that are cut, or lie."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from tests.hostile.case import Case, Harm

WHY = "reads beyond the file, memory without end, or another model than it says"
NO_FILE = "no GGUF file that can be read"


def bytes_(change: Callable[[bytes], bytes]) -> Harm:
    """Other bytes in the file."""

    def done(folder: Path) -> None:
        path = folder / "packed.gguf"
        path.write_bytes(change(path.read_bytes()))

    return done


def cut(percent: int) -> Callable[[bytes], bytes]:
    """So much of a file."""
    return lambda data: data[: len(data) * percent // 100]


def put(at: int, code: str, value: int) -> Harm:
    """Another number at a place."""
    told = struct.pack("<" + code, value)
    return bytes_(lambda data: data[:at] + told + data[at + len(told) :])


def key(name: str, value: int) -> Harm:
    """Another value of a key that holds a whole number."""
    return _behind(name, struct.pack("<II", 4, value))


def kind(name: str, value: int) -> Harm:
    """Another type of a key."""
    return _behind(name, struct.pack("<I", value))


def _behind(name: str, told: bytes) -> Harm:
    def changed(data: bytes) -> bytes:
        at = data.index(struct.pack("<Q", len(name)) + name.encode()) + 8 + len(name)
        return data[:at] + told + data[at + len(told) :]

    return bytes_(changed)


def text(old: bytes, new: bytes) -> Harm:
    """Other words of the same length."""
    assert len(old) == len(new)
    return bytes_(lambda data: data.replace(old, new, 1))


def cases() -> list[Case]:
    """All of them."""
    packed: list[tuple[str, Harm, str]] = [
        ("another mark", put(0, "I", 1), NO_FILE),
        ("another version", put(4, "I", 99), NO_FILE),
        ("as many tensors as there can be", put(8, "Q", 2**64 - 1), NO_FILE),
        ("no tensors", put(8, "Q", 0), "holds 0 numbers|GGUF|" + NO_FILE),
        ("as many keys as there can be", put(16, "Q", 2**64 - 1), NO_FILE),
        ("no keys", put(16, "Q", 0), NO_FILE),
        ("nothing", bytes_(lambda data: b""), NO_FILE),
        ("its mark alone", bytes_(lambda data: data[:4]), NO_FILE),
        *((f"cut at {part} %", bytes_(cut(part)), NO_FILE) for part in (1, 10, 30, 60, 99)),
    ]
    return [Case(f"GGUF, {what}", WHY, harm, told, opened="packed.gguf") for what, harm, told in packed]
