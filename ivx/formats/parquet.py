"""Rows as Parquet: written with their receipt, and read from a stranger's file without trusting one byte of it.

A stranger's is decoded in a process of its own, bounded in memory and time, since what it claims may be a lie; only
rows of the expected types come back.
"""

from __future__ import annotations

import base64
import io
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ivx import scratch
from ivx.confined.bounds import Bounds, allow_seconds, confine
from ivx.confined.decode import Limits, Unfit, decode
from ivx.confined.program import program
from ivx.errors import Ended, IvxError

RECEIPT_KEY = b"ivx"
"""Metadata key of a file's receipt, as JSON."""
NOTE_KEY = b"note"
MAX_ROWS = 5_000_000
MAX_GROUPS = 10_000
MAX_BYTES = 1_000_000_000
"""Bytes of all columns, uncompressed."""
MAX_TEXT = 4_000
"""Characters in one cell; a patch set of several addresses is the longest there is."""
MAX_LIST = 100
"""Values in one cell of a list column, unless its kind says otherwise."""
LARGEST = 2 * MAX_BYTES
"""Bytes of the file in which decoded rows come back; their lengths and offsets are counted, too."""
MEMORY_BYTES = 4 * 2**30
SECONDS = 60


def parquet(table: pa.Table, receipt: dict[str, Any], *, note: str = "") -> bytes:
    """The table as a Parquet file that carries its receipt, and a note where there is one, in its metadata."""
    sink = io.BytesIO()
    told = {**({NOTE_KEY: note.encode()} if note else {}), RECEIPT_KEY: json.dumps(receipt)}
    pq.write_table(table.replace_schema_metadata(told), sink)
    return sink.getvalue()


def read(data: bytes, schema: pa.Schema, *, longest: int = MAX_LIST, memory: int = MEMORY_BYTES) -> pa.Table:
    """The rows of a stranger's Parquet file, its metadata kept; anything but `schema`'s columns raises `IvxError`.

    Args:
        longest: values that one cell of a list column may hold.
        memory: bytes that decoding may take, of its own process.
    """
    asked = base64.b64encode(schema.serialize()).decode()
    arguments = (str(memory), str(longest), asked)
    settings = {"ARROW_DEFAULT_MEMORY_POOL": "system"}  # its own pools set aside far more addresses than they use
    with scratch.folder("decoded") as folder:
        path = Path(folder) / "rows.arrow"
        with path.open("xb") as file:
            try:
                done = program("ivx.formats.parquet", data, arguments, to=file, seconds=SECONDS, settings=settings)
            except Ended as error:
                raise IvxError(f"rows.parquet {error} to decode: ask for a smaller run") from error
        if done.returncode == 2:
            raise IvxError(done.stderr.decode("utf-8", "replace").strip())
        if done.returncode:
            raise IvxError("rows.parquet cannot be decoded within bounds: it is damaged, or made to exhaust memory")
        # Mapped, so that the rows are in this process's memory as far as they are looked at, and once.
        with pa.memory_map(str(path)) as mapped, pa.ipc.open_stream(mapped) as reader:
            return reader.read_all()


def decoded(data: bytes, schema: pa.Schema, *, longest: int = MAX_LIST) -> pa.Table:
    """What `read` gives, decoded in this process."""
    limits = Limits(MAX_ROWS, len(schema), MAX_GROUPS, MAX_BYTES, MAX_TEXT, longest)
    try:
        table = decode(data, limits, fits=lambda found: _check_schema(found, schema))
        return table.cast(schema.with_metadata(table.schema.metadata))
    except Unfit as reason:
        raise IvxError(f"rows.parquet {reason}: export the run again") from reason


def _check_schema(found: pa.Schema, wanted: pa.Schema) -> None:
    """Refuse other names, order or types."""
    if found.names != wanted.names:
        told = ", ".join(found.names)[:200]
        raise Unfit(f"has the columns {told or 'none'}, expected are {', '.join(wanted.names)}")
    for field in wanted:
        kind = found.field(field.name).type
        if kind != field.type:
            raise Unfit(f"has another column {field.name!r}: {field.type} was expected, not {str(kind)[:60]}")


def _main() -> int:
    """The decoding process: a file from standard input, an Arrow stream to standard output."""
    confine(Bounds(int(sys.argv[1]), SECONDS), writes=LARGEST)
    allow_seconds(SECONDS)
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(sys.argv[3])))
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
