"""A user's own contrastive pair from a CSV, JSON-lines or Parquet file; `docs/tasks.md` describes the columns.

Files are treated as hostile: bounded in bytes and rows, read as data and nothing else, every refusal naming the file,
the row (as the file counts them: a header is row 1, a row of several lines is named by its first) and the column. One
rule for all three kinds: columns that are not read are left alone, cells that are not there are empty. A row that asks
nothing that can be measured is left out, with its number and the reason, and counted; the file is refused only where
too few are left.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ivx.errors import TaskError
from ivx.tasks.prompt import ENGLISH
from ivx.tasks.task import Instruction, Pair, Task

REQUIRED = ("query", "answer", "contrast", "instruction")
OPTIONAL = ("contrast_instruction", "field", "family")
READ = REQUIRED + OPTIONAL
"""What is read of a row; every other column is left alone."""
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
MAX_BYTES = 20_000_000
MAX_ROWS = 50_000
NAMED = 3
"""Most rows that a sentence names."""
MAX_CELL = 2_000
"""Characters in one cell."""

Row = tuple[int, dict[str, str]]


def read_pair(path: Path) -> Pair:
    """Read a pair; raises `TaskError` with file, row and column for whatever does not fit."""
    if not path.is_file():
        raise TaskError(f"there is no file {path}: give a .csv, .jsonl or .parquet file")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise TaskError(f"{path.name} has {size / 1e6:.0f} MB, more than {MAX_BYTES / 1e6:.0f}: keep fewer rows")
    readers = {".csv": _csv_rows, ".jsonl": _json_rows, ".parquet": _parquet_rows}
    if path.suffix.lower() not in readers:
        raise TaskError(
            f"{path.name}: ivx reads .csv, .jsonl and .parquet, one query a row with the columns {', '.join(REQUIRED)} "
            "(docs/tasks.md): write it as one of these"
        )
    return _pair(path, list(_bounded(path, readers[path.suffix.lower()](path))))


def _bounded(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    for count, (number, row) in enumerate(rows):
        if count >= MAX_ROWS:
            raise TaskError(f"{path.name} has more than {MAX_ROWS:,} rows: keep the first {MAX_ROWS:,} or a sample")
        yield number, row


def _text(path: Path) -> str:
    data = path.read_bytes()
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


def _columns(path: Path, names: Sequence[str], *, row: int | None = None) -> None:
    """Refuse columns of which a needed one is missing, or two of which have the same name."""
    where = path.name if row is None else f"{path.name}, row {row}"
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise TaskError(
            f"{where}: column {missing[0]!r} is missing; needed are {', '.join(REQUIRED)}"
            f" (found: {', '.join(names)[:200] or 'none'})"
        )
    _refuse_twice(names, where=where)


def _refuse_twice(names: Sequence[str], *, where: str) -> None:
    twice = next((name for name in READ if names.count(name) > 1), None)
    if twice:
        raise TaskError(f"{where}: column {twice!r} stands twice: keep one of them, or rename the other")


def _csv_rows(path: Path) -> Iterator[Row]:
    text = _text(path)
    mark = _separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    number = 1
    try:
        header = [name.strip() for name in next(reader, [])]
        _columns(path, header, row=1)
        number = reader.line_num + 1
        for cells in reader:
            if len(cells) > len(header):
                raise TaskError(
                    f"{path.name}, row {number}: {len(cells)} cells under {len(header)} columns: quote cells that hold "
                    f"a {SEPARATORS[mark]}"
                )
            if any(cells):
                yield number, dict(zip(header, cells, strict=False))
            number = reader.line_num + 1
    except csv.Error as error:
        raise TaskError(f"{path.name}, row {number}: not readable as CSV ({error})") from error


def _separator(text: str) -> str:
    """What stands between a header's cells: programs that write decimals with a comma write semicolons."""
    header = text.split("\n", 1)[0]
    return max(SEPARATORS, key=header.count)


