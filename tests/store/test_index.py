"""The index: a cache that cannot run anything, and is made anew when it is damaged."""

from __future__ import annotations

import os
import pickle
import shutil
import sqlite3
from pathlib import Path

import diskcache
import pytest

from ivx.engine.schema import KEY
from ivx.errors import IvxError
from ivx.store.disk import InlineDisk
from ivx.store.store import Store
from tests.support import chaos
from tests.support.stores import KINDS, A, begun, damage, filled, rows


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
