"""Sweeps over a Ray cluster of two actors: the rows of one process, each once, also when an actor is killed.

`pytest -m ray`, where Ray is installed (requirements-ray.txt).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest

import ivx
from ivx.analyses.effects.request import EffectsRequest
from ivx.cli.main import main
from ivx.engine import crew
from ivx.engine.crew import crew_of
from ivx.engine.schema import KEY
from ivx.engine.sweep import how_of
from ivx.errors import Cancelled, IvxError
from ivx.jobs.compute import computed
from ivx.jobs.worker import Worker
from ivx.models import cluster
from ivx.models.model import Model
from ivx.store.store import Store
from tests.support.chaos import by_key

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install ivx-explorer[ray]")
CLOSE = {"float32": 1e-4, "float64": 1e-10}
"""Another batch rounds otherwise."""
N = 16
TARGET = [[4 + i, 9, 2 + i % 3, 7, *range(3, 3 + i % 2)] for i in range(N)]
ASKED: dict[str, Any] = {
    "source": [[5 + i, 9, 3, 7, 8] for i in range(N)],
    "target": TARGET,
    "answer": list(range(1, N + 1)),
    "contrast": list(range(2, N + 2)),
    "patches": [f"resid_post.{layer}@{at}~-1" for layer in range(8) for at in range(4)],
}
REQUEST = EffectsRequest("tiny-sft", "animal/colour", samples=24, controls=("task", "random"), dtype="float64")


@pytest.fixture(scope="module")
def two() -> Iterator[Model]:
    """A model whose sweeps two actors compute, on a cluster that the caller has started."""
    os.environ.update({**cluster.ALONE, **cluster.QUIET, "RAY_AUTH_TOKEN": "0" * 64})
    import ray  # which reads the environment

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    os.environ[cluster.CORES] = "1"
    yield ivx.load("tiny-sft", dtype="float64", ray="auto")
    del os.environ[cluster.CORES]
    ray.shutdown()


def actors(doing: str = "") -> list[psutil.Process]:
    """The processes of actors, those that compute rows."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if child.is_running() and f"ray::Actor{doing}" in " ".join(child.cmdline())]


def same(found: pa.Table, single: pa.Table, *key: str, dtype: str = "float64") -> None:
    mine, theirs = ([tuple(row[name] for name in key) for row in table.to_pylist()] for table in (found, single))
    assert len(set(mine)) == len(mine) and sorted(mine) == sorted(theirs)
    one, other = (table.sort_by([(name, "ascending") for name in key]) for table in (found, single))
    for name in ("logit", "contrast", "logsumexp", "kl_target"):
        assert np.abs(one[name].to_numpy() - other[name].to_numpy()).max() < CLOSE[dtype]


def settle(model: Model) -> None:
    """Sweep until both actors have the model, and compute."""
    until = time.monotonic() + 240
    while len(how_of(ivx.sweep(model, **{**ASKED, "patches": ASKED["patches"][:4]})).makers) < 2:
        assert time.monotonic() < until, "no actor was hired in the place of another"


def killed_once() -> Any:
    """A callback that kills one actor while it computes rows, when the first have come."""
    victims: list[int] = []

    def kill(_: object, done: int, total: int) -> None:
        while done and not victims and done < total / 2:
            for process in actors(".rows"):
                victims.append(process.pid)
                process.send_signal(signal.SIGKILL)
                return
            time.sleep(0.01)

    kill.victims = victims  # type: ignore[attr-defined]
    return kill


@pytest.mark.ray
@needs_ray
def test_two_actors_make_the_rows_of_one_process(two: Model) -> None:
    settle(two)
    found = ivx.sweep(two, **ASKED)
    same(found, ivx.sweep(replace(two, cluster=None), **ASKED), "patch", "sample")
    assert str(how_of(found)) == "plan on a Ray cluster of 2 actors (cpu)"
    assert len(actors()) == 2
    means = {**ASKED, "patches": ["resid_post.3@1=mean", "z.2@-1=mean"]}
    same(ivx.sweep(two, **means), ivx.sweep(replace(two, cluster=None), **means), "patch", "sample")
    hooks = ivx.sweep(two, **{**ASKED, "patches": ASKED["patches"][:3]}, engine="hooks")
    assert str(how_of(hooks)) == "hooks on a Ray cluster of 2 actors (cpu): asked for"


