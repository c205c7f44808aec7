"""Tables: one query a row, as CSV, JSON lines or a JSON list.

One rule for all of them: columns that are not read are left alone, cells that are not there are empty.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ivx.errors import TaskError
from ivx.tasks.layouts.columns import chosen, read_of, refuse_twice
from ivx.tasks.layouts.sheet import MAX_ROWS, Row, Sheet, bounded, counted, text_of

JSON_MARKS = (",", "[", "{", "\n")
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}

Record = tuple[int, "Object"]
"""An object of a JSON file, and its row: a line's number, or an item's place in a list."""


class Object(list[tuple[str, Any]]):
    """A JSON object as its names and values, twice where a name stands twice."""

    def get(self, name: str) -> Any:
        """The first value of this name; None where there is none."""
        return next((value for key, value in self if key == name), None)


def csv_sheet(path: Path, given: Mapping[str, str], *, needed: tuple[str, ...]) -> Sheet:
    """The sheet of a CSV file; `given` and `needed` as in `columns.chosen`, in every function here."""
    text = text_of(path)
    mark = _separator(text)
    counted(path.name, text, (mark, "\n"))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise TaskError(f"{path.name}, row 1: not readable as CSV ({error})") from error
    columns = chosen(header, given, where=f"{path.name}, row 1", needed=needed)
    return Sheet(path.name, bounded(path.name, _cells(path, reader, header, columns, mark), columns), columns)


def _cells(path: Path, reader: Any, header: list[str], columns: Mapping[str, str], mark: str) -> Iterator[Row]:
    number = reader.line_num + 1
    where = {role: header.index(name) for role, name in columns.items()}
    try:
        for cells in reader:
            if len(cells) > len(header):
                raise TaskError(
                    f"{path.name}, row {number}: {len(cells)} cells under {len(header)} columns: quote cells that hold "
                    f"a {SEPARATORS[mark]}"
                )
            if any(cells):
                yield number, {role: cells[at] for role, at in where.items() if at < len(cells)}
            number = reader.line_num + 1
    except csv.Error as error:
        raise TaskError(f"{path.name}, row {number}: not readable as CSV ({error})") from error


def _separator(text: str) -> str:
    """What stands between a header's cells: programs that write decimals with a comma write semicolons."""
    header = text.split("\n", 1)[0]
    return max(SEPARATORS, key=header.count)


def json_of(text: str, *, where: str, what: str) -> Any:
    """A JSON text, its objects as `Object`; raises `TaskError`."""
    try:
        return json.loads(text, object_pairs_hook=Object)
    except (ValueError, RecursionError) as error:
        raise TaskError(f"{where}: not {what} ({error})") from error


def lines(path: Path) -> Iterator[Record]:
    """The objects of a file of JSON lines."""
    text = text_of(path)
    counted(path.name, text, JSON_MARKS)
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path.name}, row {number}"
        row = json_of(line, where=where, what="a line of JSON")
        if not isinstance(row, Object):
            raise TaskError(f'{where}: a JSON object was expected, such as {{"query": …}}')
        yield number, row


def items(path: Path, told: list[Any]) -> Iterator[Record]:
    """The objects of a JSON list."""
    for number, row in enumerate(told, start=1):
        if not isinstance(row, Object):
            raise TaskError(f'{path.name}, row {number}: a JSON object was expected, such as {{"input": …}}')
        yield number, row


def json_sheet(path: Path, records: Iterator[Record], given: Mapping[str, str], *, needed: tuple[str, ...]) -> Sheet:
    """The sheet of JSON objects, one a row."""
    found: list[Record] = []
    names: dict[str, None] = {}
    sure = read_of(given)
    for number, row in records:
        if len(found) >= MAX_ROWS:
            raise TaskError(f"{path.name} has more than {MAX_ROWS:,} rows: keep the first {MAX_ROWS:,} or a sample")
        refuse_twice([name for name, _ in row], sure, where=f"{path.name}, row {number}")
        for name, value in row:
            names[name] = None
            if name in sure:
                _check_text(value, where=f"{path.name}, row {number}, column {name!r}")
        found.append((number, row))
    columns = chosen(list(names), given, where=f"{path.name}, row 1", needed=needed)

    def cells() -> Iterator[Row]:
        for number, row in found:
            refuse_twice([name for name, _ in row], set(columns.values()), where=f"{path.name}, row {number}")
            told = {role: row.get(name) for role, name in columns.items()}
            for role, value in told.items():
                _check_text(value, where=f"{path.name}, row {number}, column {columns[role]!r}")
            yield number, {role: value or "" for role, value in told.items()}

    return Sheet(path.name, bounded(path.name, cells(), columns), columns)


def _check_text(value: Any, *, where: str) -> None:
    if value is not None and not isinstance(value, str):
        raise TaskError(f"{where}: text was expected, not {value!r:.60}: write it as text")
