"""A task as Parquet, read in a confined process: a file of some kilobytes may hold one text of a gigabyte, or claim a
million values in a cell.

This module is the process's program, too: a copy of it answers with the sheet, which is plain text by then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from ivx.confined.bounds import Bounds
from ivx.confined.decode import Limits, Unfit, decode
from ivx.confined.line import MOST
from ivx.confined.original import Original
from ivx.confined.service import serve
from ivx.errors import TaskError, Unanswered
from ivx.tasks.layouts.bigbench import COLUMNS, exported_sheet, is_exported
from ivx.tasks.layouts.columns import WORDINGS, chosen
from ivx.tasks.layouts.sheet import MAX_CELL, MAX_ROWS, Row, Sheet, bounded
from ivx.tasks.layouts.table import Object

ORIGINAL = Original("ivx.tasks.layouts.parquet")
"""What strangers' files are read in."""
BOUNDS = Bounds(memory=1_000_000_000, seconds=10.0)
LIMITS = Limits(MAX_ROWS, columns=10_000, groups=10_000, unpacked=MOST, text=4 * MAX_CELL, values=1_000)
"""What is read becomes no larger than one answer of a confined process; a cell's characters have up to four bytes."""
STEP = 1024


def parquet_sheet(path: Path, given: Mapping[str, str], *, needed: tuple[str, ...]) -> Sheet:
    """The sheet of a Parquet file, be it one query a row or an exported BIG-bench task; raises `TaskError`."""
    copy = ORIGINAL.copy(BOUNDS, reads=[path.absolute()])
    try:
        told = copy.ask("sheet", path=str(path.absolute()), given=dict(given), needed=needed)
    except Unanswered as error:
        raise TaskError(f"{path.name} {error} to read as Parquet: write fewer rows, or shorter texts") from error
    finally:
        copy.close()
    rows = [(number, row) for number, row in told["rows"]]
    return Sheet(path.name, rows, told["columns"], tuple(told["left"]), tuple(told["notes"]))


def sheet(path: str, given: Mapping[str, str], needed: list[str]) -> dict[str, Any]:
    """The confined process's answer: the parts of the sheet, as JSON has them."""
    return _sheet(Path(path), given, needed=tuple(needed))._asdict()


def _sheet(path: Path, given: Mapping[str, str], *, needed: tuple[str, ...]) -> Sheet:
    columns: dict[str, str] = {}

    def is_task(schema: pa.Schema) -> bool:
        return needed != WORDINGS and not given and is_exported(schema.names)

    def fits(schema: pa.Schema) -> None:
        if is_task(schema):
            return
        columns.update(chosen(schema.names, given, where=path.name, needed=needed))
        for name in columns.values():
            kind = schema.field(name).type
            if not _is_text(kind.value_type if pa.types.is_dictionary(kind) else kind):
                raise TaskError(f"{path.name}, column {name!r}: text was expected, not {kind}: write its cells as text")

    def wanted(schema: pa.Schema) -> list[str]:
        return [name for name in COLUMNS if name in schema.names] if is_task(schema) else list(columns.values())

    try:
        table = decode(path.read_bytes(), LIMITS, fits=fits, wanted=wanted)
    except Unfit as reason:
        raise TaskError(f"{path.name} {reason}: write it again, or keep fewer rows") from reason
    except OSError as error:
        raise TaskError(f"{path.name} cannot be read ({error.strerror}): see to its permissions") from error
    if not columns:
        return exported_sheet(path, ((number, Object(row.items())) for number, row in _rows(table)))
    cells: Iterator[Row] = (
        (number, {role: row[name] or "" for role, name in columns.items()}) for number, row in _rows(table)
    )
    return Sheet(path.name, bounded(path.name, cells, columns), columns)


def _rows(table: pa.Table) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    for batch in table.to_batches(max_chunksize=STEP):
        for row in batch.to_pylist():
            number += 1
            yield number, row


def _is_text(kind: pa.DataType) -> bool:
    """Whether cells of this type are text; a column without any value has the type null."""
    types = pa.types
    return any(of(kind) for of in (types.is_string, types.is_large_string, types.is_string_view, types.is_null))


if __name__ == "__main__":
    serve({"sheet": sheet})
