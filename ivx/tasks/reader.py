"""A user's own contrastive pair, from one file or several; `docs/tasks.md` describes the layouts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

from ivx.errors import TaskError
from ivx.tasks.assembly import assembled, joined, told_by
from ivx.tasks.layouts.bigbench import bigbench_sheet, exported_sheet, is_exported
from ivx.tasks.layouts.columns import ANSWERS, PAIR, REQUIRED
from ivx.tasks.layouts.parquet import parquet_sheet
from ivx.tasks.layouts.rephrasings import rephrasings
from ivx.tasks.layouts.sheet import Sheet, check_file, counted, text_of
from ivx.tasks.layouts.table import JSON_MARKS, Object, Record, csv_sheet, items, json_of, json_sheet, lines
from ivx.tasks.place import FILES, Place
from ivx.tasks.task import Pair


def read_pair(place: Path | Place) -> Pair:
    """Read a pair; raises `TaskError` with file, row and column for whatever does not fit."""
    if isinstance(place, Path):
        place = Place(place)
    sheet = _sheet(place, needed=ANSWERS if place.against else PAIR)
    if place.against is None:
        return assembled(_worded(sheet, place), stem=place.path.stem, field=place.field)
    other = place.against
    if other.against:
        raise TaskError(f"{other.path.name} is a contrast, and has none of its own: leave out its against=")
    sheet = joined(sheet, _worded(_sheet(other, needed=ANSWERS), other))
    return assembled(_worded(sheet, place), stem=place.path.stem, other=other.path.stem, field=place.field)


def _worded(sheet: Sheet, place: Place) -> Sheet:
    for role, path in (("instruction", place.wordings), ("contrast_instruction", place.contrast_wordings)):
        if path is not None:
            sheet = told_by(sheet, rephrasings(path), role=role)
    return sheet


def _sheet(place: Place, *, needed: tuple[str, ...]) -> Sheet:
    path, given = place.path, place.columns
    check_file(path)
    kind = path.suffix.lower()
    if kind not in FILES:
        raise TaskError(
            f"{path.name}: ivx reads .csv, .jsonl and .parquet, one query a row with the columns "
            f"{', '.join(REQUIRED)}, and .json (docs/tasks.md): write it as one of these"
        )
    if kind == ".csv":
        return csv_sheet(path, given, needed=needed)
    if kind == ".parquet":
        return parquet_sheet(path, given, needed=needed)
    if kind == ".jsonl":
        return _of_records(path, lines(path), given, needed=needed)
    text = text_of(path)
    counted(path.name, text, JSON_MARKS)
    told = json_of(text, where=path.name, what="JSON")
    if isinstance(told, list) and not isinstance(told, Object):
        return _of_records(path, items(path, told), given, needed=needed)
    if given:
        raise TaskError(f"{path.name}: a BIG-bench task has no columns to choose: leave out {next(iter(given))}=")
    return bigbench_sheet(path, told)


def _of_records(path: Path, records: Iterator[Record], given: Mapping[str, str], *, needed: tuple[str, ...]) -> Sheet:
    """The sheet of JSON objects; the first one's names tell whether it is an exported BIG-bench task."""
    first = next(records, None)
    every = records if first is None else chain([first], records)
    if first is not None and not given and is_exported([name for name, _ in first[1]]):
        return exported_sheet(path, every)
    return json_sheet(path, every, given, needed=needed)
