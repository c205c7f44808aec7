"""GGUF: a checkpoint in one file, as llama.cpp keeps them; what its header says, read within bounds.

transformers, which reads the weights, believes what a header says of itself.
"""

from __future__ import annotations

import mmap
import struct
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from ivx.errors import CheckpointError
from ivx.models.contents import judged

SUFFIX = ".gguf"
EXTRA = "ivx-explorer[gguf]"
NEEDED = ("gguf", "accelerate")
"""What transformers' reader needs besides."""
HEADER = 256_000_000
"""Most bytes of a header."""
MOST = {"keys": 65_536, "tensors": 1_000_000, "values": 4_000_000}
"""Most keys, tensors, and values of all arrays together: a vocabulary with its merges has about a million."""
KEPT = 4_096
"""The longest array of numbers that is read; longer ones are a tokenizer's."""
_MAGIC, _VERSIONS = b"GGUF", (2, 3)
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9
_PLAIN = ("F64", "F32", "F16", "BF16")
"""Types that hold numbers as they are."""


class Tensor(NamedTuple):
    """One tensor of the file: how many numbers, the name of its type, and the bytes that it takes."""

    name: str
    numbers: int
    kind: str
    size: int


@dataclass(frozen=True)
class Header:
    """What a file says of itself: its architecture, its keys (long arrays left out), and its tensors."""

    architecture: str
    keys: dict[str, Any]
    tensors: tuple[Tensor, ...]

    @property
    def quantisation(self) -> str | None:
        """The types that are dequantised, the commonest first, such as "Q4_1 and Q8_0, dequantised"; None for none."""
        found: Counter[str] = Counter()
        for tensor in self.tensors:
            found[tensor.kind] += tensor.numbers
        kinds = [kind for kind, _ in found.most_common() if kind not in _PLAIN]
        first, last = ", ".join(kinds[:-1]), kinds[-1:]
        return " and ".join(filter(None, (first, *last))) + ", dequantised" if kinds else None

    @property
    def numbers(self) -> int:
        """How many numbers all its tensors hold."""
        return sum(tensor.numbers for tensor in self.tensors)


def is_one(place: Path) -> bool:
    """Whether a checkpoint's place is a GGUF file, and no directory."""
    return place.suffix.lower() == SUFFIX and place.is_file()


def only_in(folder: Path, *, name: str) -> Path | None:
    """The GGUF file of a directory without safetensors; None where it has none. Raises where it has several."""
    try:
        within = sorted(folder.iterdir())
    except OSError as error:
        raise CheckpointError(
            f"{name}: {folder} cannot be looked into ({error.strerror}): let this user read it, or copy it again"
        ) from error
    if any(path.suffix == ".safetensors" for path in within):
        return None
    found = [path for path in within if path.suffix.lower() == SUFFIX and judged(path, name=name)]
    if len(found) > 1:
        raise CheckpointError(f"{name}: {folder} holds {len(found)} GGUF files: name one of them, as {found[0]}")
    return found[0] if found else None


def header_of(path: Path, *, name: str) -> Header:
    """What a file says of itself.

    Raises:
        CheckpointError: the packages that read it are not installed; it is broken, cut short, or one part of several.
    """
    require(name)
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = _Reader(data).header()
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise CheckpointError(f"{name}: {path} is no GGUF file that can be read ({error}): copy it again") from error
    if (parts := found.keys.get("split.count", 0)) not in (0, 1):
        raise CheckpointError(f"{name}: {path} is one of {parts} parts: join them with `llama-gguf-split --merge`")
    return found


def require(name: str) -> None:
    """Refuse a GGUF file where the packages that read it are not installed."""
    if any(find_spec(package) is None for package in NEEDED):
        raise CheckpointError(f"{name}: the packages that read a GGUF file are not here: pip install {EXTRA}")


class _Reader:
    """A file's header, read from front to back; raises `ValueError` or `struct.error` where it does not fit."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._end = min(len(data), HEADER)
        self._at = 0
        self._values = 0

    def header(self) -> Header:
        if self._bytes(4) != _MAGIC:
            raise ValueError("it does not begin with GGUF")
        version = self._number("I")
        if version not in _VERSIONS:
            raise ValueError(f"it is of version {version}, and 2 and 3 are read")
        tensors, keys = self._count("tensors"), self._count("keys")
        told: dict[str, Any] = {}
        for _ in range(keys):
            key = self._text()
            if key in told:
                raise ValueError(f"it has two values for {key:.60}")
            told[key] = self._value(self._number("I"))
        found, spans = [], []
        for _ in range(tensors):
            tensor, start = self._tensor()
            found.append(tensor)
            spans.append((start, start + tensor.size))
        align = told.get("general.alignment", 32)
        if not isinstance(align, int) or not 0 < align <= 65_536 or align & (align - 1):
            raise ValueError("its alignment is no power of two")
        start = -(-self._at // align) * align
        for tensor, (first, last) in zip(found, spans, strict=True):
            if first % align or start + last > len(self._data):
                raise ValueError(f"the tensor {tensor.name:.60} lies outside the file, which is cut short")
        if len({tensor.name for tensor in found}) < len(found):
            raise ValueError("it has two tensors of one name")
        architecture = told.get("general.architecture")
        if not isinstance(architecture, str) or not architecture:
            raise ValueError("it names no architecture")
        return Header(architecture, told, tuple(found))

    def _tensor(self) -> tuple[Tensor, int]:
        """A tensor, and where it begins behind the header."""
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

        name = self._text()
        dimensions = self._number("I")
        if not 1 <= dimensions <= 4:
            raise ValueError(f"the tensor {name:.60} has {dimensions} dimensions")
        shape = [self._number("Q") for _ in range(dimensions)]
        kind = GGMLQuantizationType(self._number("I"))
        numbers, (block, size) = prod(shape), GGML_QUANT_SIZES[kind]
        if not numbers or shape[0] % block:
            raise ValueError(f"the tensor {name:.60} is empty, or no multiple of its blocks")
        return Tensor(name, numbers, kind.name, numbers // block * size), self._number("Q")

    def _value(self, kind: int) -> Any:
        if kind in _NUMBERS:
            return self._number(_NUMBERS[kind])
        if kind == _TEXT:
            return self._text()
        if kind != _LIST:
            raise ValueError(f"it holds a value of type {kind}")
        kind, count = self._number("I"), self._number("Q")
        self._values += count
        if self._values > MOST["values"]:
            raise ValueError(f"its arrays have more than {MOST['values']:,} values")
        if kind == _TEXT:
            for _ in range(count):
                self._skip(self._number("Q"))
            return None
        code = _NUMBERS[kind]
        if count > KEPT:
            self._skip(count * struct.calcsize(code))
            return None
        return [self._number(code) for _ in range(count)]

    def _count(self, what: str) -> int:
        found = int(self._number("Q"))
        if found > MOST[what]:
            raise ValueError(f"it says that it has {found:,} {what}")
        return found

    def _number(self, code: str) -> Any:
        return struct.unpack("<" + code, self._bytes(struct.calcsize(code)))[0]

    def _text(self) -> str:
        return self._bytes(self._number("Q")).decode("utf-8")

    def _bytes(self, size: int) -> bytes:
        start = self._at
        self._skip(size)
        return self._data[start : self._at]

    def _skip(self, size: int) -> None:
        if size > self._end - self._at:
            raise ValueError("its header is cut short, or longer than it may be")
        self._at += size
