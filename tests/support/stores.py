"""Runs of a store, made up, and the ways in which a file can be damaged."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pyarrow as pa

from ivx.engine.schema import KEY
from ivx.store.run import Run
from ivx.store.store import Store
from tests.support import chaos

A, B, C, D = (digit * 12 for digit in "abcd")


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