@pytest.mark.ray
@needs_ray
def test_the_samples_of_a_killed_actor_are_given_out_again(two: Model, capfd: pytest.CaptureFixture[str]) -> None:
    settle(two)
    kill = killed_once()
    found = ivx.sweep(two, **ASKED, on_rows=kill)
    assert len(kill.victims) == 1 and not psutil.pid_exists(kill.victims[0])
    same(found, ivx.sweep(replace(two, cluster=None), **ASKED), "patch", "sample")
    assert str(how_of(found)).endswith("(cpu); 1 died, its samples were given out again")
    assert capfd.readouterr() == ("", ""), "Ray's own words are not printed among a command's"
    settle(two)


@pytest.mark.ray
@needs_ray
def test_a_run_with_a_killed_actor_is_stored_whole_and_says_so(two: Model, tmp_path: Path) -> None:
    settle(two)
    kill = killed_once()
    found = computed(Store(tmp_path / "a"), two, REQUEST, on_progress=kill)
    single = computed(Store(tmp_path / "b"), replace(two, cluster=None), REQUEST)
    assert len(kill.victims) == 1 and found.run_id == single.run_id
    run = Store(tmp_path / "a").find(found.run_id)
    assert run is not None and run.receipt is not None
    assert by_key(run.table(KEY)).keys() == by_key(single.table).keys()
    same(run.table(KEY), single.table, *KEY)
    assert run.receipt["how"] == "plan on a Ray cluster of 2 actors (cpu); 1 died, its samples were given out again"


@pytest.mark.ray
@needs_ray
def test_a_cancelled_run_goes_on_where_it_stopped(two: Model, tmp_path: Path) -> None:
    def stop(_: object, done: int, total: int) -> None:
        if done > total / 3:
            raise Cancelled

    store, made = Store(tmp_path), []
    with pytest.raises(Cancelled):
        computed(store, two, REQUEST, on_progress=stop)
    found = computed(store, two, REQUEST, on_progress=lambda *told: made.append(told))
    same(found.table, computed(Store(tmp_path / "b"), replace(two, cluster=None), REQUEST).table, *KEY)
    run = store.find(found.run_id)
    assert run is not None and run.receipt is not None and run.receipt["resumed_rows"] > found.table.num_rows / 4
    assert made[0][1] >= run.receipt["resumed_rows"] - 24, "what is stored is not made again"


@pytest.mark.ray
@needs_ray
def test_actors_have_their_weights_as_they_are_had_here(two: Model) -> None:
    few = {name: value[:6] for name, value in ASKED.items()}
    streamed = ivx.load("tiny-sft", dtype="float64", weights="stream", ray="auto")
    same(ivx.sweep(streamed, **few), ivx.sweep(replace(two, cluster=None), **few), "patch", "sample")
    hired, whole = crew_of(streamed), crew_of(two)
    assert hired.loaded_by(False).loading["weights"] == hired.loaded_by(True).loading["weights"] == "stream"
    assert whole.loaded_by(False).loading["weights"] == "whole" and whole.loaded_by(True).loading["weights"] == "auto"
    assert hired._bytes < whole._bytes


