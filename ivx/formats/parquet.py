"""Rows as Parquet: written with their receipt, and read from a stranger's file without trusting one byte of it.

A small Parquet file can ask for any amount of memory: its pages may claim to hold billions of equal values. So a
stranger's is decoded in a process of its own, bounded in memory and time; only rows of the expected types come back.
"""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ivx.errors import IvxError

RECEIPT_KEY = b"ivx"
"""Of the file's metadata: the receipt, as JSON."""
MAX_ROWS = 5_000_000
MAX_GROUPS = 10_000
MAX_BYTES = 1_000_000_000
"""Of all columns, uncompressed."""
MAX_TEXT = 400
"""Characters in one cell; a patch set of several addresses is the longest there is."""
MAX_LIST = 100
"""Values in one cell of a list column, unless its kind says otherwise."""
MEMORY_BYTES = 4 * 2**30
SECONDS = 60


def parquet(table: pa.Table, receipt: dict[str, Any]) -> bytes:
    """The table as a Parquet file that carries its receipt in its metadata."""
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({RECEIPT_KEY: json.dumps(receipt)}), sink)
    return sink.getvalue()


def read(data: bytes, schema: pa.Schema, *, longest: int = MAX_LIST, memory: int = MEMORY_BYTES) -> pa.Table:
    """The rows of a stranger's Parquet file, its metadata kept; anything but `schema`'s columns raises `IvxError`.

    Args:
        longest: values that one cell of a list column may hold.
        memory: bytes that decoding may take, of its own process.
    """
    asked = schema.serialize().to_pybytes()
    child = [sys.executable, "-m", "ivx.formats.parquet", str(memory), str(longest)]
    # Arrow's own pools set aside far more addresses than they use, which would count against the bound.
    settings = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}
    settings["PYTHONPATH"] = os.pathsep.join(part for part in sys.path if part)
    try:
        done = subprocess.run(
            child, input=len(asked).to_bytes(4) + asked + data, capture_output=True, timeout=SECONDS, env=settings
        )
    except subprocess.TimeoutExpired as error:
        raise IvxError(f"rows.parquet takes more than {SECONDS} s to decode: ask for a smaller run") from error
    if done.returncode == 2:
        raise IvxError(done.stderr.decode("utf-8", "replace").strip())
    if done.returncode:
        raise IvxError("rows.parquet cannot be decoded within bounds: it is damaged, or made to exhaust memory")
    with pa.ipc.open_stream(done.stdout) as reader:
        return reader.read_all()


def decoded(data: bytes, schema: pa.Schema, *, longest: int = MAX_LIST) -> pa.Table:
    """The same in this process: metadata first, then the rows, texts bounded before they are spelled out."""
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    try:
        # As dictionaries: a long text that stands in a million rows is held once until its length is known.
        file = pq.ParquetFile(
            pa.BufferReader(data),
            read_dictionary=texts,
            thrift_string_size_limit=10_000_000,
            thrift_container_size_limit=1_000_000,
        )
        _check_schema(file.schema_arrow, schema)
        _check_metadata(file.metadata, columns=len(schema), longest=longest)
        table = file.read(use_threads=False)
        table.validate(full=True)
        for name in texts:
            _check_texts(table[name], name)
        for field in schema:
            if pa.types.is_list(field.type):
                _check_lists(table[field.name], field.name, longest)
        return table.cast(schema.with_metadata(table.schema.metadata))
    except (pa.ArrowException, OSError, ValueError) as error:
        first = str(error).splitlines()[0][:200]
        raise IvxError(f"rows.parquet is not readable as Parquet ({first}): export the run again") from error


def _check_schema(found: pa.Schema, wanted: pa.Schema) -> None:
    """Names, order and types; a text may come as a dictionary, since it was asked for as one."""

    def plain(kind: pa.DataType) -> pa.DataType:
        return kind.value_type if pa.types.is_dictionary(kind) else kind

    if found.names != wanted.names:
        told = ", ".join(found.names)[:200]
        raise IvxError(f"rows.parquet has the columns {told or 'none'}; expected are {', '.join(wanted.names)}")
    for field in wanted:
        kind = plain(found.field(field.name).type)
        if kind != field.type:
            raise IvxError(f"rows.parquet, column {field.name!r}: {field.type} was expected, not {str(kind)[:60]}")


def _check_metadata(told: pq.FileMetaData, *, columns: int, longest: int) -> None:
    if not 1 <= told.num_rows <= MAX_ROWS:
        raise IvxError(f"rows.parquet claims {told.num_rows:,} rows: 1 to {MAX_ROWS:,} can be imported")
    if told.num_row_groups > MAX_GROUPS:
        raise IvxError(f"rows.parquet claims {told.num_row_groups:,} row groups: up to {MAX_GROUPS:,} are read")
    groups = [told.row_group(i) for i in range(told.num_row_groups)]
    rows = sum(group.num_rows for group in groups)
    if rows != told.num_rows or any(group.num_columns < columns or group.num_rows < 0 for group in groups):
        raise IvxError(f"rows.parquet claims {told.num_rows:,} rows, its row groups {rows:,}: export the run again")
    chunks = [(group, group.column(i)) for group in groups for i in range(group.num_columns)]
    size = sum(max(chunk.total_uncompressed_size, 0) for _, chunk in chunks)
    if size > MAX_BYTES:
        raise IvxError(f"rows.parquet claims {size / 1e9:.1f} GB of columns: up to {MAX_BYTES / 1e9:g} GB are read")
    for group, chunk in chunks:
        if not 0 <= chunk.num_values <= group.num_rows * longest:
            raise IvxError(
                f"rows.parquet, column {chunk.path_in_schema.partition('.')[0]!r}: {chunk.num_values:,} values are "
                f"claimed for {group.num_rows:,} rows, more than {longest} a row"
            )


def _check_texts(column: pa.ChunkedArray, name: str) -> None:
    for chunk in column.chunks:
        longest = pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0
        if longest > MAX_TEXT:
            raise IvxError(f"rows.parquet, column {name!r}: a text of {longest:,} bytes, more than {MAX_TEXT}")


def _check_lists(column: pa.ChunkedArray, name: str, most: int) -> None:
    longest = pc.max(pc.list_value_length(column)).as_py() or 0
    if longest > most:
        raise IvxError(f"rows.parquet, column {name!r}: a list of {longest:,} values, more than {most}")


def _main() -> int:
    """The process of its own: a schema and a file from standard input, an Arrow stream to standard output."""
    for limit, bound in ((resource.RLIMIT_AS, int(sys.argv[1])), (resource.RLIMIT_CPU, SECONDS)):
        with suppress(ValueError, OSError):  # a system may not know the limit, or hold a lower one already
            resource.setrlimit(limit, (bound, bound))
    size = int.from_bytes(sys.stdin.buffer.read(4))
    schema = pa.ipc.read_schema(pa.py_buffer(sys.stdin.buffer.read(size)))
    try:
        table = decoded(sys.stdin.buffer.read(), schema, longest=int(sys.argv[2]))
    except IvxError as error:
        print(error, file=sys.stderr)
        return 2
    with pa.ipc.new_stream(sys.stdout.buffer, table.schema) as writer:
        writer.write_table(table)
    return 0


if __name__ == "__main__":
    sys.exit(_main())
