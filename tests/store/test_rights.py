"""A store that cannot be written to is read; one that cannot be at all is refused in one sentence."""

from __future__ import annotations

import os
import resource
import signal
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from ivx.archive import members
from ivx.cli.main import main
from ivx.errors import IvxError
from ivx.numeral import integer
from ivx.store.store import Store
from tests.support import chaos
from tests.support.stores import A, B, begun, filled, rows

NOBODY = 65534


def in_child(act: Callable[[], None]) -> None:
    """Run `act` in a child without a privilege that root has; what it raises fails the test."""
    child = os.fork()
    if not child:
        status = 1
        try:
            if os.geteuid() == 0:
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            act()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def opened_up(path: Path, mode: int = 0o755) -> None:
    """Let everybody look into a folder and those above it."""
    for part in (path, *path.parents):
        if str(part).startswith("/tmp/"):
            part.chmod(part.stat().st_mode | 0o711)
    for part in (path, *path.rglob("*")):
        part.chmod(mode if part.is_dir() else 0o644)


def test_a_store_of_somebody_else_is_read(root: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    filled(root, A)
    begun(Store(root), B).append(chaos.truth(B))
    opened_up(root)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}

    def act() -> None:
        store = Store(root)
        listed = {entry.run: entry for entry in store.entries()}
        assert listed[A].state == "complete" and listed[B].rows == chaos.truth(B).num_rows
        found = store.find(A)
        assert found is not None and found.receipt == chaos.RECEIPT and rows(found).equals(chaos.truth(A))
        assert len(store.of_kind("effects")) == 2
        store.put("key", 1)
        assert store.get("key") is None
        [told] = store.notices()
        assert str(root) in told and "can only be read" in told and "IVX_CACHE" in told
        for write in (
            lambda: store.begin(B, asked=chaos.asked(B)),
            lambda: store.delete(A),
            lambda: store.pin(A, True),
            lambda: found.keep("other", 1),
            lambda: found.append(chaos.truth(A)[:1]),
        ):
            with pytest.raises(IvxError, match="can only be read|cannot be written") as caught:
                write()
            assert "\n" not in str(caught.value)
        os.environ["IVX_CACHE"] = str(root)
        assert main(["runs"]) == 0

    in_child(act)
    assert before == {path: path.stat().st_mtime_ns for path in root.rglob("*")}


PLACES: list[tuple[str, Callable[[Path], Path]]] = [
    ("a loop of links", lambda at: _loop(at)),
    ("a file in the place of the folder", lambda at: _file(at)),
    ("a folder below a file", lambda at: _file(at) / "store"),
    ("a name that is too long", lambda at: at / ("x" * 300)),
    ("a path that is too long", lambda at: at / "/".join(["x" * 200] * 30)),
    ("a NUL", lambda at: at / "a\0b"),
    ("nobody's home", lambda at: Path("~nobody-of-this-name/store")),
    ("a pipe", lambda at: _pipe(at)),
    ("a link to a file", lambda at: _link(at)),
]


def _loop(at: Path) -> Path:
    (at / "one").symlink_to(at / "two")
    (at / "two").symlink_to(at / "one")
    return at / "one"


def _file(at: Path) -> Path:
    (at / "file").write_text("a file")
    return at / "file"


def _pipe(at: Path) -> Path:
    os.mkfifo(at / "pipe")
    return at / "pipe"


def _link(at: Path) -> Path:
    (at / "link").symlink_to(_file(at))
    return at / "link"


@pytest.mark.parametrize("what, place", PLACES, ids=[what for what, _ in PLACES])
def test_where_no_store_can_be(
    what: str,
    place: Callable[[Path], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    where = place(tmp_path)
    with pytest.raises(IvxError, match="IVX_CACHE"):
        Store(where)
    if "\0" not in str(where):
        monkeypatch.setenv("IVX_CACHE", str(where))
        assert main(["runs"]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_folders_that_nobody_may_look_into(tmp_path: Path) -> None:
    """Neither the root nor a run's folder is opened up where it is not one's own; one's own rights are mended."""
    opened_up(tmp_path)
    own, closed = tmp_path / "own", tmp_path / "closed"
    for folder in (own, closed):
        folder.mkdir()
    if os.geteuid() == 0:
        os.chown(own, NOBODY, NOBODY)
    closed.chmod(0)

    def act() -> None:
        if os.getuid() == NOBODY:
            with pytest.raises(IvxError, match="cannot be a store"):
                Store(closed)
            with pytest.raises(IvxError, match="cannot be a store"):
                Store(closed / "below")
            with pytest.raises(IvxError, match="cannot be read"):
                members.members(closed / "run.zip")
        filled(own, A)
        filled(own, B)
        for part in (f"runs/{A}/shards", f"runs/{A}", "runs", "index"):
            (own / part).chmod(0)
        store = Store(own)
        assert B in {entry.run for entry in store.entries()}
        begun(store, A)
        assert rows(store.find(A)).equals(chaos.truth(A))

    in_child(act)


@pytest.mark.parametrize("home", [None, "/nowhere/at/all", "/proc", ""])
def test_without_a_home(root: Path, home: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if home is None:
        monkeypatch.delenv("HOME", raising=False)
    else:
        monkeypatch.setenv("HOME", home)
    filled(root, A)
    assert [entry.run for entry in Store(root).entries()] == [A]


@pytest.mark.parametrize("when", [317_000_000_000, -10_000_000_000, 2**34])
def test_a_date_that_no_calendar_has(
    root: Path, when: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(root, A)
    folder = root / "runs" / A
    (folder / "asked.json").unlink()
    store = Store(root)
    store._index.put(f"used/{A}", float(when))
    os.utime(folder, (when, when))
    monkeypatch.setenv("IVX_CACHE", str(root))
    for listing in (["runs"], ["runs", "--json"]):
        assert main(listing) == 0 and A in capsys.readouterr().out
    store._index.drop(f"used/{A}")
    assert main(["runs"]) == 0


def test_a_full_disk_is_a_sentence(root: Path) -> None:
    run = filled(root, A, complete=False)

    def act() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))
        for write in (
            lambda: run.append(chaos.truth(A)[:7]),
            lambda: run.keep("other", "x" * 100),
            lambda: begun(Store(root), B),
        ):
            with pytest.raises(IvxError, match="cannot be|can only be read"):
                write()
        assert rows(run).equals(chaos.truth(A))

    if os.geteuid() == 0:
        opened_up(root)
    in_child(act)


@pytest.mark.parametrize("told", ["9" * 19, "9" * 5000, "1.5", "٣", "²", "", "-", "--1", "1e3", " 1", "1_000", "nan"])
def test_a_number_of_the_command_line_is_a_short_one(told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError):
        integer(told)
    with pytest.raises(SystemExit) as ended:
        main(["effects", "--checkpoint", "tiny-sft", "--task", "animal/colour", f"--samples={told}"])
    assert ended.value.code == 2 and "Traceback" not in capsys.readouterr().err


def test_rows_of_a_list_are_counted_without_being_decoded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list is made anew from names, sizes and footers, so that a deleted index costs little."""
    begun(Store(root), A).append(chaos.truth(A))
    filled(root, B)
    Store(root).entries()
    for file in (root / "index").iterdir():
        file.unlink()
    monkeypatch.setattr("ivx.store.shards.decode", lambda data: pytest.fail("a shard was decoded"))
    store = Store(root)
    assert {entry.rows for entry in store.entries()} == {chaos.truth(A).num_rows}
    assert store._index.get(f"rows/{A}"), "what was counted is noted"
