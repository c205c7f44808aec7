"""Decoding Parquet whose bytes anybody may have made: its metadata first, then the rows, all within limits.

A small file can ask for any amount of memory: its pages may claim to hold billions of equal values, and few bytes can
repeat one long text very often. So what the columns become is counted before they are spelled out. What the metadata
only claims may still be a lie, so a stranger's file is decoded in a process of its own (`ivx.formats.parquet`,
`ivx.tasks.layouts.parquet`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

THRIFT = {"thrift_string_size_limit": 10_000_000, "thrift_container_size_limit": 1_000_000}
"""Limits on the metadata: bytes of a string, items of a container."""


class Unfit(Exception):
    """What does not fit: its message ends a sentence that begins with the file's name."""


@dataclass(frozen=True)
class Limits:
    """Limits on one file.

    Attributes:
        rows, columns, groups: most rows, columns and row groups; there must be one row at least.
        unpacked: bytes of all columns that are read, uncompressed, and once more with every text spelled out.
        text: bytes of one text; None is `unpacked` divided by the number of rows.
        values: values in one cell of a list column.
    """

    rows: int
    columns: int
    groups: int
    unpacked: int
    text: int | None
    values: int


def decode(
    data: bytes,
    limits: Limits,
    *,
    fits: Callable[[pa.Schema], None],
    wanted: Callable[[pa.Schema], Sequence[str]] = lambda schema: schema.names,
) -> pa.Table:
    """The rows of a Parquet file, its metadata kept.

    Texts are decoded as dictionaries, so that a long one in a million rows is held once until its length is known.

    Args:
        fits: raises `Unfit` for columns that are not wanted.
        wanted: the names of the columns that are read.

    Raises:
        Unfit: the file is no Parquet, or beyond a limit.
    """
    try:
        shape = pq.ParquetFile(pa.BufferReader(data), **THRIFT)
        schema = shape.schema_arrow
        fits(schema)
        names = list(wanted(schema))
        read = pa.schema([_spelled(schema.field(name)) for name in names])
        _check_metadata(shape.metadata, limits, names=names)
        texts = [field.name for field in read if _is_text(_of_list(field.type))]
        leaves = [shape.schema.column(i).path for i in range(shape.metadata.num_columns)]
        texts = [leaf for leaf in leaves if _is_of(leaf, texts)]
        # Without threads: Arrow's own abort one in some fifty short processes at their end, and these files are small.
        file = pq.ParquetFile(pa.BufferReader(data), read_dictionary=texts, pre_buffer=False, **THRIFT)
        table = file.read(columns=names, use_threads=False).select(names)
        table.validate(full=True)
        size = 0
        for field in table.schema:
            column = table[field.name]
            if pa.types.is_list(field.type):
                _check_lists(column, field.name, limits.values)
            if pa.types.is_dictionary(_of_list(field.type)):
                most = limits.text or limits.unpacked // max(1, table.num_rows)
                size += _size_of_texts(column, field.name, most)
            size += column.nbytes
        if size > limits.unpacked:
            raise Unfit(f"becomes {size / 1e9:.1f} GB of columns: up to {limits.unpacked / 1e9:g} GB are read")
        return table.cast(read.with_metadata(table.schema.metadata))
    except pa.ArrowMemoryError:
        raise  # whoever bounds the memory says so
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        raise Unfit(f"is not readable as Parquet ({(str(error).splitlines() or [''])[0][:200]})") from error


def _of_list(kind: pa.DataType) -> pa.DataType:
    """The type of a list's values; of anything else, its own."""
    return kind.value_type if pa.types.is_list(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    """Whether it is text, of which equal ones are held once while it is read."""
    return any(of(kind) for of in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _check_metadata(told: pq.FileMetaData, limits: Limits, *, names: Sequence[str]) -> None:
    if not 1 <= told.num_rows <= limits.rows:
        raise Unfit(f"claims {told.num_rows:,} rows: 1 to {limits.rows:,} can be read")
    if told.num_columns > limits.columns:
        raise Unfit(f"claims {told.num_columns:,} columns: up to {limits.columns:,} are read")
    if told.num_row_groups > limits.groups:
        raise Unfit(f"claims {told.num_row_groups:,} row groups: up to {limits.groups:,} are read")
    groups = [told.row_group(i) for i in range(told.num_row_groups)]
    rows = sum(group.num_rows for group in groups)
    if rows != told.num_rows or any(group.num_columns < told.num_columns or group.num_rows < 0 for group in groups):
        raise Unfit(f"claims {told.num_rows:,} rows, its row groups {rows:,}")
    chunks = [(group, group.column(i)) for group in groups for i in range(group.num_columns)]
    chunks = [(group, chunk) for group, chunk in chunks if _is_of(chunk.path_in_schema, names)]
    size = sum(max(chunk.total_uncompressed_size, 8 * chunk.num_values, 0) for _, chunk in chunks)
    for group, chunk in chunks:
        if not 0 <= chunk.num_values <= group.num_rows * limits.values:
            raise Unfit(
                f"claims too much: in the column {chunk.path_in_schema.partition('.')[0]!r} "
                f"{chunk.num_values:,} values are claimed for {group.num_rows:,} rows, "
                f"more than {limits.values:,} a row"
            )
    if size > limits.unpacked:
        raise Unfit(f"claims {size / 1e9:.1f} GB of columns: up to {limits.unpacked / 1e9:g} GB are read")


def _spelled(field: pa.Field) -> pa.Field:
    """As what a column is given back: a view of texts, which no dictionary becomes, as plain ones."""
    return field.with_type(pa.string()) if pa.types.is_string_view(field.type) else field


def _is_of(path: str, names: Sequence[str]) -> bool:
    """Whether a leaf is that of a column, or lies within one."""
    return any(path == name or path.startswith(f"{name}.") for name in names)


def _size_of_texts(column: pa.ChunkedArray, name: str, most: int) -> int:
    """How many bytes a column of texts takes when each is spelled out; raises `Unfit` for a text that is too long."""
    size = 0
    for chunk in (pc.list_flatten(column) if pa.types.is_list(column.type) else column).chunks:
        lengths = pc.binary_length(chunk.dictionary)
        longest = pc.max(lengths).as_py() or 0
        if longest > most:
            raise Unfit(f"has a text of {longest:,} bytes in the column {name!r}, more than {most:,}")
        size += pc.sum(lengths.cast(pa.int64()).take(chunk.indices)).as_py() or 0
    return size


def _check_lists(column: pa.ChunkedArray, name: str, most: int) -> None:
    longest = pc.max(pc.list_value_length(column)).as_py() or 0
    if longest > most:
        raise Unfit(f"has a list of {longest:,} values in the column {name!r}, more than {most:,}")
