"""Rows as a sheet: CSV that a spreadsheet reads as data and never as formulas."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

FORMULA = r"^[=+\-@\t\r]"
"""Start of a cell that a spreadsheet may run."""


def csv(table: pa.Table, *, note: str = "") -> bytes:
    """The table as UTF-8 CSV with a header, without its list columns, which a cell cannot hold.

    A note is a column of its own, the first, so that whoever sees a row sees it.

    A text that begins like a formula gets an apostrophe in front, which spreadsheets take for "this is text"; numbers
    stay numbers, negative ones too.
    """
    columns = {
        field.name: _guarded(table[field.name]) if pa.types.is_string(field.type) else table[field.name]
        for field in table.schema
        if not pa.types.is_nested(field.type)
    }
    if note:
        columns = {"note": _guarded(pa.chunked_array([[note] * table.num_rows], pa.string())), **columns}
    sink = io.BytesIO()
    pv.write_csv(pa.table(columns), sink)
    return sink.getvalue()


def _guarded(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    quoted = pc.binary_join_element_wise(pa.scalar("'"), texts, "")
    return pc.if_else(pc.match_substring_regex(texts, FORMULA), quoted, texts)
