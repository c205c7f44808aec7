"""The store: what is written is read, what is damaged is never served, and nothing outside is touched."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import pickle
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import diskcache
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivx.engine.schema import KEY
from ivx.errors import IvxError
from ivx.store import documents, files, locks, shards
from ivx.store.disk import InlineDisk
from ivx.store.files import Damaged
from ivx.store.quarantine import Quarantine
from ivx.store.run import Run
from ivx.store.store import Store
from tests.support import chaos

A, B, C, D = (digit * 12 for digit in "abcd")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store for many examples."""
    return tmp_path_factory.mktemp("lasting")


def begun(store: Store, run: str) -> Run:
    return store.begin(run, asked=chaos.asked(run))


def filled(root: Path, run: str, *, complete: bool = True) -> Run:
    """A run of three shards."""
    found, rows = begun(Store(root), run), chaos.truth(run)
    for start in range(0, rows.num_rows, 80):
        found.append(rows[start : start + 80])
    found.keep("context", chaos.CONTEXT)
    if complete:
        found.complete(chaos.RECEIPT)
    return found


def rows(run: Run | None) -> pa.Table:
    assert run is not None
    table = run.table(KEY)
    assert table is not None
    return table


def noise(size: int, seed: int) -> pa.Table:
    """Rows that do not compress, of about that many bytes."""
    chance = random.Random(seed)
    return pa.table({"sample": range(size // 12), "logit": [chance.random() for _ in range(size // 12)]})


# What is written is read.


def test_round_trip(root: Path) -> None:
    filled(root, A)
    run = Store(root).find(A)
    assert rows(run).equals(chaos.truth(A)) and run is not None
    assert run.state == "complete" and run.receipt == chaos.RECEIPT and run.asked == chaos.asked(A)
    assert run.kept("context") == chaos.CONTEXT and run.kept("other") is None
    (entry,) = Store(root).entries()
    assert (entry.run, entry.kind, entry.asked, entry.state) == (A, "effects", chaos.asked(A), "complete")
    assert (entry.rows, entry.seconds, entry.pinned) == (240, 1.5, False)
    assert entry.bytes == files.size(root / "runs" / A) and entry.created <= entry.used
    assert not Store(root).notices()


def test_unknown_runs(root: Path) -> None:
    store = Store(root)
    for name in (A, "../" + "a" * 9, "A" * 12, "", "a" * 13, A + "\n"):
        assert store.find(name) is None
        with pytest.raises(IvxError):
            store.delete(name)
        with pytest.raises(IvxError):
            store.pin(name, True)
    for name in ("../../outside", A + "\n"):
        with pytest.raises(IvxError, match="no run id"):
            store.begin(name, asked={})
    assert store.entries() == []


def test_a_run_without_rows_or_receipt_is_partial(root: Path) -> None:
    run = begun(Store(root), A)
    assert run.table(KEY) is None and run.state == "partial" and run.receipt is None
    run.append(chaos.truth(A)[:0])
    assert run.table(KEY) is None
    run.append(chaos.truth(A)[:50])
    assert rows(Store(root).find(A)).num_rows == 50 and Store(root).entries()[0].rows == 50
    run.append(chaos.truth(A)[50:])
    assert rows(run).equals(chaos.truth(A)) and Store(root).entries()[0].rows == 240
    assert [entry.seconds for entry in Store(root).entries()] == [None]


def test_begin_reopens_and_keeps_what_was_asked(root: Path) -> None:
    filled(root, A)
    run = Store(root).begin(A, asked={"kind": "other"})
    assert run.state == "complete" and run.asked == chaos.asked(A)


@settings(max_examples=25, deadline=None)
@given(
    drawn=st.lists(
        st.lists(
            st.tuples(
                st.sampled_from(["effect", "control"]), st.sampled_from("xyz"), st.integers(0, 3), st.floats(-9, 9)
            ),
            min_size=1,
            max_size=12,
        ),
        min_size=1,
        max_size=4,
    ),
    key=st.lists(st.sampled_from(["role", "patch", "sample"]), unique=True),
)
def test_the_first_of_doubled_rows_stands(lasting: Path, drawn: list[list[tuple]], key: list[str]) -> None:
    shutil.rmtree(lasting / "runs" / B, ignore_errors=True)
    run = begun(Store(lasting), B)
    expected: dict[tuple, dict] = {}
    for i, batch in enumerate(drawn):
        named = [dict(zip(("role", "patch", "sample", "logit"), row, strict=True)) for row in batch]
        named = [{name: row[name] for name in [*key, "logit"]} | {"batch": i} for row in named]
        run.append(pa.Table.from_pylist(named))
        for row in named:
            expected.setdefault(tuple(row[name] for name in key) or (len(expected),), row)
    assert rows(run).to_pylist() == list(expected.values())


def test_shards_of_other_columns_are_refused(root: Path) -> None:
    run = filled(root, A, complete=False)
    with pytest.raises(IvxError, match="other columns"):
        run.append(pa.table({"sample": [1]}))
    with pytest.raises(IvxError, match="other columns"):
        begun(Store(root), A).append(pa.table({"sample": [1]}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(deadline=None)
@given(value=json_values, data=st.data())
def test_a_sealed_document_opens_only_as_it_was_and_where_it_was(value: object, data: st.DataObject) -> None:
    sealed = documents.seal(value, "here")
    opened = documents.unseal(sealed, "here")
    assert opened == value and repr(opened) == repr(value)  # the order of names too
    at, bit = data.draw(st.integers(0, len(sealed) - 1)), data.draw(st.integers(0, 7))
    flipped = bytearray(sealed)
    flipped[at] ^= 1 << bit
    for bad in (bytes(flipped), sealed[:at], sealed + b" ", sealed * 2):
        with pytest.raises(Damaged):
            documents.unseal(bad, "here")
    with pytest.raises(Damaged):
        documents.unseal(sealed, "there")


@settings(max_examples=20, deadline=None)
@given(value=json_values)
def test_small_values_and_kept_documents(lasting: Path, value: object) -> None:
    store = Store(lasting)
    store.put("view", value)
    begun(store, A).keep("context", value)
    assert store.get("view") == value and store.get("other") is None
    assert begun(store, A).kept("context") == value


def test_values_that_do_not_fit_are_refused(root: Path) -> None:
    store = Store(root)
    with pytest.raises(IvxError, match="only small ones"):
        store.put("view", "x" * 2_000_000)
    with pytest.raises(TypeError):
        store.put("view", {1, 2})
    run = begun(store, A)
    for name in ("receipt", "asked", "../x", "a/b", ""):
        with pytest.raises(ValueError):
            run.keep(name, 1)
        assert run.kept(name) is None


def test_everything_is_open_to_its_owner_alone(root: Path) -> None:
    root.mkdir(mode=0o755)
    before = os.umask(0)
    try:
        store = Store(root)
        store.put("view", 1)
        with filled(root, A).lock():
            store.pin(A, True)
        damage(root / "runs" / A / "receipt.json", "garbage")
        assert store.find(A).receipt is None  # type: ignore[union-attr]
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(os.lstat(path).st_mode) for path in (root, *root.rglob("*"))}
    assert len(modes) > 12
    # The damaged file is as whoever damaged it left it.
    wrong = {p for p, mode in modes.items() if mode != (0o700 if p.is_dir() else 0o600) and p.parent.name != "aside"}
    assert not wrong


def test_a_folder_that_others_rely_on_is_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    home = tmp_path / "home" / "somebody"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    (tmp_path / "file").touch()
    for place in (shared, home, home.parent, Path("/"), tmp_path / "file"):
        mode = place.stat().st_mode
        with pytest.raises(IvxError, match="IVX_CACHE"):
            Store(place)
        assert place.stat().st_mode == mode
    monkeypatch.setenv("IVX_CACHE", str(home / "cache"))
    assert Store().root == home / "cache"
    for text in ("ten", "-1", "nan", "inf"):
        monkeypatch.setenv("IVX_CACHE_GB", text)
        with pytest.raises(IvxError, match="IVX_CACHE_GB"):
            Store()


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "file", []
    fsync, replace = os.fsync, os.replace

    def synced(file: int) -> None:
        fsync(file)
        seen.append(("folder" if stat.S_ISDIR(os.fstat(file).st_mode) else os.fstat(file).st_size, path.exists()))

    def refused(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", synced)
    files.write(path, b"four")
    assert seen == [(4, False), ("folder", True)] and path.read_bytes() == b"four"
    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(IvxError, match="No space left"):
        files.write(path, b"other")
    monkeypatch.setattr(os, "replace", replace)
    assert path.read_bytes() == b"four" and os.listdir(tmp_path) == ["file"]


# What is damaged is never served.


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    path.unlink()
    match how:
        case "emptied":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(data[: len(data) // 2])
        case "flipped":
            at = len(data) // 2
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        case "garbage":
            path.write_bytes(b"\0garbage" * 40)
        case "link":
            other = path.parent.parent / f"elsewhere-{path.name}"
            other.write_bytes(data)
            path.symlink_to(other)
        case "folder":
            path.mkdir()
            (path / "inside").touch()
        case "pipe":
            os.mkfifo(path)


KINDS = ("emptied", "cut", "flipped", "garbage", "deleted", "link", "folder", "pipe")


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


# The index is a cache that cannot run anything.


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return open, (str(self.path), "w")


def plant(database: Path, sprung: Path, outside: Path) -> None:
    """Rows that make diskcache unpickle, open or remove what it should not."""
    trap = pickle.dumps(Trap(sprung))
    outside.write_bytes(trap)
    with sqlite3.connect(database) as connection:
        for i, (key, raw, mode, name, value) in enumerate(
            [
                ("value/pickle", 1, 4, None, trap),
                ("value/named", 1, 4, str(outside), None),
                ("value/climbs", 1, 4, f"../../{outside.name}", None),
                ("value/binary", 1, 2, str(outside), None),
                ("value/text", 1, 3, str(outside), None),
                ("value/raw", 1, 1, str(outside), trap),
                ("value/bytes", 1, 1, None, trap),
                ("value/number", 1, 1, None, 5),
                (trap, 0, 1, None, 5),
            ]
        ):
            connection.execute("DELETE FROM Cache WHERE key = ?", (key,))
            connection.execute(
                "INSERT INTO Cache (key, raw, store_time, access_time, expire_time, tag, mode, filename, value, size)"
                " VALUES (?, ?, ?, 0, ?, 'tag', ?, ?, ?, 0)",
                (key, raw, i, None if i % 2 else 9e12, mode, name, value),
            )
    connection.close()


PLANTED = [f"value/{name}" for name in ("pickle", "named", "climbs", "binary", "text", "raw", "bytes", "number")]


def test_planted_rows_are_sprung_by_diskcache_itself(tmp_path: Path) -> None:
    """The traps are real: without the safe Disk they run code and remove a file."""
    cache = diskcache.Cache(str(tmp_path / "cache"))
    plant(tmp_path / "cache" / "cache.db", tmp_path / "sprung", tmp_path / "outside")
    with pytest.raises(Exception):  # noqa: B017  (whatever the half-open file object brings)
        cache.get("value/pickle").missing_attribute  # noqa: B018
    assert (tmp_path / "sprung").exists()
    cache.clear()
    assert not (tmp_path / "outside").exists()


def test_planted_rows_are_forgotten(root: Path, tmp_path: Path) -> None:
    sprung, outside = tmp_path / "sprung", tmp_path / "outside"
    filled(root, A)
    Store(root).put("pickle", "good")
    plant(root / "index" / "cache.db", sprung, outside)
    store = Store(root)
    for key in PLANTED:
        assert store.get(key.removeprefix("value/")) is None
    assert len(store.notices()) == len(PLANTED) and all("forgotten" in sentence for sentence in store.notices())
    store.put("named", "new")
    assert store.get("named") == "new" and [entry.run for entry in store.entries()] == [A]
    assert not sprung.exists() and outside.exists()


@pytest.mark.parametrize("policy", ["least-recently-stored", "least-recently-used"])
def test_no_way_through_diskcache_springs_a_trap(tmp_path: Path, policy: str) -> None:
    sprung, outside = tmp_path / "sprung", tmp_path / "outside"
    cache = diskcache.Cache(str(tmp_path / "cache"), disk=InlineDisk, eviction_policy=policy)

    def planted() -> diskcache.Cache:
        plant(tmp_path / "cache" / "cache.db", sprung, outside)
        return cache

    for key in PLANTED:
        planted().get(key, read=True), planted().get(key, expire_time=True, tag=True)
        planted().pop(key), planted().delete(key), planted().add(key, b"new"), planted().set(key, b"new")
        planted().touch(key), planted().pop(key, retry=True)
    list(planted()), list(planted().iterkeys()), list(reversed(planted()))
    planted().peekitem(), planted().evict("tag"), planted().expire(now=1e13), planted().clear()
    planted().reset("size_limit", 0)
    cache.cull()
    assert len(cache) == 0 and len(planted()) == 9
    cache.set("key", b"value")
    cache.close()
    assert not sprung.exists() and outside.exists()


def test_the_disk_takes_nothing_but_bytes(tmp_path: Path) -> None:
    cache = diskcache.Cache(str(tmp_path), disk=InlineDisk, disk_min_file_size=1)
    with pytest.raises(TypeError):
        cache.set(("a", 1), b"value")
    with pytest.raises(TypeError):
        cache.set("key", ["value"])
    cache.set("key", b"value" * 100_000)
    assert cache.get("key") == b"value" * 100_000
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("cache.db")] == []


@pytest.mark.parametrize("how", [*KINDS, "settings", "directory", "table", "other", "whole", "journal"])
def test_a_damaged_index_is_made_anew(root: Path, tmp_path: Path, how: str) -> None:
    filled(root, A)
    Store(root).put("view", "good")
    database = root / "index" / "cache.db"
    match how:
        case "settings":
            with sqlite3.connect(database) as connection:
                connection.execute("INSERT INTO Settings VALUES ('disk__directory', '/')")
        case "directory":
            with sqlite3.connect(database) as connection:
                connection.execute("INSERT INTO Settings VALUES ('_directory', ?)", (str(tmp_path),))
        case "table":
            with sqlite3.connect(database) as connection:
                connection.execute("DROP TABLE Cache")
                connection.execute("CREATE TABLE Cache (key)")
        case "other":
            (root / "index" / "ab").mkdir()
        case "whole":
            shutil.rmtree(root / "index")
            (root / "index").symlink_to(tmp_path)
        case "journal":
            (root / "index" / "cache.db-journal").symlink_to(tmp_path / "nothing")
        case "flipped":
            data = bytearray(database.read_bytes())
            for at in range(0, len(data), 97):
                data[at] ^= 8
            database.write_bytes(data)
        case _:
            damage(database, how)
    store = Store(root)
    assert store.get("view") is None
    assert [entry.run for entry in store.entries()] == [A] and rows(store.find(A)).equals(chaos.truth(A))
    store.put("view", "new")
    assert Store(root).get("view") == "new"
    if how not in ("deleted", "emptied"):
        assert any("index" in sentence for sentence in store.notices())
    assert not (tmp_path / "cache.db").exists() and not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("how", [*KINDS, "rows", "cut in place"])
def test_an_index_damaged_while_it_is_open(root: Path, how: str) -> None:
    filled(root, A)
    store = Store(root)
    store.put("view", "good")
    if how == "rows":
        with sqlite3.connect(root / "index" / "cache.db") as connection:
            connection.execute("UPDATE Settings SET value = 'x' WHERE key = 'size'")
    elif how == "cut in place":
        os.truncate(root / "index" / "cache.db", 8192)
    else:
        damage(root / "index" / "cache.db", how)
    assert store.get("view") in (None, "good")
    for _ in range(2):
        store.put("view", "new")
        assert store.get("view") == "new"
    assert [entry.run for entry in store.entries()] == [A] and Store(root).get("view") == "new"


def test_an_index_that_another_process_has_replaced_is_found(root: Path) -> None:
    store = Store(root)
    store.put("view", "old")
    shutil.rmtree(root / "index")
    Store(root).put("view", "new")
    assert store.get("view") == "new" and not store.notices()


def test_the_whole_store_may_vanish_while_it_is_open(root: Path) -> None:
    run, store = filled(root, A), Store(root)
    shutil.rmtree(root)
    assert store.entries() == [] and store.find(A) is None and store.get("view") is None and run.table(KEY) is None
    with pytest.raises(IvxError, match="deleted"):
        run.append(chaos.truth(A))
    with pytest.raises(IvxError, match="deleted"), run.lock():
        pass
    chaos.work(root, A)
    assert begun(store, A).state == "complete"


# Room.


def sized(root: Path, run: str, size: int, *, limit_gb: float) -> Store:
    store = Store(root, limit_gb=limit_gb)
    found = begun(store, run)
    found.append(noise(size, int(run[0], 16)))
    found.complete({})
    return store


def there(root: Path) -> set[str]:
    return {entry.run for entry in Store(root).entries()}


def test_the_least_recently_used_run_goes(root: Path) -> None:
    limit = 75_000 / 1e9
    for run in (A, B, C):
        sized(root, run, 20_000, limit_gb=limit)
    assert there(root) == {A, B, C}
    assert Store(root).find(A) is not None  # used again
    store = sized(root, D, 20_000, limit_gb=limit)
    assert there(root) == {A, C, D} and store.entries()[0].run == D
    assert [entry.run for entry in Store(root).entries()] == [D, A, C]


def test_use_is_told_from_the_folders_when_the_index_is_lost(root: Path) -> None:
    limit = 75_000 / 1e9
    for run in (A, B, C):
        sized(root, run, 20_000, limit_gb=limit)
    for run, age in ((A, 10), (B, 30), (C, 20)):
        os.utime(root / "runs" / run, (0, 1_000_000 - age))
    shutil.rmtree(root / "index")
    sized(root, D, 20_000, limit_gb=limit)
    assert there(root) == {A, C, D}


def test_pinned_and_running_runs_stay(root: Path) -> None:
    limit = 75_000 / 1e9
    for run in (A, B, C):
        sized(root, run, 20_000, limit_gb=limit)
    Store(root).pin(A, True)
    running = Store(root)._run(B)
    with running.lock() as mine:
        assert mine
        sized(root, D, 20_000, limit_gb=limit)
        assert there(root) == {A, B, D}
        with pytest.raises(IvxError, match="being computed"):
            Store(root).delete(B)
    Store(root).pin(A, False)
    sized(root, C, 20_000, limit_gb=limit)
    assert there(root) == {B, C, D}
    Store(root).delete(B)
    assert there(root) == {C, D}


def test_a_run_that_grows_makes_room_before_it_is_complete(root: Path) -> None:
    store = sized(root, A, 40_000, limit_gb=75_000 / 1e9)
    run = begun(store, B)
    for _ in range(3):
        run.append(noise(20_000, 1))
    assert there(root) == {B} and not store.notices()


def test_an_oversized_run_drops_no_other(root: Path) -> None:
    limit = 75_000 / 1e9
    for run in (A, B):
        sized(root, run, 20_000, limit_gb=limit)
    store = sized(root, C, 100_000, limit_gb=limit)
    assert there(root) == {A, B, C}
    (sentence,) = store.notices()
    assert C in sentence and "alone exceeds" in sentence
    sized(root, D, 20_000, limit_gb=limit)
    assert there(root) == {A, B, D}


def test_an_oversized_run_that_is_pinned_drops_no_other(root: Path) -> None:
    limit = 75_000 / 1e9
    sized(root, C, 100_000, limit_gb=limit)
    Store(root).pin(C, True)
    for run in (A, B):
        sized(root, run, 20_000, limit_gb=limit)
    assert there(root) == {A, B, C}


def test_a_delete_that_was_cut_short_is_finished(root: Path) -> None:
    filled(root, A)
    (root / "runs" / A).rename(root / "runs" / f".{A}-00000000.gone")
    assert Store(root).entries() == [] and os.listdir(root / "runs") == []


# Several at once.


def test_a_lock_is_held_by_one(root: Path) -> None:
    run = begun(Store(root), A)
    seen: list[bool] = []

    def other() -> None:
        with begun(Store(root), A).lock() as mine:
            seen.append(mine)

    with run.lock() as mine, run.lock() as again:
        assert mine and not again and run.state == "running"
        assert [entry.state for entry in Store(root).entries()] == ["running"]
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert seen == [False] and run.state == "partial"
    other()
    assert seen == [False, True]


def test_who_only_asks_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    asker = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(asker, fcntl.LOCK_SH)
    assert not locks.is_held(path)
    threading.Timer(0.05, os.close, (asker,)).start()
    with locks.hold(path) as mine:
        assert mine and locks.is_held(path)


def test_a_lock_on_a_removed_file_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = tmp_path / "lock", locks._lock

    def removed_first(file: int, kind: int) -> bool:
        monkeypatch.setattr(locks, "_lock", real)
        path.unlink()
        return real(file, kind)

    monkeypatch.setattr(locks, "_lock", removed_first)
    with locks.hold(path) as mine:
        assert mine and locks.is_held(path)


def test_to_ask_for_the_state_keeps_nobody_from_the_lock(root: Path) -> None:
    run, stop = begun(Store(root), A), threading.Event()

    def ask() -> None:
        while not stop.is_set():
            run.is_locked()

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    got = []
    for _ in range(100):
        with run.lock() as mine:
            got.append(mine)
    stop.set()
    for asker in askers:
        asker.join()
    assert all(got)


def test_a_killed_process_lets_go(root: Path) -> None:
    held = (
        "import sys, time; from pathlib import Path; from ivx.store.store import Store\n"
        f"with Store(Path({str(root)!r})).begin({A!r}, asked={{}}).lock() as mine:\n"
        "    print(mine, flush=True)\n"
        "    time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", held], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "True\n"
    run = Store(root).find(A)
    assert run is not None and run.state == "running"
    with run.lock() as mine:
        assert not mine
    with pytest.raises(IvxError, match="being computed"):
        Store(root).delete(A)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert run.state == "partial"
    with run.lock() as mine:
        assert mine


def crowd(root: Path, which: int) -> None:
    """One of several processes that write the same run, a run of its own, and small values, and list all."""
    store = Store(root)
    shared, whole = begun(store, A), chaos.truth(A)
    own = begun(store, f"{which:012x}")
    order = list(range(0, whole.num_rows, 10))
    random.Random(which).shuffle(order)
    for start in order:
        shared.append(whole[start : start + 10])
        own.append(chaos.truth(own.id)[start : start + 10])
        store.put(f"value{which}", start)
        assert store.get(f"value{which}") == start
        assert all(entry.rows for entry in store.entries() if entry.run == A)
    own.complete(chaos.RECEIPT)
    assert not store.notices(), store.notices()


def test_several_processes_share_a_store(root: Path) -> None:
    context = multiprocessing.get_context("spawn")
    crowd_ = [context.Process(target=crowd, args=(root, which)) for which in range(3)]
    for process in crowd_:
        process.start()
    for process in crowd_:
        process.join(120)
    assert [process.exitcode for process in crowd_] == [0, 0, 0]
    store = Store(root)
    assert chaos.by_key(rows(store.find(A))) == chaos.by_key(chaos.truth(A))
    for which in range(3):
        assert chaos.examine(store.find(f"{which:012x}"), f"{which:012x}") == 240
    assert len(store.entries()) == 4 and not store.notices()


def test_processes_that_find_the_same_damage_share_one_index(root: Path) -> None:
    filled(root, A)
    stores = [Store(root) for _ in range(4)]
    damage(root / "index" / "cache.db", "garbage")
    threads = [threading.Thread(target=store.put, args=(f"value{i}", i)) for i, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [Store(root).get(f"value{i}") for i in range(4)] == [0, 1, 2, 3]
    assert len(list((root / "aside").iterdir())) == 1
