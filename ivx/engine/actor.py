"""What runs in a Ray cluster: one replica of a model, in a process of its own.

Nothing here is imported before the replica is loaded, so that an actor says at once that a node had room for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from ivx.errors import Cancelled, IvxError
from ivx.models.cluster import Cluster
from ivx.version import VERSION

if TYPE_CHECKING:
    import pyarrow as pa

    from ivx.engine.shard import Replica, Terms
    from ivx.engine.workload import Workload
    from ivx.models.model import Model


class Actor:
    """Its methods are called through Ray, one at a time."""

    def __init__(self, cluster: Cluster, fingerprint: str, version: str, gpu: bool) -> None:
        self._cluster, self._fingerprint, self._version = cluster, fingerprint, version
        self._device = "cuda" if gpu else "cpu"
        self._model: Model | None = None

    def here(self) -> str:
        """The address of its node."""
        import ray

        return ray.util.get_node_ip_address()

    def begin(self, asked: Workload, terms: Terms) -> tuple[str, str]:
        """Load the replica where it is not; returns its device, and why hooks do this sweep, or nothing.

        Raises:
            IvxError: the checkpoint is not here, or is another one.
        """
        replica = self._replica(asked, terms)
        return replica.device, replica.begin(lambda: None)

    def rows(self, asked: Workload, terms: Terms, samples: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """The rows of some samples as they finish, unless the call is cancelled."""
        import ray

        def beat() -> None:
            if ray.get_runtime_context().is_canceled():
                raise Cancelled

        with closing(self._replica(asked, terms).rows(samples, beat)) as rows:
            for batch in rows:
                beat()
                yield batch

    def _replica(self, asked: Workload, terms: Terms) -> Replica:
        from ivx.engine.shard import Replica

        if self._version != VERSION:
            raise IvxError(f"ivx is {VERSION} here and {self._version} where it was asked: install the same")
        if self._model is None:
            self._model = self._loaded()
        return Replica(self._model, asked, terms, beside=1 if self._device == "cuda" else _beside())

    def _loaded(self) -> Model:
        from ivx.models.load import load

        model = load(self._cluster.checkpoint, device=self._device, ray="", **self._cluster.loading)
        if model.fingerprint != self._fingerprint:
            raise IvxError(
                f"{self._cluster.checkpoint} is another checkpoint here ({model.fingerprint}) than where it was asked "
                f"for ({self._fingerprint}): copy the same files to every node"
            )
        return model


def _beside() -> int:
    """How many actors like this one its node has cores for; they share its memory."""
    import ray

    context = ray.get_runtime_context()
    node = next(node for node in ray.nodes() if node["NodeID"] == context.get_node_id())
    return max(1, int(node["Resources"].get("CPU", 1) // context.get_assigned_resources().get("CPU", 1)))