def _json_rows(path: Path) -> Iterator[Row]:
    columns: set[str] = set()
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=list)
        except (ValueError, RecursionError) as error:
            raise TaskError(f"{path.name}, row {number}: not a line of JSON ({error})") from error
        if line.lstrip()[0] != "{":
            raise TaskError(f'{path.name}, row {number}: a JSON object was expected, such as {{"query": …}}')
        _refuse_twice([name for name, _ in row], where=f"{path.name}, row {number}")
        columns |= {name for name, _ in row}
        told = {name: value for name, value in row if name in READ}
        for name, value in told.items():
            if value is not None and not isinstance(value, str):
                raise TaskError(f"{path.name}, row {number}, column {name!r}: text was expected, not {value!r:.60}")
        yield number, {name: value or "" for name, value in told.items()}
    _columns(path, list(columns), row=1)


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        file = pq.ParquetFile(path)
        columns, rows = file.schema_arrow.names, file.metadata.num_rows
        _columns(path, columns)
        if rows > MAX_ROWS:
            raise TaskError(f"{path.name} has {rows:,} rows, more than {MAX_ROWS:,}: keep a sample")
        wanted = [name for name in READ if name in columns]
        for name in wanted:
            kind = file.schema_arrow.field(name).type
            if not _is_text(kind.value_type if pa.types.is_dictionary(kind) else kind):
                raise TaskError(f"{path.name}, column {name!r}: text was expected, not {kind}")
        number = 0
        for batch in file.iter_batches(batch_size=4096, columns=wanted):
            for row in batch.to_pylist():
                number += 1
                yield number, {name: value or "" for name, value in row.items()}
    except (pa.ArrowException, OSError) as error:
        first = str(error).splitlines()[0]
        raise TaskError(f"{path.name}: not readable as Parquet ({first}): write it again") from error


def _is_text(kind: pa.DataType) -> bool:
    """Whether cells of this type are text; a column without any value has the type null."""
    types = pa.types
    return any(of(kind) for of in (types.is_string, types.is_large_string, types.is_string_view, types.is_null))


def _pair(path: Path, rows: list[Row]) -> Pair:
    answers: dict[str, str] = {}
    contrasts: dict[str, str] = {}
    wordings: dict[str, dict[str, str]] = {"instruction": {}, "contrast_instruction": {}}
    left: list[str] = []
    spaced: dict[str, str] = {}
    fields: dict[str, str] = {}
    for number, row in rows:
        for name, value in row.items():
            if len(value) > MAX_CELL:
                raise TaskError(f"{path.name}, row {number}, column {name!r}: more than {MAX_CELL:,} characters")
            if any("\ud800" <= letter <= "\udfff" for letter in value):
                raise TaskError(
                    f"{path.name}, row {number}, column {name!r}: half a character (a lone surrogate), as text that "
                    "was cut leaves it: write the cell again"
                )
        for kind, found in wordings.items():
            text = row.get(kind, "").strip()
            if text:
                found.setdefault(text, row.get("family", "").strip() or f"{kind} {len(found)}")
        query, answer, contrast = (row.get(name, "").strip() for name in ("query", "answer", "contrast"))
        if not (query or answer or contrast):
            continue  # a row may add a wording only
        if reason := _unfit(query, answer, contrast, spaced):
            left.append(f"row {number}, {reason}")
            continue
        spaced[" ".join(query.split())] = query
        answers[query], contrasts[query] = answer, contrast
        if told := row.get("field", "").strip():
            fields[query] = told
    if len(answers) < 2:
        why = f" ({'; '.join(left[:NAMED])})" if left else ""
        raise TaskError(f"{path.name} holds {len(answers)} queries that can be asked{why}: at least 2 are needed")
    if not wordings["instruction"]:
        raise TaskError(f"{path.name}, column 'instruction': no row holds a wording: write at least one")

    # A row that names no field has that of most rows.
    field = Counter(fields.values()).most_common(1)[0][0] if fields else "Input"
    others = {query: told for query, told in fields.items() if told != field}

    def task(name: str, other: str, told: dict[str, str], facts: dict[str, str]) -> Task:
        found = tuple(Instruction(text, family) for text, family in told.items())
        return Task(f"{path.stem}/{name}", field, found, facts, f"{path.stem}/{other}", "user", ENGLISH, fields=others)

    against = wordings["contrast_instruction"] or wordings["instruction"]
    return Pair(
        task("answer", "contrast", wordings["instruction"], answers),
        task("contrast", "answer", against, contrasts),
        left_out=tuple(left),
    )


def _unfit(query: str, answer: str, contrast: str, spaced: Mapping[str, str]) -> str:
    """Why a row's query cannot be asked; empty where it can. `spaced` holds those before it by their words alone."""
    for name, value in (("query", query), ("answer", answer), ("contrast", contrast)):
        if not value:
            return f"column {name!r}: it is empty"
    first = spaced.get(" ".join(query.split()))
    if first is None:
        return ""
    return f"column 'query': {query!r:.60} stands twice" + f", as {first!r:.60}" * (first != query)
