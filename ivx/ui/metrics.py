"""Metrics and health of a running server, told in Prometheus's text format at an address of this machine alone.

`/metrics` has the figures; `/health` answers 200 while both threads of the worker live, else 503. Neither names a
checkpoint, a task or a user.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from ivx.errors import IvxError
from ivx.jobs.tally import TALLY
from ivx.jobs.worker import worker
from ivx.store import files

STATES = ("done", "stopped", "refused", "failed")
TYPE = "text/plain; version=0.0.4; charset=utf-8"
KEPT_SECONDS = 30.0
"""How long the store's size is kept: its folders are walked for it."""
LOCAL = {"127.0.0.1", "localhost", "[::1]"}
SINCE = time.time()


class Figure(NamedTuple):
    """One metric: its name, what it is, whether it only grows, and its values by their label."""

    name: str
    about: str
    grows: bool
    values: dict[str, float]


def begin(host: str, port: int, *, sessions: Callable[[], int]) -> ThreadingHTTPServer:
    """Tell metrics from a thread of its own, until the process ends.

    Args:
        sessions: how many sessions are open.

    Raises:
        IvxError: the port is taken.
    """
    size = _Size()

    class Handler(BaseHTTPRequestHandler):
        timeout = 10
        server_version, sys_version = "ivx", ""

        def do_GET(self) -> None:
            # As the app itself: another name for this machine is somebody's who bound it anew.
            named = self.headers.get("Host", "").rpartition(":")[0]
            if named not in LOCAL:
                self._answer(403, "this is told to this machine alone\n")
            elif self.path == "/metrics":
                self._answer(200, text(figures(sessions(), size())))
            elif self.path == "/health":
                well = worker().is_well
                self._answer(200 if well else 503, "ok\n" if well else "the worker has ended: start the server again\n")
            else:
                self._answer(404, "there are /metrics and /health\n")

        def _answer(self, status: int, told: str) -> None:
            body = told.encode()
            self.send_response(status)
            self.send_header("Content-Type", TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: it is asked every few seconds."""

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise IvxError(
            f"metrics cannot be told at {host}:{port} ({error.strerror}): name another port in IVX_METRICS"
        ) from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="ivx-metrics", daemon=True).start()
    return server


def figures(sessions: int, stored: int) -> Iterator[Figure]:
    """All metrics now; `stored` is the store's size in bytes."""
    ended, rows, seconds = TALLY.told()
    live = [job.view().state for job in worker().under_way()]
    yield Figure("ivx_up", "1 while the worker lives.", False, {"": float(worker().is_well)})
    yield Figure("ivx_start_time_seconds", "When the server began, since the epoch.", False, {"": SINCE})
    yield Figure(
        "ivx_jobs",
        "Jobs that wait, or are at the device.",
        False,
        {'state="waiting"': live.count("queued"), 'state="running"': len(live) - live.count("queued")},
    )
    yield Figure(
        "ivx_jobs_ended_total",
        "Jobs that were asked for and have ended.",
        True,
        {f'state="{state}"': ended.get(state, 0) for state in STATES},
    )
    yield Figure("ivx_rows_total", "Rows that were computed.", True, {"": rows})
    yield Figure("ivx_device_seconds_total", "Seconds that jobs had the device.", True, {"": seconds})
    yield Figure("ivx_model_loaded", "1 while a model is in memory.", False, {"": float(worker().has_model)})
    yield Figure("ivx_sessions", "Sessions whose page is open.", False, {"": sessions})
    yield Figure("ivx_store_bytes", "Size of the store's runs.", False, {"": stored})
    yield Figure("ivx_resident_memory_bytes", "Memory of this process.", False, {"": _resident()})
    yield Figure("ivx_open_descriptors", "Descriptors of this process.", False, {"": _descriptors()})
    yield Figure("ivx_threads", "Threads of this process that run Python.", False, {"": threading.active_count()})


def text(found: Iterator[Figure]) -> str:
    """Metrics in Prometheus's text format."""
    lines = []
    for one in found:
        lines += [f"# HELP {one.name} {one.about}", f"# TYPE {one.name} {'counter' if one.grows else 'gauge'}"]
        lines += [f"{one.name}{f'{{{label}}}' if label else ''} {value:.15g}" for label, value in one.values.items()]
    return "\n".join(lines) + "\n"


class _Size:
    """The store's size in bytes, which is kept for a while."""

    def __init__(self) -> None:
        self._lock, self._until, self._bytes = threading.Lock(), 0.0, 0

    def __call__(self) -> int:
        with self._lock:
            if time.monotonic() >= self._until:
                self._bytes = files.size(worker().store.root / "runs")
                self._until = time.monotonic() + KEPT_SECONDS
            return self._bytes


def _resident() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as told:
            return int(told.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # no Linux
        return 0


def _descriptors() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0
