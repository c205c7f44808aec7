"""Chaos: the store under kills and damage. `python tests/support/chaos.py [--rounds 50] [--sweeps 50] [--corruptions
200]`.

Kills: a child works on a run of many small batches, is killed at any moment, and another goes on from what the store
still holds; then the same with real sweeps. Corruptions: files of a store are cut, flipped, deleted or replaced, the
store is opened and read whole, and then worked on until it is whole again. What may never happen: an exception, or a
row lost, doubled or wrong.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path

import pyarrow as pa

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from ivx.engine.schema import KEY  # noqa: E402
from ivx.store.run import Run  # noqa: E402
from ivx.store.store import RUN, Store  # noqa: E402

LAYERS, SAMPLES = 12, 10
CONTEXT = {"samples": ["a", "b"], "maps": {"resid_post": [0, 1]}}
RECEIPT = {"seconds": 1.5, "rows": 2 * LAYERS * SAMPLES}
TASK, SWEPT = "animal/colour", 60
"""What the real sweeps ask for, and of how many samples."""
PACE = 0.008
"""Mean seconds between two batches of a child that is to be killed."""


def asked(run: str) -> dict:
    """What a run was asked for; any JSON would do."""
    return {
        "kind": "effects",
        "request": {"task": "animal/colour", "seed": int(run, 16)},
        "checkpoint": {"name": "tiny"},
    }


def truth(run: str) -> pa.Table:
    """The undisturbed rows of a run: the same at every call."""
    chance = random.Random(run)
    rows = [
        {
            "sample": sample,
            "patch": f"resid_post.{layer}@0~-1",
            "logit": chance.gauss(0, 5),
            "contrast": None if layer == 3 else chance.gauss(0, 5),
            "top_ids": [chance.randrange(1000) for _ in range(5)],
            "role": role,
            "site": "resid_post",
        }
        for role in ("effect", "control")
        for layer in range(LAYERS)
        for sample in range(SAMPLES)
    ]
    types = [pa.int32(), pa.string(), pa.float64(), pa.float64(), pa.list_(pa.int32()), pa.string(), pa.string()]
    return pa.Table.from_pylist(rows, schema=pa.schema(list(zip(rows[0], types, strict=True))))


def work(store_root: Path, run: str, *, pace: float = 0.0) -> None:
    """Compute what the store lacks of a run, in small batches, and complete it."""
    chance = random.Random()
    under_way = Store(store_root).begin(run, asked=asked(run))
    with under_way.lock() as mine:
        if not mine:
            return
        if under_way.kept("context") is None:
            under_way.keep("context", CONTEXT)
        there, whole = by_key(under_way.table(KEY)), truth(run)
        missing = whole.filter(pa.array([key not in there for key in keys(whole)], pa.bool_()))
        while missing.num_rows:
            size = chance.randint(1, 12 if pace else 60)
            if pace:
                time.sleep(chance.expovariate(1 / pace))
            under_way.append(missing[:size])
            missing = missing[size:]
        if under_way.state != "complete":
            under_way.complete(RECEIPT)


def keys(table: pa.Table) -> list[tuple]:
    return list(zip(*(table[name].to_pylist() for name in KEY), strict=True))


def by_key(table: pa.Table | None) -> dict[tuple, dict]:
    """Rows by key; no key may come twice."""
    if table is None:
        return {}
    found = dict(zip(keys(table), table.to_pylist(), strict=True))
    assert len(found) == table.num_rows, "a row is doubled"
    return found


def examine(run: Run | None, name: str) -> int:
    """Read all of a run; no row or document may differ from the truth. Returns the rows that are there."""
    if run is None:
        return 0
    state, receipt, whole = run.state, run.receipt, by_key(truth(name))
    found = by_key(run.table(KEY))
    assert all(whole.get(key) == row for key, row in found.items()), "a row is wrong"
    assert run.asked in ({}, asked(name)) and run.kept("context") in (None, CONTEXT) and receipt in (None, RECEIPT)
    assert receipt is None or found == whole, "a run passes for complete and is not"
    assert state in (("complete",) if receipt else ("partial",)), f"{name} is {state}"
    return len(found)


def kills(rounds: int, root: Path, chance: random.Random) -> Counter[str]:
    """Kill a child `rounds` times; each run is worked on until it is whole, then another begun."""
    done: Counter[str] = Counter()
    run, before = f"{chance.getrandbits(48):012x}", 0
    while done["kills"] < rounds:
        child = subprocess.Popen(
            [sys.executable, __file__, "--work", str(root), run], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert child.stdout is not None and child.stdout.readline() == b"at work\n"
        time.sleep(chance.uniform(0, 0.5))
        child.send_signal(signal.SIGKILL)
        _, errors = child.communicate()
        assert child.returncode in (0, -signal.SIGKILL), errors.decode()
        done["kills"] += child.returncode != 0
        store = Store(root)
        rows = examine(store.find(run), run)
        assert rows >= before, "rows were lost"
        assert not store.notices(), store.notices()
        done["kills that left rows to compute"] += child.returncode != 0 and rows < RECEIPT["rows"]
        before = rows
        if rows == RECEIPT["rows"] or done["kills"] == rounds:
            work(root, run)
            assert examine(Store(root).find(run), run) == RECEIPT["rows"]
            done["runs finished whole"] += 1
            run, before = f"{chance.getrandbits(48):012x}", 0
    return done


def sweeps(rounds: int, root: Path, chance: random.Random) -> Counter[str]:
    """Kill real sweeps of `tiny-sft` at any moment; each goes on until it is whole, and equals an undisturbed one."""
    import ivx

    done: Counter[str] = Counter()
    model, seed = ivx.load("tiny-sft"), 0
    # Children are forked from a process that has read torch and run nothing, so that each is at work within a second.
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["ivx.analyses.effects.compute", "ivx.models.load"])
    while done["kills"] < rounds:
        whole = ivx.effects(model, TASK, samples=SWEPT, seed=seed)
        name = whole.run_id
        while (run := Store(root).find(name)) is None or run.receipt is None:
            at_work = made.Event()
            child = made.Process(target=sweep, args=(root, seed, at_work))
            child.start()
            assert at_work.wait(60), "the child did not start"
            if done["kills"] < rounds:
                time.sleep(chance.uniform(0, 1.2 * whole.receipt["seconds"]))
                child.kill()
            child.join()
            assert child.exitcode in (0, -signal.SIGKILL), child.exitcode
            done["kills"] += child.exitcode != 0
            under_way = Store(root).find(name)
            rows = under_way.table(KEY) if under_way is not None else None
            done["kills that left rows to compute"] += rows is None or rows.num_rows < whole.table.num_rows
        found, truth = by_key(run.table(KEY)), by_key(whole.table)
        assert found.keys() == truth.keys(), "rows are lost or doubled"
        apart = max(abs(row["logit"] - truth[key]["logit"]) for key, row in found.items())
        assert apart < 2e-5, f"a row is wrong by {apart}"  # another batch rounds otherwise in float32
        done["sweeps finished whole"] += 1
        seed += 1
    return done


def sweep(root: Path, seed: int, at_work: Event) -> None:
    """Be the child: compute what the store lacks of one request."""
    import ivx
    from ivx.analyses.effects.request import EffectsRequest
    from ivx.jobs.compute import computed

    model = ivx.load("tiny-sft")
    at_work.set()
    computed(Store(root), model, EffectsRequest("tiny-sft", TASK, samples=SWEPT, seed=seed))


def corruptions(number: int, root: Path, chance: random.Random) -> Counter[str]:
    """Damage one thing `number` times; after each, read all in a fresh store, then work until all is whole again."""
    done: Counter[str] = Counter()
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"not the store's")
    runs = [f"{chance.getrandbits(48):012x}" for _ in range(4)]
    for run in runs:
        work(root, run)
    Store(root).put("view", CONTEXT)
    Store(root).pin(runs[0], True)
    for i in range(number):
        name = chance.choice(sorted(DAMAGE))
        target = choose(root, chance)
        while name in ("flip", "cut") and (target.is_symlink() or not target.is_file() or not target.stat().st_size):
            target = choose(root, chance)
        DAMAGE[name](target, root, chance)
        done[name] += 1
        what = f"{name} of {target.relative_to(root)}"
        try:
            if i % 10 == 0:
                subprocess.run([sys.executable, __file__, "--read", str(root)], check=True, capture_output=True)
            store = Store(root)
            rows = {run: examine(store.find(run), run) for run in runs}
            assert {entry.run for entry in store.entries()} <= set(runs)
            assert store.get("view") in (None, CONTEXT)
            done["found and said"] += bool(store.notices())
            done["runs that lost rows"] += sum(found < RECEIPT["rows"] for found in rows.values())
            for run in runs:
                work(root, run)
                assert examine(store.find(run), run) == RECEIPT["rows"], "a run was not made whole"
            store.put("view", CONTEXT)
            assert store.get("view") == CONTEXT
            store.pin(runs[0], True)
        except subprocess.CalledProcessError as error:
            raise AssertionError(f"after {what}: {error.stderr.decode()}") from error
        except Exception as error:
            raise AssertionError(f"after {what}: {error!r}") from error
        assert os.listdir(outside) == ["file"] and (outside / "file").read_bytes() == b"not the store's", what
    done["corruptions"] = number
    return done


def everything(root: Path) -> list[Path]:
    """All files and folders of a whole store, but for what is aside."""
    return sorted(path for path in root.rglob("*") if path.relative_to(root).parts[0] != "aside")


def choose(root: Path, chance: random.Random) -> Path:
    """One of them, each kind as likely as another."""
    kinds: dict[str, list[Path]] = {}
    for path in [*everything(root), *root.glob("aside")]:
        kind = "shard" if path.parent.name == "shards" else "run" if RUN.fullmatch(path.name) else path.name
        kinds.setdefault(kind, []).append(path)
    return chance.choice(kinds[chance.choice(sorted(kinds))])


def cut(path: Path, root: Path, chance: random.Random) -> None:
    os.truncate(path, chance.randrange(path.stat().st_size))


def flip(path: Path, root: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def delete(path: Path, root: Path, chance: random.Random) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def garbage(path: Path, root: Path, chance: random.Random) -> None:
    delete(path, root, chance)
    path.write_bytes(chance.randbytes(chance.choice((0, 1, 100, 5000))))


def link(path: Path, root: Path, chance: random.Random) -> None:
    delete(path, root, chance)
    path.symlink_to(root.parent / chance.choice(("outside", "outside/file", "nothing")))


def folder(path: Path, root: Path, chance: random.Random) -> None:
    delete(path, root, chance)
    path.mkdir()
    (path / "inside").write_bytes(b"garbage")


def pipe(path: Path, root: Path, chance: random.Random) -> None:
    delete(path, root, chance)
    os.mkfifo(path)


def exchange(path: Path, root: Path, chance: random.Random) -> None:
    """Put a copy of another file of the store, or of another folder and all in it, in its place."""
    others = [p for p in everything(root) if p.is_dir() == path.is_dir() and not p.is_relative_to(path)]
    other, copy = chance.choice([p for p in others if not path.is_relative_to(p)] or [path]), root.parent / "copy"
    shutil.copytree(other, copy) if other.is_dir() else shutil.copyfile(other, copy)
    delete(path, root, chance)
    copy.rename(path)


Damage = Callable[[Path, Path, random.Random], None]
DAMAGE: dict[str, Damage] = {
    "cut": cut,
    "flip": flip,
    "delete": delete,
    "garbage": garbage,
    "link": link,
    "folder": folder,
    "pipe": pipe,
    "exchange": exchange,
}


def read(root: Path) -> None:
    """Read all of a store."""
    store = Store(root)
    for entry in store.entries():
        examine(store.find(entry.run), entry.run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--sweeps", type=int, default=50)
    parser.add_argument("--corruptions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", nargs=2, metavar=("ROOT", "RUN"), help="be the child that is killed")
    parser.add_argument("--read", metavar="ROOT", help="only read a store")
    given = parser.parse_args()
    if given.work:
        print("at work", flush=True)
        work(Path(given.work[0]), given.work[1], pace=PACE)
    elif given.read:
        read(Path(given.read))
    else:
        for act, number in ((kills, given.rounds), (sweeps, given.sweeps), (corruptions, given.corruptions)):
            if not number:
                continue
            with tempfile.TemporaryDirectory() as place:
                began = time.monotonic()
                done = act(number, Path(place) / "store", random.Random(given.seed))
                print(
                    ", ".join(f"{count} {name}" for name, count in done.items()), f"in {time.monotonic() - began:.0f} s"
                )


if __name__ == "__main__":
    main()
