"""A Ray cluster: how it is named, what its actors load, and joining it.

Ray is imported when a cluster is first needed. It passes pickled objects between nodes that trust each other, so who
reaches one may run programs on all: a cluster that is started here listens to this machine alone, and to nobody who
does not know its secret.
"""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ivx import scratch
from ivx.errors import IvxError, boundary
from ivx.models.registry import embedded

RAY = "IVX_RAY"
"""The cluster of this process: `auto`, `local`, `host:port`, or empty for none."""
WORDS = ("auto", "local")
EXTRA = "ivx-explorer[ray]"
CORES = "IVX_RAY_CORES"
"""Cores that an actor takes where it has no GPU."""
FEW_CORES = 4
ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}
"""What makes Ray listen on 127.0.0.1 only (its name is of the systems where that is the rule), and ask for a secret."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": "."}
PATIENCE = 5.0
_JOINING = threading.Lock()
_joined: list[str] = []


@dataclass(frozen=True)
class Cluster:
    """The cluster that computes a model's sweeps.

    Attributes:
        address: `auto`, `local` or `host:port`.
        checkpoint: what its actors load; a directory or file by its whole path, which every node must have.
        device: `auto`, `cpu` or `cuda`.
        loading: further arguments of `ivx.load`.
    """

    address: str
    checkpoint: str
    device: str
    loading: Mapping[str, Any]


def cluster_of(address: str | None, checkpoint: str, *, device: str, loading: Mapping[str, Any]) -> Cluster | None:
    """The cluster that is asked for, or that this process is set to; None where there is none. Nothing is joined yet.

    Raises:
        IvxError: Ray is not installed; an address that is none; a device that only one machine has.
    """
    address = named() if address is None else _checked(address)
    if not address:
        return None
    if device not in ("auto", "cpu", "cuda"):
        raise IvxError(f"device {device!r} names devices of one machine: on a Ray cluster, use auto, cpu or cuda")
    if embedded(checkpoint) is None and Path(checkpoint).expanduser().exists():
        checkpoint = str(Path(checkpoint).expanduser().resolve())
    adapter = loading.get("adapter")
    whole = {} if adapter is None else {"adapter": str(Path(adapter).expanduser().resolve())}
    return Cluster(address, checkpoint, device, {**loading, **whole})


def named() -> str:
    """The cluster that this process is set to; empty where there is none. Raises `IvxError` as `cluster_of` does."""
    return _checked(os.environ.get(RAY, "").strip())


def _checked(address: str) -> str:
    found = find_spec("ray") if address else None
    if address and (found is None or found.origin is None):  # a folder of that name is no package
        raise IvxError(
            f"a Ray cluster ({address}) is asked for and Ray is not installed: pip install ivx-explorer[ray]"
        )
    host, _, port = address.rpartition(":")
    if address not in ("", *WORDS) and ("/" in host or not host or not port.isascii() or not port.isdigit()):
        raise IvxError(f"ray {address!r} names no cluster: use auto, local, or its head's address as host:port")
    return address


@contextmanager
def set_to(address: str | None) -> Iterator[None]:
    """Inside, the cluster of this process is another one; with None it stays."""
    before = os.environ.get(RAY)
    if address is not None:
        os.environ[RAY] = address
    try:
        yield
    finally:
        os.environ.pop(RAY, None)
        if before is not None:
            os.environ[RAY] = before


def cores() -> int:
    """Cores that an actor takes where it has no GPU."""
    told = os.environ.get(CORES, "").strip() or str(FEW_CORES)
    if not (told.isascii() and told.isdigit() and len(told) <= 9 and int(told)):
        raise IvxError(f"{CORES} is {told!r}: give the number of cores that an actor takes, such as {FEW_CORES}")
    return int(told)


def joined(address: str) -> Any:
    """Ray, connected to the cluster: what is asked for is joined, or started, by the first call of a process.

    Raises:
        IvxError: no cluster answers there; this process is in another one; Ray refuses.
    """
    with _JOINING:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        running = _running() if address == "auto" else None if address == "local" else address
        if running is None and "ray" not in sys.modules:
            os.environ.update(ALONE)
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        import ray

        if not ray.is_initialized():
            with boundary(IvxError, f"the Ray cluster {address!r} cannot be joined", _cure(running)):
                _join(ray, running)
            _joined[:] = [address]
        elif _joined and _joined[0] != address:  # one that the caller joined is theirs to choose
            raise IvxError(f"this process is in the Ray cluster {_joined[0]!r} already: start another for {address!r}")
        return ray


def _running() -> str | None:
    """The cluster that this machine is part of, by what Ray notes of it."""
    named = os.environ.get("RAY_ADDRESS", "")
    if named not in ("", "auto", "local"):
        return named
    note = Path(os.environ.get("RAY_TMPDIR") or "/tmp") / "ray" / "ray_current_cluster"
    with suppress(OSError):
        named = note.read_text(encoding="utf-8").strip()
        return named if _answers(named) else None  # one that ended in a crash is noted still
    return None


def _join(ray: Any, running: str | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if running is not None:
        if not _answers(running):
            raise IvxError(f"nothing answers at {running}: start the cluster there, or give its head's address")
        ray.init(address=running, **quiet)
        return
    place = scratch.folder("ray")  # its own, so that nobody takes it for the machine's cluster
    atexit.register(_leave, ray, place)
    ray.init(address="local", include_dashboard=False, _temp_dir=place.name, **quiet)
    here = ray.get_runtime_context().gcs_address
    if not here.startswith("127.0.0.1:"):
        ray.shutdown()
        raise IvxError(
            f"Ray was imported before ivx and would listen to the network ({here}): connect it yourself, or import it "
            f"with {' '.join(f'{name}={value}' for name, value in ALONE.items())} in the environment"
        )


def _leave(ray: Any, place: TemporaryDirectory[str]) -> None:
    ray.shutdown()
    place.cleanup()


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except (OSError, ValueError):
        return False
    return True


def _cure(running: str | None) -> str:
    if running is None:
        return "mend that, or leave ray out"
    return (
        f"this machine must be part of it (`ray start --address={running}`), with the same Ray and Python, and "
        "RAY_AUTH_MODE=token set where it has a secret"
    )
