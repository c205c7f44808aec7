"""Locks: one holder at a time, and none that outlives its process."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ivx.errors import IvxError
from ivx.store import locks
from ivx.store.store import Store
from tests.support.stores import A, begun


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
