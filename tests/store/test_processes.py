"""Several processes share a store."""

from __future__ import annotations

import multiprocessing
import random
import threading
from pathlib import Path

from ivx.store.store import Store
from tests.support import chaos
from tests.support.stores import A, begun, damage, filled, rows


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
