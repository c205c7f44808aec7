"""Sweeps over several replicas: the rows of one, each once, whoever dies, and however they end."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

import ivx
from ivx.engine.how import How, Maker
from ivx.engine.shard import Beat, Replica, Terms
from ivx.engine.spread import DEATHS, Died, Lost, Spread, shards_of
from ivx.engine.sweep import how_of
from ivx.engine.workload import Workload, checked
from ivx.errors import Cancelled, IvxError
from ivx.models.model import Model

N = 9
TARGET = [[4 + i, 9, 2 + i % 3, 7, *range(3, 3 + i % 2)] for i in range(N)]
ASKED: dict[str, Any] = {
    "source": [[5 + i, 9, 3, 7, 8][: 4 + i % 2] for i in range(N)],
    "target": TARGET,
    "answer": list(range(1, N + 1)),
    "contrast": list(range(2, N + 2)),
    "reference": TARGET[::-1],
    "patches": [
        *(f"resid_post.{layer}@1~-1" for layer in range(8)),
        "resid_post.3@1=mean",
        "z.2@-1=zero",
        "z.4.3@-1,resid_mid.2@0=random",
    ],
}  # fmt: skip
UNAVERAGED = {**ASKED, "patches": [patch for patch in ASKED["patches"] if "=mean" not in patch]}
"""In more shards than there are replicas."""
NUMBERS = ("logit", "contrast", "logsumexp", "kl_target", "kl_reference")


@cache
def one() -> Model:
    return ivx.load("tiny-sft", dtype="float64")


@cache
def two() -> Model:
    return ivx.load("tiny-sft", dtype="float64", device="cpu,cpu")


@cache
def alone() -> pa.Table:
    return ivx.sweep(one(), **ASKED)


def keys(table: pa.Table) -> list[tuple[str, int]]:
    return list(zip(table["patch"].to_pylist(), table["sample"].to_pylist(), strict=True))


def same(found: pa.Table, single: pa.Table) -> None:
    """Whether a table is that of one replica, row by row in its order."""
    assert keys(found) == keys(single) and len(set(keys(found))) == found.num_rows
    for name in NUMBERS:
        assert np.abs(found[name].to_numpy() - single[name].to_numpy()).max() < 1e-10
    assert found["top_ids"].to_pylist() == single["top_ids"].to_pylist()


@pytest.mark.parametrize("engine", ["plan", "hooks"])
def test_two_devices_make_the_rows_of_one(engine: str) -> None:
    seen: list[tuple[int, int, int]] = []
    threads, cores = set(), torch.get_num_threads()

    def on_rows(batch: pa.RecordBatch, done: int, total: int) -> None:
        threads.add(threading.current_thread())
        seen.append((batch.num_rows, done, total))

    found = ivx.sweep(two(), **ASKED, engine=engine, on_rows=on_rows)
    same(found, alone())
    assert threads == {threading.current_thread()} and torch.get_num_threads() == cores
    assert sum(rows for rows, _, _ in seen) == N * 12 and [done for _, done, _ in seen] == sorted(d for _, d, _ in seen)
    assert seen[-1][1:] == (N * 12, N * 12)
    why = "" if engine == "plan" else ": asked for"
    assert str(how_of(found)) == f"{engine} on 2 devices (cpu, cpu){why}"
    assert found.schema.metadata[b"ivx.engine"] == str(how_of(found)).encode()


def test_streamed_weights_visit_every_replica() -> None:
    streamed = ivx.load("tiny-sft", dtype="float64", device="cpu,cpu", weights="stream")
    assert all(model.stream is not None for model in (streamed, *streamed.replicas))
    found = ivx.sweep(streamed, **ASKED)
    same(found, alone())
    assert str(how_of(found)) == "plan on 2 devices (cpu, cpu)"


def test_one_sample_and_attention_of_another_kind() -> None:
    few = {name: value if name == "patches" else value[:1] for name, value in ASKED.items()}
    found = ivx.sweep(two(), **few, attention="eager")
    apart = found["logit"].to_numpy() - ivx.sweep(one(), **few)["logit"].to_numpy()
    assert found.num_rows == 12 and np.abs(apart).max() < 1e-4, "eager softmax rounds to float32"
    assert str(how_of(found)) == "hooks: attention=eager"
    assert all(model.hf.config._attn_implementation != "eager" for model in (two(), *two().replicas))


def test_undefined_rows_are_mended_on_their_replica() -> None:
    broken = ivx.load("tiny-sft", dtype="float64", device="cpu,cpu")
    for model in (broken, *broken.replicas):
        with torch.no_grad():
            model.hf.get_input_embeddings().get_parameter("weight")[5] = torch.inf
    asked = {**ASKED, "patches": ASKED["patches"][:4]}
    found = ivx.sweep(broken, **asked)
    single = ivx.sweep(replace(broken, replicas=()), **asked)
    assert found["logit"].is_valid().to_pylist() == single["logit"].is_valid().to_pylist()
    assert 0 < found["logit"].null_count < found.num_rows


def test_what_on_rows_raises_ends_all_and_leaves_the_replicas_clean() -> None:
    def stop(batch: pa.RecordBatch, done: int, total: int) -> None:
        if done:
            raise Cancelled

    before = threading.active_count()
    with pytest.raises(Cancelled):
        ivx.sweep(two(), **ASKED, on_rows=stop)
    assert threading.active_count() == before
    same(ivx.sweep(two(), **ASKED), alone())


def test_a_fault_on_one_replica_ends_the_sweep() -> None:
    faulty = ivx.load("tiny-sft", dtype="float64", device="cpu,cpu")

    def fails(*_: object) -> None:
        raise ZeroDivisionError

    ivx.sweep(faulty, **ASKED)
    faulty.replicas[0].blocks[2].register_forward_pre_hook(fails)
    with pytest.raises(ZeroDivisionError):
        ivx.sweep(faulty, **ASKED)


def test_devices_are_named_one_by_one() -> None:
    assert [model.device.type for model in (two(), *two().replicas)] == ["cpu", "cpu"]
    assert two().fingerprint == two().replicas[0].fingerprint and two().hf is not two().replicas[0].hf
    for wrong in ("cpu,", "cpu;cpu", "cpu,gpu"):
        with pytest.raises(IvxError, match="several by commas"):
            ivx.load("tiny-sft", device=wrong)


class Mortal:
    """A hand over a real replica that dies when it has handed over so many batches, so many times."""

    def __init__(self, asked: Workload, name: str, *, deaths: int, after: int = 0, returns: bool = True) -> None:
        self.name, self.device, self._returns, self._dead = name, "cpu", returns, False
        self._replica = Replica(model_of(name), asked, Terms(memory_gb=1.0))
        self._deaths, self._after = deaths, after

    def begin(self, beat: Beat) -> str:
        if self._dead and not self._returns:
            raise Lost(f"there is no room for {self.name}")
        return self._replica.begin(beat)

    def rows(self, samples: Sequence[int], beat: Beat) -> Generator[pa.RecordBatch, None, None]:
        handed = 0
        for batch in self._replica.rows(samples, beat):
            for row in range(batch.num_rows):
                if self._deaths and handed == self._after:
                    self._deaths -= 1
                    self._dead = True
                    raise Died("it was killed")
                handed += 1
                yield batch.slice(row, 1)


def model_of(name: str) -> Model:
    return two() if name == "a" else two().replicas[0]


def spread_over(*hands: Mortal) -> tuple[pa.Table, How]:
    work = Spread(hands, N, cluster=True)
    order = {patch: k for k, patch in enumerate(["", *UNAVERAGED["patches"]])}
    table = pa.Table.from_batches(list(work.rows(lambda: None)))
    return table.take(np.argsort([order[patch] * N + sample for patch, sample in keys(table)], kind="stable")), work.how


def asked() -> Workload:
    return checked(two(), **UNAVERAGED)


@pytest.mark.parametrize("after", [0, 1, 10])
def test_a_dead_hands_samples_are_given_out_again_and_no_row_comes_twice(after: int) -> None:
    found, how = spread_over(Mortal(asked(), "a", deaths=1, after=after), Mortal(asked(), "b", deaths=0))
    same(found, ivx.sweep(one(), **UNAVERAGED))
    assert how.died == 1 and str(how).endswith("1 died, its samples were given out again")


def test_the_others_go_on_when_one_is_lost() -> None:
    found, how = spread_over(Mortal(asked(), "a", deaths=9, returns=False), Mortal(asked(), "b", deaths=0))
    same(found, ivx.sweep(one(), **UNAVERAGED))
    assert str(how) == "plan on a Ray cluster of 1 actor (cpu); 1 died, its samples were given out again"


def test_when_all_are_lost_it_says_why() -> None:
    lost = [Mortal(asked(), name, deaths=9, returns=False) for name in "ab"]
    with pytest.raises(IvxError, match="nobody is left to compute: there is no room for"):
        spread_over(*lost)


def test_a_shard_that_kills_whoever_takes_it_is_given_up() -> None:
    with pytest.raises(IvxError, match=rf"{DEATHS} actors died while they computed sample 0, 1 \(it was killed\)"):
        spread_over(Mortal(asked(), "a", deaths=99))


@pytest.mark.parametrize("samples, parts", [(1, 12), (7, 8), (40, 8), (1000, 64)])
def test_shards_hold_every_sample_once(samples: int, parts: int) -> None:
    found = shards_of(samples, parts=parts)
    assert [i for shard in found for i in shard] == list(range(samples))
    assert min(samples, parts) <= len(found) < 2 * parts


def test_how_is_said_and_kept() -> None:
    plan, hooks = Maker("a", "cuda:0"), Maker("b", "cuda:1", "a seam")
    assert str(How(frozenset([plan]))) == "plan" and str(How(frozenset([hooks]))) == "hooks: a seam"
    both = How(frozenset([plan])) | How(frozenset([hooks]))
    assert str(both) == "plan and hooks on 2 devices (cuda:0, cuda:1): a seam"
    cluster = How(frozenset([plan]), True, 1) | How(frozenset([hooks]), True, 1)
    told = "plan and hooks on a Ray cluster of 2 actors (cuda:0, cuda:1): a seam; 2 died, their samples were given out"
    assert str(cluster) == f"{told} again"
    assert How.unpacked(cluster.packed()) == cluster
    assert str(How(frozenset(Maker(str(k), "cpu") for k in range(9)))) == "plan on 9 devices"
    kept = How(frozenset([plan]), kernels=frozenset(["kernels from cache"]))
    assert str(kept) == "plan, kernels from cache" and How.unpacked(kept.packed()) == kept
