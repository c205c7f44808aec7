"""Rephrasings: a file of wordings of one instruction, apart from the queries.

A .txt holds one a line; a table (.csv, .jsonl, .parquet) the column `instruction` and, where there are families,
`family`, as the paper's `varied_instructions/*_rephrased.csv`.
"""

from __future__ import annotations

from pathlib import Path

from ivx.errors import TaskError
from ivx.tasks.layouts.columns import WORDINGS
from ivx.tasks.layouts.parquet import parquet_sheet
from ivx.tasks.layouts.sheet import Sheet, bounded, check_file, text_of
from ivx.tasks.layouts.table import csv_sheet, json_sheet, lines

KINDS = (".txt", ".csv", ".jsonl", ".parquet")


def rephrasings(path: Path) -> Sheet:
    """The sheet of a file of wordings, in the role `instruction`; raises `TaskError`, also where there is none."""
    check_file(path)
    kind = path.suffix.lower()
    if kind == ".txt":
        told = enumerate(text_of(path).split("\n"), start=1)
        columns = {"instruction": "instruction"}
        rows = ((number, {"instruction": line}) for number, line in told if line.strip())
        found = Sheet(path.name, bounded(path.name, rows, columns), columns)
    elif kind == ".csv":
        found = csv_sheet(path, {}, needed=WORDINGS)
    elif kind == ".jsonl":
        found = json_sheet(path, lines(path), {}, needed=WORDINGS)
    elif kind == ".parquet":
        found = parquet_sheet(path, {}, needed=WORDINGS)
    else:
        raise TaskError(
            f"{path.name}: wordings are read from a .txt, one a line, or from the column 'instruction' of a .csv, "
            ".jsonl or .parquet: write them as one of these"
        )
    if not any(row.get("instruction", "").strip() for _, row in found.rows):
        raise TaskError(f"{path.name}, column 'instruction': no row holds a wording: write at least one")
    return found
