"""What is damaged is never served."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ivx.engine.schema import KEY
from ivx.errors import IvxError
from ivx.jobs import compute
from ivx.store import documents, shards
from ivx.store.files import Damaged
from ivx.store.quarantine import Quarantine
from ivx.store.store import Store
from tests.support import chaos
from tests.support.stores import KINDS, A, B, C, begun, damage, filled, rows


@pytest.mark.parametrize("how", KINDS)
@pytest.mark.parametrize("what", ["shard", "asked", "receipt", "context"])
def test_a_damaged_file_of_a_run(root: Path, what: str, how: str) -> None:
    filled(root, A)
    filled(root, B)
    folder = root / "runs" / A
    damaged = folder / f"{what}.json" if what != "shard" else sorted(folder.glob("shards/*"))[1]
    damage(damaged, how)
    store = Store(root)
    listed = {entry.run: entry for entry in store.entries()}
    run = store.find(A)
    assert run is not None
    state, receipt, found, context, asked = run.state, run.receipt, rows(run), run.kept("context"), run.asked
    assert asked == ({} if what == "asked" else chaos.asked(A)) == listed[A].asked
    assert context == (None if what == "context" else chaos.CONTEXT)
    assert (state, receipt) == (("partial", None) if what in ("shard", "receipt") else ("complete", chaos.RECEIPT))
    whole = chaos.truth(A)
    assert found.equals(pa.concat_tables([whole[:80], whole[160:]]) if what == "shard" else whole)
    if how == "deleted" and what != "shard":
        assert not store.notices()
    else:
        assert any(A in sentence and damaged.name in sentence for sentence in store.notices())
    assert os.path.lexists(damaged) is False
    assert (
        len(list((root / "aside").glob("*"))) == (how != "deleted") if (root / "aside").exists() else how == "deleted"
    )
    # The neighbour is as it was.
    other = store.find(B)
    assert rows(other).equals(chaos.truth(B)) and other is not None and other.receipt == chaos.RECEIPT
    assert listed[B].state == "complete"
    # What is missing can be computed again.
    chaos.work(root, A)
    assert chaos.examine(Store(root).find(A), A) == 240 and Store(root).find(A).state == "complete"  # type: ignore


def test_a_shard_of_another_run_or_of_other_columns_is_set_aside(root: Path) -> None:
    filled(root, A)
    filled(root, B)
    mine, theirs = (root / "runs" / run / "shards" for run in (A, B))
    shutil.copy(next(theirs.iterdir()), mine)
    shards.write(mine, pa.table({"sample": [1]}), run=A)
    store = Store(root)
    assert rows(store.find(A)).equals(chaos.truth(A))
    assert "another run" in store.notices()[0] and "other columns" in store.notices()[1]


def test_strange_things_in_a_run_are_passed_over(root: Path, tmp_path: Path) -> None:
    filled(root, A)
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = root / "runs" / A
    for place in (folder, folder / "shards"):
        (place / "notes.txt").write_text("mine")
        (place / "sub").mkdir()
        (place / "link").symlink_to(outside)
        os.mkfifo(place / "pipe")
    (root / "runs" / "notes").mkdir()
    (root / "runs" / C).write_text("no folder")
    store = Store(root)
    assert rows(store.find(A)).equals(chaos.truth(A)) and [entry.run for entry in store.entries()] == [A]
    assert not store.notices()
    store.delete(A)
    assert outside.is_dir() and not folder.exists()


def test_linked_folders_are_not_followed(root: Path, tmp_path: Path) -> None:
    filled(root, A)
    outside = tmp_path / "outside"
    shutil.move(root / "runs" / A, outside)
    (root / "runs" / A).symlink_to(outside)
    store = Store(root)
    assert store.find(A) is None and store.entries() == []
    before = {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()}
    run = begun(store, A)
    assert run.table(KEY) is None and "is not a folder" in store.notices()[0]
    run.append(chaos.truth(A))
    shutil.rmtree(root / "runs" / A / "shards")
    (root / "runs" / A / "shards").symlink_to(outside / "shards")
    assert run.table(KEY) is None and run.state == "partial"
    run.append(chaos.truth(A)[:1])
    assert rows(run).num_rows == 1
    assert before == {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()}


def test_a_crafted_receipt_reaches_no_file_outside(root: Path, tmp_path: Path) -> None:
    filled(root, A)
    (tmp_path / "outside").write_text("safe")
    listed: Any
    for listed in (
        [{"name": "../../../../outside", "rows": 1, "bytes": 4}],
        [{"name": 1}],
        5,
        [[]],
    ):
        data = documents.seal({"receipt": {}, "shards": listed}, f"{A}/receipt")
        (root / "runs" / A / "receipt.json").write_bytes(data)
        run = Store(root).find(A)
        assert run is not None and run.state == "partial" and Store(root).entries()[0].state == "partial"
    (root / "runs" / A / "asked.json").write_bytes(documents.seal([1], f"{A}/asked"))
    assert Store(root).find(A).asked == {}  # type: ignore[union-attr]
    assert (tmp_path / "outside").read_text() == "safe"


NONSENSE: list[tuple[str, object]] = [
    ("nothing", None),
    ("a list", []),
    ("no parts", {}),
    ("a receipt that is none", {"receipt": 5, "shards": []}),
    ("shards without names", {"receipt": {}, "shards": [{"rows": 1, "bytes": 4}]}),
    ("shards that are not there", {"receipt": {}, "shards": [{"name": "000000-" + "0" * 16 + ".parquet", "rows": 1}]}),
    ("rows that are no number", {"receipt": {}, "shards": [{"name": 1, "rows": "x", "bytes": []}]}),
    ("fewer than none", {"receipt": {}, "shards": -1}),
]


@pytest.mark.parametrize("what, told", NONSENSE, ids=[what for what, _ in NONSENSE])
def test_a_right_seal_over_nonsense_is_not_believed(root: Path, what: str, told: object) -> None:
    """A seal says that a document is whole, not that it is true: whoever writes to the store can make one."""
    run = filled(root, A)
    for name in ("receipt", "context", "asked"):
        (root / "runs" / A / f"{name}.json").write_bytes(documents.seal(told, f"{A}/{name}"))
    store = Store(root)
    [listed] = store.entries()
    found = store.find(A)
    assert found is not None and listed.state == found.state == "partial" and listed.asked == found.asked == {}
    assert found.receipt is None and compute.result_of(found) is None, "asked again, it is computed again"
    store.of_kind("effects")
    begun(store, A)
    found.complete(chaos.RECEIPT)
    assert found.asked == chaos.asked(A) and rows(run).equals(chaos.truth(A)), "from the rows that are there"


def test_nonsense_in_the_fields_of_sealed_documents_is_a_sentence(root: Path) -> None:
    run = filled(root, A)
    folder = root / "runs" / A
    kept = documents.unseal((folder / "receipt.json").read_bytes(), f"{A}/receipt")
    for told in ({}, {"seconds": "x"}, {"seconds": True, "versions": 5, "request": [], "device": ["a"]}):
        (folder / "receipt.json").write_bytes(documents.seal({**kept, "receipt": told}, f"{A}/receipt"))
        with pytest.raises(IvxError, match="receipt, .*: expected is"):
            compute.result_of(run)
        assert Store(root).entries()[0].seconds is None
    for request in ([1], 5, "x", None):
        asked = {"asked": {**chaos.asked(A), "request": request}, "created": 1.0}
        (folder / "asked.json").write_bytes(documents.seal(asked, f"{A}/asked"))
        [listed] = Store(root).entries()
        assert listed.asked == {} and listed.tasks == listed.request("checkpoint") == "–"


def test_a_run_that_loses_rows_while_it_is_computed_is_not_completed(root: Path) -> None:
    run = filled(root, A, complete=False)
    damage(next((root / "runs" / A / "shards").iterdir()), "flipped")
    with pytest.raises(IvxError, match="lost rows"):
        run.complete(chaos.RECEIPT)
    assert run.state == "partial"


def test_what_is_aside_is_bounded(tmp_path: Path) -> None:
    aside = Quarantine(tmp_path, limit=2500)
    for i in range(6):
        (tmp_path / f"file{i}").write_bytes(b"x" * 1000)
        aside.take(tmp_path / f"file{i}", "was damaged", then="so it goes")
    assert [path.name[-5:] for path in sorted((tmp_path / "aside").iterdir())] == ["file4", "file5"]
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "large").write_bytes(b"x" * 3000)
    aside.take(tmp_path / "folder", "was damaged", then="so it goes")
    assert not list((tmp_path / "aside").iterdir()) and len(aside.notices()) == 7


def test_hostile_parquet_is_refused(root: Path) -> None:
    def packed(table: pa.Table, **options: object) -> bytes:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, **options)
        return sink.getvalue().to_pybytes()

    good = chaos.truth(A)
    assert shards.decode(packed(good)).equals(good)
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 5_000, pa.int32()), ["x" * 1_000_000])  # 5 GB in a few kB
    deep = pa.table({"logit": pa.array([[[1.0]]])})
    wide = pa.table({f"c{i}": [1] for i in range(100)})
    sealed = packed(good)
    for bad in (
        packed(pa.table({"patch": text}), store_schema=False),
        packed(deep),
        packed(wide),
        b"",
        b"PAR1",
        sealed[:-9],
        sealed[:300] + sealed[301:],
    ):
        assert len(bad) < 100_000
        with pytest.raises(Damaged):
            shards.decode(bad)
