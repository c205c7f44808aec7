"""A crew: the actors of a Ray cluster that hold replicas of one model, each in a process of its own.

Ray places them, carries what they are asked and answer, and says when one is gone; then a new one is hired in its
place. They live as long as the model here does.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import pyarrow as pa
from torch import nn

from ivx.engine.actor import Actor
from ivx.engine.shard import Beat, Terms
from ivx.engine.spread import BEAT_SECONDS, Died, Lost
from ivx.engine.workload import Workload
from ivx.errors import IvxError
from ivx.models.cluster import CORES, Cluster, cores, joined
from ivx.models.memory import WORKING_SET_GB
from ivx.models.model import Model
from ivx.version import VERSION

PLACE_SECONDS = 60.0
"""So long an actor waits for room on some node."""

_crews: WeakKeyDictionary[nn.Module, Crew] = WeakKeyDictionary()


def crew_of(model: Model) -> Crew:
    """The crew of a model that has a cluster; hired at its first sweep."""
    if model.hf not in _crews:
        _crews[model.hf] = Crew(model)
    return _crews[model.hf]


class Crew:
    """The actors of one model."""

    def __init__(self, model: Model) -> None:
        assert model.cluster is not None
        self.cluster, self.fingerprint = model.cluster, model.fingerprint
        self.ray = joined(self.cluster.address)
        held = sum(p.nbytes for p in model.hf.parameters()) if model.stream is None else model.stream.held
        self._bytes = int(held + WORKING_SET_GB * 1e9)
        self._way = "whole" if model.stream is None else model.stream.way
        self._members: list[_Member] = []
        self._turn = threading.Lock()

    @contextmanager
    def hands(self, asked: Workload, terms: Terms) -> Iterator[list[Hired]]:
        """Hands for one sweep, which has the crew to itself: as many as the cluster has room for, but for few samples.

        Raises:
            IvxError: it has room for none.
        """
        with self._turn:
            for other in list(_crews.values()):  # those of models that have no sweep make room
                if other is not self and other._turn.acquire(blocking=False):
                    other._dismiss()
                    other._turn.release()
            places, needs = self._room()
            while len(self._members) < places:
                self._members.append(_Member(self, f"actor {len(self._members) + 1}"))
            task = self.ray.put(asked)
            yield [Hired(member, needs, task, terms) for member in self._members[: min(places, len(asked.target))]]

    def _dismiss(self) -> None:
        for member in self._members:
            member.dismiss()

    def loaded_by(self, gpu: bool) -> Cluster:
        """What an actor loads: without a GPU of its own the weights as they are had here, since it was given room for
        those."""
        weights = self.cluster.loading["weights"]
        asked = self._way if weights == "auto" and not gpu else weights
        return replace(self.cluster, loading={**self.cluster.loading, "weights": asked})

    def _room(self) -> tuple[int, dict[str, Any]]:
        """How many actors the cluster's nodes can hold, and what each takes."""
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        gpus = sum(int(node.get("GPU", 0)) for node in nodes)
        if self.cluster.device == "cuda" and not gpus:
            raise IvxError(f"no node of the Ray cluster {self.cluster.address!r} has a GPU: use device cpu")
        if gpus and self.cluster.device != "cpu":
            return gpus, {"num_gpus": 1, "num_cpus": 0}
        each = max(1, min(cores(), max((int(node.get("CPU", 0)) for node in nodes), default=0)))
        free = [(int(node.get("CPU", 0)) // each, int(node.get("memory", 0)) // self._bytes) for node in nodes]
        room = sum(min(both) for both in free)
        if not room:
            raise IvxError(
                f"no node of the Ray cluster {self.cluster.address!r} has room for an actor, which takes "
                f"{self._bytes / 1e9:.1f} GB and {cores()} cores ({CORES}): add a node, or choose a smaller checkpoint"
            )
        return room, {"num_cpus": each, "memory": self._bytes}


class _Member:
    """A place in the crew, and the actor that holds it, from sweep to sweep."""

    def __init__(self, crew: Crew, name: str) -> None:
        self.crew, self.name = crew, name
        self.actor: Any = None
        self.node = ""

    def hire(self, needs: dict[str, Any]) -> None:
        """Take an actor where there is none."""
        if self.actor is None:
            made = self.crew.ray.remote(**needs, max_restarts=0, max_task_retries=0)(Actor)
            gpu = "num_gpus" in needs
            self.actor = made.remote(self.crew.loaded_by(gpu), self.crew.fingerprint, VERSION, gpu)

    def dismiss(self) -> None:
        """Let the actor go, dead or alive."""
        if self.actor is not None:
            with suppress(self.crew.ray.exceptions.RayError):
                self.crew.ray.kill(self.actor)
        self.actor, self.node = None, ""


class Hired:
    """A hand for one sweep (`ivx.engine.spread.Hand`): a member of a crew."""

    def __init__(self, member: _Member, needs: dict[str, Any], task: Any, terms: Terms) -> None:
        self.name, self.device = member.name, ""
        self._member, self._needs, self._task, self._terms = member, needs, task, terms
        self._ray = member.crew.ray

    def begin(self, beat: Beat) -> str:
        """Wait for an actor that has the model; `Lost` where no node has room for it."""
        self._member.hire(self._needs)
        with self._answering():
            if not self._member.node:
                self._member.node = self._answer(self._member.actor.here.remote(), beat, within=PLACE_SECONDS)
            self.device, why = self._answer(self._member.actor.begin.remote(self._task, self._terms), beat)
        return why

    def rows(self, samples: Sequence[int], beat: Beat) -> Generator[pa.RecordBatch, None, None]:
        """The actor's rows as they come; one that is no longer waited for is told to end."""
        call = self._member.actor.rows.options(num_returns="streaming")
        rows = call.remote(self._task, self._terms, samples)
        with self._answering():
            try:
                while True:
                    try:
                        yield self._ray.get(next(self._until(rows, beat)))
                    except StopIteration:
                        return
            except BaseException:
                self._ray.cancel(rows)
                raise

    def _answer(self, call: Any, beat: Beat, *, within: float | None = None) -> Any:
        return self._ray.get(self._until(call, beat, within=within))

    def _until(self, call: Any, beat: Beat, *, within: float | None = None) -> Any:
        """The call, once it has an answer."""
        waited = 0.0
        while not self._ray.wait([call], timeout=BEAT_SECONDS, fetch_local=False)[0]:
            beat()
            waited += BEAT_SECONDS
            if within is not None and waited > within:
                self._member.dismiss()
                raise Lost(f"in {within:.0f} s no node of the Ray cluster had room for {self.name}")
        return call

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """What an actor raises, as this process would; `Died` where it is gone."""
        try:
            yield
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, IvxError):
                raise type(error.cause)(
                    f"{self.name} of the Ray cluster, on {self._member.node}: {error.cause}"
                ) from error
            raise
        except self._ray.exceptions.RayError as error:
            self._member.dismiss()
            reason = _reason(error)
            if "No module named" in reason:
                raise IvxError(
                    f"a node of the Ray cluster lacks what ivx needs ({reason}): install it on all"
                ) from error
            raise Died(reason) from error


def _reason(error: Exception) -> str:
    """Why an actor is gone, of all that Ray says."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1].partition(". ")[0].strip()
