"""An original, and the copies that are made of it: confined processes that answer until they are closed."""

from __future__ import annotations

import array
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ivx import errors, scratch
from ivx.confined.bounds import Bounds
from ivx.confined.line import got, put
from ivx.confined.program import environment
from ivx.errors import Ended, Failed, IvxError

OFF_THE_NET = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
ALONE = {"CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
"""A process that is copied has one thread, and no device."""
BEGIN = 120.0
"""Longest that an original may take to import what it needs, in seconds: a busy machine takes long."""
GRACE = 5.0
"""How long after its time a copy is waited for, in seconds: the kernel ends it."""


class Original:
    """A process that has imported a module, of which copies are made; begun when the first one is wanted.

    Args:
        module: its `__main__` calls `serve`.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._line: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def copy(self, bounds: Bounds, *, reads: Sequence[Path] = (), settings: Mapping[str, str] = {}) -> Copy:
        """A process of its own.

        Args:
            reads: the files, and the folders with all in them, that it may open.
            settings: variables of its environment.
        """
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            self._send(theirs)
        return Copy(ours, bounds, reads=reads, settings=settings)

    @property
    def pid(self) -> int | None:
        """Its process, where it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def end(self) -> None:
        """End it; its copies end when they are closed."""
        with self._lock:
            if self._line is not None and self._process is not None:
                self._line.close()
                self._process.wait()
            self._line = self._process = None

    def _send(self, end: socket.socket) -> None:
        for fresh in (False, True):
            if fresh or self._line is None or self.pid is None:
                self._begin()
            assert self._line is not None
            with suppress(OSError):  # it has died since
                told = array.array("i", [end.fileno()])
                self._line.sendmsg([b"+"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, told)])
                return
        raise IvxError("the process in which strangers' files are read cannot be begun: free some memory")

    def _begin(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=environment({**OFF_THE_NET, **ALONE}),
            )
        ours.settimeout(BEGIN)
        ready = b""
        with suppress(OSError):
            ready = ours.recv(1)
        if ready != b"!":
            ours.close()
            self._process.kill()
            self._process.wait()
            raise IvxError("the process in which strangers' files are read cannot be begun: free some memory")
        ours.settimeout(None)
        self._line = ours


class Copy:
    """One confined process, with a folder to write in. It ends when it is closed, or nobody holds it any more."""

    def __init__(
        self, line: socket.socket, bounds: Bounds, *, reads: Sequence[Path], settings: Mapping[str, str]
    ) -> None:
        self._line = line
        self._bounds = bounds
        self._lock = threading.Lock()
        self._desk = scratch.folder("confined")
        told = {
            "memory": bounds.memory,
            "reads": [str(path) for path in reads],
            "desk": os.path.realpath(self._desk.name),
            "settings": dict(settings),
        }
        with suppress(OSError):  # that it is gone is said where it is asked
            put(line, json.dumps(told).encode())

    def ask(self, what: str, /, *, seconds: float | None = None, **given: Any) -> Any:
        """What the process answers, as JSON has it.

        Raises:
            Ended: it took too much, or broke off; it cannot be asked again. Failed: a library raised. IvxError: as it
            was raised there.
        """
        bounds = Bounds(self._bounds.memory, self._bounds.seconds if seconds is None else seconds)
        began = 0.0
        try:
            with self._lock:
                began = time.monotonic()
                self._line.settimeout(bounds.seconds + GRACE)
                put(self._line, json.dumps({"what": what, "seconds": bounds.seconds, "given": given}).encode())
                told = json.loads(got(self._line))
        except (OSError, EOFError, ValueError) as error:
            self.close()
            late = time.monotonic() - began >= bounds.seconds
            raise (bounds.too_long() if late else Ended("broke off")) from error
        match told:
            case {"answer": answer}:
                return answer
            case {"ended": "memory"}:
                self.close()
                raise bounds.too_large()
            case {"refused": str(kind), "told": str(sentence)}:
                raise _error(kind)(sentence)
        raise Failed(str(told.get("failed") if isinstance(told, dict) else told))

    def close(self) -> None:
        """End the process."""
        self._line.close()
        self._desk.cleanup()

    def __del__(self) -> None:
        self.close()


def _error(kind: str) -> type[IvxError]:
    found = getattr(errors, kind, IvxError)
    return found if isinstance(found, type) and issubclass(found, IvxError) else IvxError
