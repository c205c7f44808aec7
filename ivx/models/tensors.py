"""The tensors of a checkpoint's files, read piece by piece, each in the dtype that it is stored in.

A mapped file would count as the process's memory as soon as it is touched; so pieces are read, into memory that is used
again. The header of a file says what is where, and is checked against the file's length before anything is read.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ivx.errors import CheckpointError
from ivx.models.contents import contents_of

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""The dtypes of the format that a checkpoint in floating point has."""
HEADER = 100_000_000
"""Most bytes of a header, as the format's own library has it."""


@dataclass(frozen=True)
class Stored:
    """Where a tensor lies."""

    path: Path
    dtype: torch.dtype
    shape: tuple[int, ...]
    offset: int

    @property
    def row(self) -> int:
        """Bytes of one step along the first axis."""
        size = self.dtype.itemsize
        for length in self.shape[1:]:
            size *= length
        return size

    @property
    def size(self) -> int:
        """Bytes of the whole."""
        return self.row * (self.shape[0] if self.shape else 1)


class Piece(NamedTuple):
    """Some rows of a tensor, `start` to `stop` along its first axis."""

    name: str
    start: int = 0
    stop: int | None = None


class Files:
    """The tensors of a directory, by name.

    Args:
        own: a tensor's name as it is meant here, by its name in the files; None where it is of no concern.
    """

    def __init__(self, folder: Path, *, name: str, own: Callable[[str], str | None] = str) -> None:
        self._open: dict[Path, int] = {}
        self._seen: dict[Path, tuple[int, int, int]] = {}
        self.stored = {
            tensor: where
            for shard in contents_of(folder, name=name).weights
            for tensor, where in _in(folder / shard, name, own)
        }
        for path in {where.path for where in self.stored.values()}:
            # Kept open from now on, so that it stays the file whose header was read, whatever takes its name.
            self._open[path] = os.open(path, os.O_RDONLY)
            self._seen[path] = _state(self._open[path])
        self._rooms = threading.local()

    def read(self, piece: Piece) -> Tensor:
        """A piece; the next one that the same thread reads takes its memory."""
        stored = self.stored[piece.name]
        stop = piece.stop if piece.stop is not None else (stored.shape[0] if stored.shape else 1)
        size = stored.row * (stop - piece.start)
        held = getattr(self._rooms, "held", None)
        if held is None or len(held) < size:
            held = self._rooms.held = torch.empty(size, dtype=torch.uint8)
        room, done = memoryview(held.numpy().data)[:size], 0
        while done < size:
            got = os.preadv(self._open[stored.path], [room[done:]], stored.offset + stored.row * piece.start + done)
            if not got or _state(self._open[stored.path]) != self._seen[stored.path]:
                raise CheckpointError(f"{stored.path} was written to since it was opened: load it again")
            done += got
        shape = (stop - piece.start, *stored.shape[1:]) if stored.shape else ()
        return held[:size].view(stored.dtype).view(shape)

    def rows(self, name: str, which: list[int]) -> Tensor:
        """Some rows of a tensor, in this order."""
        return torch.stack([self.read(Piece(name, row, row + 1))[0].clone() for row in which])

    def __del__(self) -> None:
        for file in self._open.values():
            os.close(file)


class Memory:
    """The same tensors, held in memory in the dtype of the file."""

    def __init__(self, files: Files, device: torch.device, names: set[str]) -> None:
        self.stored = {name: files.stored[name] for name in names}
        self._held = {name: files.read(Piece(name)).to(device, copy=True) for name in sorted(names)}

    @property
    def size(self) -> int:
        """Bytes of all."""
        return sum(held.nbytes for held in self._held.values())

    def read(self, piece: Piece) -> Tensor:
        """A piece; it is not to be changed."""
        held = self._held[piece.name]
        return held[piece.start : piece.stop] if held.ndim else held

    def rows(self, name: str, which: list[int]) -> Tensor:
        """Some rows of a tensor, in this order."""
        held = self._held[name]
        return held.index_select(0, torch.tensor(which, device=held.device))


def _state(file: int) -> tuple[int, int, int]:
    """What tells a file that was written to from what it was."""
    found = os.fstat(file)
    return found.st_size, found.st_mtime_ns, found.st_ino


def _in(path: Path, name: str, own: Callable[[str], str | None]) -> Iterator[tuple[str, Stored]]:
    """The tensors of one file; raises `CheckpointError` where its header does not fit its length."""
    length = path.stat().st_size
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > min(HEADER, length):
                raise ValueError("its header is longer than the file")
            header: dict[str, Any] = json.loads(file.read(size))
        for tensor, told in header.items():
            here = None if tensor == "__metadata__" else own(tensor)
            if here is None:
                continue
            if told["dtype"] not in DTYPES:
                raise CheckpointError(
                    f"{name}: {tensor} is stored as {told['dtype']:.20}, which cannot be streamed: load it whole, or "
                    "save it again in floating point"
                )
            start, stop = told["data_offsets"]
            found = Stored(path, DTYPES[told["dtype"]], tuple(map(int, told["shape"])), 8 + size + start)
            if not 0 <= start <= stop <= length - 8 - size or found.size != stop - start:
                raise ValueError(f"{tensor} lies outside the file")
            yield here, found
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{name}: {path} is broken ({error}): copy it again") from error
