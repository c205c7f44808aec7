"""What this server allows one user, as its owner set it in the environment; `docs/deploy.md` has the table."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ivx.errors import IvxError
from ivx.models import door

CHECKPOINTS = "IVX_CHECKPOINTS"
JOBS, UPLOADS, UPLOAD_MB = "IVX_USER_JOBS", "IVX_USER_UPLOADS", "IVX_USER_UPLOAD_MB"
METRICS = "IVX_METRICS"


@dataclass(frozen=True)
class Limits:
    """What one user may have at once.

    Attributes:
        checkpoints: names, hub ids and paths that may be opened beside the embedded ones; None for all.
        jobs: requests that wait or are computed.
        uploads, upload_mb: files of their sessions, and their size together, in 10⁶ bytes.
        model_gb: largest checkpoint's files together, in 10⁹ bytes; infinite where nothing is set.
    """

    checkpoints: tuple[str, ...] | None = None
    jobs: int = 64
    uploads: int = 60
    upload_mb: float = 200.0
    model_gb: float = float("inf")


def limits() -> Limits:
    """The limits as they are set now; raises `IvxError` for one that cannot be."""
    usual, named = Limits(), os.environ.get(CHECKPOINTS, "").strip()
    return Limits(
        tuple(one for part in named.split(os.pathsep) if (one := part.strip())) if named else None,
        _number(JOBS, usual.jobs, int, "a whole number of requests, such as 16"),
        _number(UPLOADS, usual.uploads, int, "a whole number of files, such as 60"),
        _number(UPLOAD_MB, usual.upload_mb, float, "a number of MB, such as 200"),
        door.largest(),
    )


def metrics() -> tuple[str, int] | None:
    """The host and port of this machine that metrics are told at; None where they are not asked for.

    Raises:
        IvxError: it is no such address, or not one of this machine alone.
    """
    return metrics_at(os.environ.get(METRICS, ""))


def metrics_at(told: str) -> tuple[str, int] | None:
    """Read `PORT` or `HOST:PORT`; None where it is empty."""
    told = told.strip()
    if not told:
        return None
    host, _, port = told.rpartition(":")
    if not (port.isascii() and port.isdigit() and 0 < len(port) <= 5 and 0 < int(port) < 65_536):
        raise IvxError(f"{METRICS} is {told[:60]!r}: give a port, such as 9464, or 127.0.0.1:9464")
    if host not in ("", "127.0.0.1", "localhost", "[::1]"):
        raise IvxError(
            f"{METRICS} is {told[:60]!r}: metrics are told to this machine alone, at 127.0.0.1; let a collector on it "
            "fetch them"
        )
    return host.strip("[]") or "127.0.0.1", int(port)


def _number(name: str, usual: Any, kind: Callable[[str], Any], what: str) -> Any:
    text = os.environ.get(name, "").strip()
    try:
        found = kind(text) if text else usual
    except ValueError:
        found = -1
    if not found >= 0 or (text and found == float("inf")):
        raise IvxError(f"{name} is {text[:60]!r}: give {what}")
    return found
