"""Shards: a run's rows, in immutable Parquet files that are named by what they hold.

A shard `000007-1f0c….parquet` is good if, and only if, the hash of its bytes is the one in its name: no list of shards
can go stale. Its schema names the run, so that no shard passes for another run's.
"""

from __future__ import annotations

import hashlib
import os
import re
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ivx.confined import decode as decoding
from ivx.errors import IvxError
from ivx.store import files
from ivx.store.files import Damaged

NAME = re.compile(r"([0-9]{6,12})-([0-9a-f]{16})\.parquet")

BYTES = 256_000_000
"""Limit of one shard's file."""
UNPACKED = 2_000_000_000
"""Limit of one shard's bytes in memory."""
ROWS = 20_000_000
COLUMNS = 64
LIMITS = decoding.Limits(ROWS, COLUMNS, groups=10_000, unpacked=UNPACKED, text=None, values=10_000_000)

_RUN = b"ivx.run"


def names(folder: Path) -> list[str]:
    """Names of the shards in a folder, oldest first; anything else that lies there is passed over."""
    found = [match for match in map(NAME.fullmatch, files.names(folder)) if match]
    return [match[0] for match in sorted(found, key=lambda match: (int(match[1]), match[2]))]


def write(folder: Path, table: pa.Table, *, run: str) -> str:
    """Write a table as the next shard of a run; returns its name. Metadata of the table's schema are not kept."""
    data = encode(table, run=run)
    if len(data) > BYTES or table.num_rows > ROWS or table.num_columns > COLUMNS or table.nbytes > UNPACKED:
        raise IvxError(f"{table.num_rows:,} rows of {table.num_columns} columns are too many for a shard: write fewer")
    last = names(folder)[-1:]
    serial = int(last[0].split("-")[0]) + 1 if last else 0
    name = f"{serial:06d}-{digest(data)}.parquet"
    files.write(folder / name, data)
    return name


def read(path: Path, *, run: str) -> pa.Table:
    """The rows of a shard of `run`; raises `Damaged`, or FileNotFoundError. Only bytes that match are decoded."""
    data = files.read(path, limit=BYTES)
    if digest(data) != _promised(path):
        raise Damaged("does not hold what its name says")
    table = decode(data)
    if (table.schema.metadata or {}).get(_RUN) != run.encode():
        raise Damaged("belongs to another run")
    return table.replace_schema_metadata(None)


def rows(path: Path, *, run: str) -> int:
    """Number of rows of a shard of `run`, none of which is decoded; raises `Damaged`, or FileNotFoundError."""
    data = files.read(path, limit=BYTES)
    if digest(data) != _promised(path):
        raise Damaged("does not hold what its name says")
    try:
        told = pq.read_metadata(pa.BufferReader(data))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Damaged("is not readable as Parquet") from error
    if (told.metadata or {}).get(_RUN) != run.encode():
        raise Damaged("belongs to another run")
    return int(told.num_rows)


def verify(path: Path) -> int:
    """Bytes of a shard whose content matches its name; raises `Damaged`, or FileNotFoundError.

    A file that was verified and not touched since is not read again.
    """
    try:
        found = os.lstat(path)
    except NotADirectoryError:
        raise FileNotFoundError(path) from None
    stamp = (found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    if _digest_at(path, stamp) != _promised(path):
        raise Damaged("does not hold what its name says")
    return found.st_size


def encode(table: pa.Table, *, run: str) -> bytes:
    """A table as Parquet, compressed by Zstandard."""
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({_RUN: run.encode()}), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def decode(data: bytes) -> pa.Table:
    """A table from bytes that may be hostile; raises `Damaged` past the limits, and for types that no row has."""
    try:
        return decoding.decode(data, LIMITS, fits=_check_types)
    except decoding.Unfit as reason:
        raise Damaged(str(reason)) from reason


def digest(data: bytes) -> str:
    """The hash that a shard's name ends with: 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]


def _promised(path: Path) -> str:
    match = NAME.fullmatch(path.name)
    return match[2] if match else ""


@lru_cache(maxsize=100_000)
def _digest_at(path: Path, stamp: tuple[int, ...]) -> str:
    """The hash of a file's bytes; the stamp is there to tell one state of the file from the next."""
    return digest(files.read(path, limit=BYTES))


def _check_types(schema: pa.Schema) -> None:
    strange = [field.name for field in schema if not _plain(field.type)]
    if strange:
        raise decoding.Unfit(f"has columns of unknown type ({', '.join(strange)[:100]})")


def _plain(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind):
        kind = kind.value_type
        return pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return any(
        is_kind(kind)
        for is_kind in (pa.types.is_integer, pa.types.is_floating, pa.types.is_string, pa.types.is_boolean)
    )
