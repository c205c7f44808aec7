"""The store: what is written is read, what is damaged is never served, and nothing outside is touched."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivx.engine.schema import KEY
from ivx.errors import IvxError
from ivx.store import documents, files
from ivx.store.files import Damaged
from ivx.store.store import Store
from tests.support import chaos
from tests.support.stores import A, B, begun, damage, filled, rows


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
