"""Sheets: what a task file holds, whatever its layout; and the bounds that every file is held to.

Files are hostile: bounded in bytes, rows and characters a cell, read as data and nothing else, every refusal naming the
file, the row and the column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from ivx.errors import TaskError

MAX_BYTES = 20_000_000
MAX_ROWS = 50_000
MAX_CELL = 2_000
"""Characters in one cell."""
MAX_VALUES = 2_000_000
"""Values in a file, counted before one is made: an empty list has three bytes in a file, and a hundred in memory."""

Row = tuple[int, dict[str, str]]
"""A row's number as its file counts (a header is row 1, one of several lines has that of its first); cells by role."""


class Sheet(NamedTuple):
    """A file's rows.

    Attributes:
        name: the file's, for messages.
        columns: the column that each role's cells come from; a role that the file has no cells for is not there.
        left: rows that the layout itself leaves out, each with its reason.
        notes: sentences on how the file was read.
    """

    name: str
    rows: list[Row]
    columns: Mapping[str, str]
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def check_file(path: Path) -> None:
    """Raises `TaskError` for a file that is not there or too large."""
    if not path.is_file():
        raise TaskError(f"there is no file {path}: give a .csv, .jsonl, .json or .parquet file")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise TaskError(f"{path.name} has {size / 1e6:.0f} MB, more than {MAX_BYTES / 1e6:.0f}: keep fewer rows")


def text_of(path: Path) -> str:
    """A text file's text; raises `TaskError` with the row of what is no text."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TaskError(f"{path.name} cannot be read ({error.strerror}): see to its permissions") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        raise TaskError(
            f"{path.name}, row {row}: byte 0x{data[error.start]:02x} is not UTF-8: save the file as UTF-8"
        ) from error
    if "\0" in text:
        row = text[: text.index("\0")].count("\n") + 1
        raise TaskError(f"{path.name}, row {row}: it holds a NUL character, so it is not a text file")
    return text


def counted(name: str, text: str, marks: Iterable[str]) -> None:
    """Raises `TaskError` for a text with more values than may be made, by the marks that begin or end one."""
    values = sum(map(text.count, marks))
    if values > MAX_VALUES:
        raise TaskError(f"{name} has {values:,} values, more than {MAX_VALUES:,}: keep fewer rows, or fewer columns")


def bounded(name: str, rows: Iterable[Row], columns: Mapping[str, str]) -> list[Row]:
    """The rows; raises `TaskError` for too many, a cell too long, or one that holds half a character."""
    found: list[Row] = []
    for number, row in rows:
        if len(found) >= MAX_ROWS:
            raise TaskError(f"{name} has more than {MAX_ROWS:,} rows: keep the first {MAX_ROWS:,} or a sample")
        for role, value in row.items():
            check_cell(value, where=f"{name}, row {number}, column {columns.get(role, role)!r}")
        found.append((number, row))
    return found


def check_cell(value: str, *, where: str) -> None:
    """Raises `TaskError` for a cell that is too long or holds half a character."""
    if len(value) > MAX_CELL:
        raise TaskError(f"{where}: more than {MAX_CELL:,} characters")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise TaskError(
            f"{where}: half a character (a lone surrogate), as text that was cut leaves it: write the cell again"
        )