@pytest.mark.ray
@needs_ray
def test_an_actor_refuses_other_weights(two: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Path(two.source)
    shutil.copytree(own, tmp_path / "own")
    monkeypatch.chdir(tmp_path)
    there = ivx.load("./own", ray="auto")
    few = {name: value[:4] for name, value in ASKED.items()}
    same(ivx.sweep(there, **few), ivx.sweep(replace(there, cluster=None), **few), "patch", "sample", dtype="float32")
    other = ivx.load("./own", ray="auto")
    (tmp_path / "own" / "config.json").write_bytes((own / "config.json").read_bytes() + b"\n")
    with pytest.raises(IvxError, match=r"^actor \d of the Ray cluster, on [\d.]+: .* is another checkpoint here"):
        ivx.sweep(other, **few)
    shutil.rmtree(tmp_path / "own")
    with pytest.raises(IvxError, match=r"^actor \d of the Ray cluster, on .*: there is no checkpoint or directory"):
        ivx.sweep(there, **few)


@pytest.mark.ray
@needs_ray
def test_a_cluster_without_room_says_what_an_actor_takes(two: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    vast = ivx.load("tiny-base", ray="auto")
    crew_of(vast)._bytes = 10**15
    with pytest.raises(IvxError, match=r"has room for an actor, which takes 1000000.0 GB and 1 cores"):
        ivx.sweep(vast, **ASKED)
    monkeypatch.setenv(cluster.CORES, "none")
    with pytest.raises(IvxError, match=f"{cluster.CORES} is 'none'"):
        ivx.sweep(two, **ASKED)
    monkeypatch.setenv(cluster.CORES, "1")
    crew_of(vast).cluster = replace(crew_of(vast).cluster, device="cuda")
    with pytest.raises(IvxError, match="no node of the Ray cluster 'auto' has a GPU"):
        ivx.sweep(vast, **ASKED)


def make_room() -> None:
    """Let the actors of all models of this process go."""
    for one in crew._crews.values():
        one._dismiss()


class Holder:
    """An actor of somebody else."""

    def here(self) -> bool:
        return True


@pytest.mark.ray
@needs_ray
def test_a_cluster_that_others_fill_is_not_waited_for_for_ever(two: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    make_room()
    holder = ray.remote(Holder).options(num_cpus=2).remote()
    assert ray.get(holder.here.remote())
    monkeypatch.setattr(crew, "PLACE_SECONDS", 1.0)
    with pytest.raises(IvxError, match=r"nobody is left to compute: in 1 s no node of the Ray cluster had room for"):
        ivx.sweep(two, **ASKED)
    ray.kill(holder)


@pytest.mark.ray
@needs_ray
def test_the_apps_worker_uses_the_cluster(two: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cluster.RAY, "auto")
    job = Worker(Store(tmp_path)).submit(replace(REQUEST, samples=8))
    assert job.wait(240) and job.view().state == "done", job.view().message
    assert job.view().result.receipt["how"].startswith("plan on a Ray cluster of ")


@pytest.mark.ray
@needs_ray
def test_a_node_without_ivx_is_named(tmp_path: Path) -> None:
    free = {name: value for name, value in os.environ.items() if name not in ("RAY_AUTH_TOKEN", "PYTHONPATH")}
    code = [sys.executable, "-c", LACKING.format(root=str(Path(__file__).parents[2]))]
    told = subprocess.run(code, capture_output=True, text=True, env=free, cwd=tmp_path)
    assert told.stdout == (
        "a node of the Ray cluster lacks what ivx needs (ModuleNotFoundError: No module named 'ivx'): "
        "install it on all\n"
    ), told


LACKING = """
import os, sys
sys.path.append({root!r})
import ivx
from ivx.models import cluster
os.environ.update({{**cluster.ALONE, **cluster.QUIET, "RAY_AUTH_TOKEN": "0" * 64}})
import ray
ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
try:
    ivx.sweep(ivx.load("tiny-sft", ray="auto"), source=[[1]], target=[[3]], answer=[5], patches=["resid_post.3@0"])
except ivx.IvxError as error:
    print(error)
"""
LISTENING = """
import ivx, psutil
ivx.sweep(ivx.load("tiny-sft", ray="local"), source=[[1, 2]], target=[[3, 4]], answer=[5], patches=["resid_post.3@0"])
every = [psutil.Process(), *psutil.Process().children(recursive=True)]
open_at = {at.laddr.ip for one in every for at in one.net_connections("inet") if at.status == "LISTEN"}
try:
    ivx.sweep(ivx.load("tiny-dpo", ray="host:1"), source=[[1]], target=[[3]], answer=[5], patches=[])
except ivx.IvxError as error:
    print(error)
import ray
print(sorted(open_at), ray.get_runtime_context().gcs_address)
"""


@pytest.mark.ray
@needs_ray
def test_a_cluster_of_its_own_listens_to_this_machine_only(tmp_path: Path) -> None:
    home = {**os.environ, "HOME": str(tmp_path), "IVX_RAY_CORES": "1"}
    for name in ("RAY_AUTH_TOKEN", *cluster.ALONE):
        home.pop(name, None)
    code = [sys.executable, "-c", LISTENING]
    told = subprocess.run(code, capture_output=True, text=True, env=home, cwd=Path(__file__).parents[2])
    other, heard = told.stdout.splitlines()
    assert heard.startswith("['127.0.0.1', '::ffff:127.0.0.1'] 127.0.0.1:"), told
    assert other == "this process is in the Ray cluster 'local' already: start another for 'host:1'"
    assert not list(tmp_path.glob(".ray*")), "its secret is written nowhere"


@pytest.mark.ray
@needs_ray
def test_the_command_line_joins_a_cluster_by_its_address(two: Model, tmp_path: Path) -> None:
    import ray

    make_room()
    asked = ["effects", "--checkpoint", "tiny-sft", "--task", "animal/colour", "--samples", "6", "--json"]
    found = run(*asked, "--ray", ray.get_runtime_context().gcs_address, cache=tmp_path / "a")
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    assert told["how"].startswith("plan on a Ray cluster of ")
    single = json.loads(run(*asked, cache=tmp_path / "b").stdout)
    assert told["run"] == single["run"] and len(told["cells"]) == len(single["cells"])
    refused = run(*asked, "--ray", "127.0.0.1:1", cache=tmp_path / "c")
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1 and not refused.stdout
    assert "nothing answers at 127.0.0.1:1" in refused.stderr


def run(*argv: str, cache: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ivx", *argv],
        capture_output=True,
        text=True,
        env={**os.environ, "IVX_CACHE": str(cache)},
        cwd=Path(__file__).parents[2],
    )


def test_without_ray_it_says_how_to_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(IvxError, match=r"Ray is not installed: pip install ivx-explorer\[ray\]"):
        ivx.load("tiny-sft", ray="auto")
    monkeypatch.setenv(cluster.RAY, "auto")
    with pytest.raises(IvxError, match="Ray is not installed"):
        ivx.load("tiny-sft")
    monkeypatch.delitem(sys.modules, "ray")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    (tmp_path / "ray").mkdir()
    with pytest.raises(IvxError, match="Ray is not installed"):
        cluster.named()
    monkeypatch.undo()
    assert ivx.load("tiny-sft", ray="").cluster is None
    monkeypatch.setenv(cluster.RAY, "")
    assert ivx.load("tiny-sft").cluster is None


@pytest.mark.parametrize(
    "address, device, said",
    [
        ("ray://host:10001", "auto", "names no cluster"),
        ("host", "auto", "names no cluster"),
        ("host:", "auto", "names no cluster"),
        (":6379", "auto", "names no cluster"),
        ("auto", "cpu,cpu", "on a Ray cluster, use auto, cpu or cuda"),
        ("auto", "cuda:1", "on a Ray cluster, use auto, cpu or cuda"),
    ],
)
def test_a_cluster_that_cannot_be(monkeypatch: pytest.MonkeyPatch, address: str, device: str, said: str) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda _: find_spec("json"))
    with pytest.raises(IvxError, match=said):
        cluster.cluster_of(address, "tiny-sft", device=device, loading={})


def test_a_command_sets_the_cluster_and_leaves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cluster.RAY, "host:1")
    with cluster.set_to(None):
        assert os.environ[cluster.RAY] == "host:1"
    with cluster.set_to("auto"):
        assert os.environ[cluster.RAY] == "auto"
    assert os.environ[cluster.RAY] == "host:1"


def test_the_app_refuses_a_cluster_that_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["app", "--ray", "ray://host:1"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("ivx: ") and ("names no cluster" in said or "Ray is not installed" in said)
    assert cluster.RAY not in os.environ


def test_the_cluster_is_no_part_of_what_is_asked() -> None:
    assert not {"ray", "cluster"} & set(EffectsRequest.__dataclass_fields__)
