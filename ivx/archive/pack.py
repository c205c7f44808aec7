"""Packing: a run as one zip, to keep, to send and to draw again.

asked.json  context.json  receipt.json  rows.parquet     what is read again
rows.csv  figure.ipynb  <figure>.vl.json .svg .png .txt note.txt  for people and their programs
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from ivx.analyses.base import Result
from ivx.analyses.registry import analysis_of
from ivx.analyses.registry import context as context_of
from ivx.archive import members
from ivx.archive.notebook import notebook
from ivx.formats import parquet, pictures, sheet
from ivx.formats.plain import json_text
from ivx.patching import gate

STAMP = (1980, 1, 1, 0, 0, 0)
"""Time of every member: equal runs make equal archives."""


def pack(
    *,
    asked: Mapping[str, Any],
    receipt: Mapping[str, Any],
    context: Mapping[str, Any],
    table: pa.Table,
    figures: Mapping[str, dict[str, Any]],
    captions: Mapping[str, str] | None = None,
    chart: Mapping[str, str] | None = None,
) -> bytes:
    """The archive of a run.

    Args:
        asked, receipt, context, table: as the store keeps them.
        figures: Vega-Lite specs by name; each becomes `.vl.json`, `.svg` and `.png`.
        captions: the figures' captions, by the same names; each becomes `.txt`.
        chart: what the notebook calls the result's `chart` with.
    """
    told, note = dict(receipt), gate.opening(receipt)
    content: dict[str, bytes | str] = {
        "asked.json": json.dumps(asked, indent=1),
        "receipt.json": json.dumps(told, indent=1),
        "context.json": json.dumps(context),
        "rows.parquet": parquet.parquet(table, told, note=note),
        "rows.csv": sheet.csv(table, note=note),
        "figure.ipynb": notebook(told["run"], chart=chart or {}),
    }
    for name, spec in figures.items():
        if not members.FIGURE.fullmatch(f"{name}.svg"):
            raise ValueError(f"{name!r} cannot name a figure")
        content[f"{name}.vl.json"] = json_text(spec)
        content[f"{name}.svg"], content[f"{name}.png"] = pictures.svg(spec), pictures.png(spec)
    if note:
        content["note.txt"] = note
    content |= {f"{name}.txt": told for name, told in (captions or {}).items() if name in figures}
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            entry = zipfile.ZipInfo(name, STAMP)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o100644 << 16
            archive.writestr(entry, data)
    return sink.getvalue()


def of_result(found: Result[Any], *, metric: str = "contrast") -> bytes:
    """The archive of a result, its figures drawn under one metric."""
    analysis, receipt, figures = analysis_of(found.request.kind), found.receipt, found.printed(metric)
    return pack(
        asked={"kind": found.request.kind, **{name: receipt[name] for name in ("request", "checkpoint")}},
        receipt=receipt,
        context=context_of(found),
        table=found.table,
        figures=figures,
        captions={name: told for name in figures if (told := analysis.words.caption(found, name, metric))},
        chart={"metric": metric} if analysis.measured else {},
    )
