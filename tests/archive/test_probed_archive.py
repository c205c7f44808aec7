"""Archives of separability and erasure: they come back the same, and what no probe returned is refused."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import vl_convert

import ivx
from ivx.analyses.erasure.result import Erasure
from ivx.analyses.separability.result import Separability
from ivx.archive import pack, unpack
from ivx.errors import IvxError
from ivx.formats import parquet
from ivx.jobs.compute import result_of
from ivx.store.store import Store

Found = Separability | Erasure


@pytest.fixture(scope="module")
def read() -> Separability:
    return ivx.separability("tiny-sft-period", ("animal/colour", "animal/can-fly"), wordings=12, folds=3, repeats=1)


@pytest.fixture(scope="module")
def erased() -> Erasure:
    return ivx.erasure("tiny-sft", "animal/colour", samples=4, wordings=15)


def zipped(found: Found, *, table: pa.Table | None = None, receipt: dict[str, Any] | None = None) -> io.BytesIO:
    """The archive of a result, with another table or receipt in it."""
    table = found.table if table is None else table
    told = {**found.receipt, **(receipt or {}), "rows": table.num_rows}
    with zipfile.ZipFile(io.BytesIO(pack.of_result(found))) as packed:
        parts = {name: packed.read(name) for name in packed.namelist()}
    parts |= {"rows.parquet": parquet.parquet(table, told), "receipt.json": json.dumps(told).encode()}
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in parts.items():
            made.writestr(name, data)
    sink.seek(0)
    return sink


def changed(table: pa.Table, name: str, value: Any, *, measure: str | None = None) -> pa.Table:
    """The table with another value in one row: of a measure, or the fourth."""
    row = 3 if measure is None else table["measure"].to_pylist().index(measure)
    values = table[name].to_pylist()
    values[row] = value
    at = table.schema.get_field_index(name)
    return table.set_column(at, table.schema.field(name), pa.array(values, table[name].type))


def test_what_was_read_comes_back_the_same_and_is_kept(read: Separability, tmp_path: Path) -> None:
    run = unpack.unpack(io.BytesIO(pack.of_result(read)))
    again, store = run.result, Store(tmp_path)
    assert isinstance(again, Separability) and again.receipt["imported"] and again.table.equals(read.table)
    assert again.cells("resid_post") == read.cells("resid_post") and again.wordings == read.wordings
    assert again.figures() == read.figures() and "undefined" not in vl_convert.vegalite_to_svg(read.chart().to_json())
    kept = store.find(unpack.keep(run, store))
    assert kept is not None
    found = result_of(kept)
    assert found is not None
    assert found.projection(3, "resid_post", "lda") == read.projection(3, "resid_post", "lda")


def test_what_was_erased_comes_back_the_same(erased: Erasure) -> None:
    again = unpack.read(io.BytesIO(pack.of_result(erased)))
    assert isinstance(again, Erasure) and again.cells() == erased.cells() and again.figures() == erased.figures()
    assert "undefined" not in vl_convert.vegalite_to_svg(erased.chart().to_json())


@pytest.mark.parametrize(
    ("column", "value", "measure"),
    [
        ("component", "elsewhere", None),
        ("layer", 99, "accuracy"),
        ("measure", "charm", "margin"),
        ("value", float("nan"), "accuracy"),
        ("value", None, "accuracy"),
        ("low", float("inf"), "selectivity"),
        ("n", 7, None),
        ("wordings", 0, "curve"),
        ("wordings", None, "curve"),
        ("truth", "<script>", "confusion"),
        ("truth", None, "confusion"),
        ("x", None, "pca"),
        ("x", [0.0], "pca"),
        ("y", [float("nan")] * 24, "pca"),
        ("y", [None] * 24, "pca"),
    ],
)
def test_what_no_probe_returned_is_refused(read: Separability, column: str, value: Any, measure: str | None) -> None:
    assert len(read.wordings) == 24
    with pytest.raises(IvxError, match="expected is"):
        unpack.unpack(zipped(read, table=changed(read.table, column, value, measure=measure)))


def test_a_place_twice_or_missing_and_a_receipt_of_another_kind(read: Separability) -> None:
    whole = read.table
    for table in (pa.concat_tables([whole, whole.slice(0, 1)]), whole.slice(1)):
        with pytest.raises(IvxError, match="expected is"):
            unpack.unpack(zipped(read, table=table))
    for told in ({"chance": 2}, {"chance": None}, {"samples": 3}, {"checks": "fine"}):
        with pytest.raises(IvxError, match="receipt"):
            unpack.unpack(zipped(read, receipt=told))


def test_a_plane_of_absurd_length_is_refused_unread(read: Separability) -> None:
    table = changed(read.table, "x", [0.0] * 20_001, measure="pca")
    with pytest.raises(IvxError, match=r"20,001 values in the column 'x', more than 20,000"):
        unpack.unpack(zipped(read, table=table))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("moved", float("nan")),
        ("moved", -1.0),
        ("role", "admin"),
        ("site", "mlp_out"),
        ("patch", "resid_post.99@0~-1"),
        ("patch", "elsewhere"),
        ("logit", float("inf")),
    ],
)
def test_what_no_erasure_returned_is_refused(erased: Erasure, column: str, value: Any) -> None:
    with pytest.raises(IvxError, match=column):
        unpack.unpack(zipped(erased, table=changed(erased.table, column, value)))
