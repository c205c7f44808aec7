"""The limit of bytes: which runs go, and which stay."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ivx.errors import IvxError
from ivx.store.store import Store
from tests.support.stores import A, B, C, D, begun, filled, noise


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
