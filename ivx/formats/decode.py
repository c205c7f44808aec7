"""Decoding Parquet whose bytes anybody may have made: its metadata first, then the rows, all within limits.

A small file can ask for any amount of memory: its pages may claim to hold billions of equal values, and few bytes can
repeat one long text very often. What the metadata only claims may still be a lie, so a stranger's file is decoded in a
process of its own (`ivx.formats.parquet`).
"""

from __future__ import annotations

from collections.abc import Callable
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
        unpacked: bytes of all columns, uncompressed.
        text: bytes of one text; None is `unpacked` divided by the number of rows.
        values: values in one cell of a list column.
    """

    rows: int
    columns: int
    groups: int
    unpacked: int
    text: int | None
    values: int


def decode(data: bytes, limits: Limits, *, fits: Callable[[pa.Schema], None]) -> pa.Table:
    """The rows of a Parquet file, its metadata kept.

    Texts are decoded as dictionaries, so that a long one in a million rows is held once until its length is known.

    Args:
        fits: raises `Unfit` for columns that are not wanted.

    Raises:
        Unfit: the file is no Parquet, or beyond a limit.
    """
    try:
        shape = pq.ParquetFile(pa.BufferReader(data), **THRIFT)
        schema = shape.schema_arrow
        fits(schema)
        _check_metadata(shape.metadata, limits)
        texts = [field.name for field in schema if _is_text(field.type)]
        # Without threads: Arrow's own abort one in some fifty short processes at their end, and these files are small.
        file = pq.ParquetFile(pa.BufferReader(data), read_dictionary=texts, pre_buffer=False, **THRIFT)
        table = file.read(use_threads=False)
        table.validate(full=True)
        for name in texts:
            _check_texts(table[name], name, limits.text or limits.unpacked // max(1, table.num_rows))
        for field in schema:
            if pa.types.is_list(field.type):
                _check_lists(table[field.name], field.name, limits.values)
        return table.cast(schema.with_metadata(table.schema.metadata))
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        raise Unfit(f"is not readable as Parquet ({(str(error).splitlines() or [''])[0][:200]})") from error


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind))


def _check_metadata(told: pq.FileMetaData, limits: Limits) -> None:
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


def _check_texts(column: pa.ChunkedArray, name: str, most: int) -> None:
    for chunk in column.chunks:
        longest = pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0
        if longest > most:
            raise Unfit(f"has a text of {longest:,} bytes in the column {name!r}, more than {most:,}")


def _check_lists(column: pa.ChunkedArray, name: str, most: int) -> None:
    longest = pc.max(pc.list_value_length(column)).as_py() or 0
    if longest > most:
        raise Unfit(f"has a list of {longest:,} values in the column {name!r}, more than {most:,}")
