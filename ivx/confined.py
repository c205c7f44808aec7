"""Processes of their own for what cannot be trusted: bounded in memory, time and what they write, and off the net.

`program` runs a module once. An `Original` is a process that has imported what is needed; `Copy`s of it begin at once,
each for one stranger. Messages are JSON both ways, so that nothing which comes back can be more than data.

What a copy may do is held by the system, not by its good will: memory, processor time, file size and a timer of
the kernel end it in the midst of native code. That it reads other files, or reaches for the net, is refused by a hook
of Python's; libraries in native code pass that by, and none of them opens a name that a stranger gave.
"""

from __future__ import annotations

import array
import errno
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from ivx import errors
from ivx.errors import Ended, Failed, IvxError

OFF_THE_NET = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
ALONE = {"CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
"""A process that is copied has one thread, and no device."""
MOST = 64_000_000
"""Most bytes of a message."""
WRITES = 64_000_000
"""Most bytes of a file that a copy writes: the documents of a checkpoint, as they are judged."""
BEGIN = 120.0
"""Longest that an original may take to import what it needs, in seconds: a busy machine takes long."""
GRACE = 5.0
"""How long after its time a copy is waited for, in seconds: the kernel ends it."""
_HEADS = 8
_REFUSED = (
    *("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"),
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "pty.spawn"),
    *("os.rename", "os.link", "os.chown", "os.truncate"),
)


@dataclass(frozen=True)
class Bounds:
    """What a process may take: bytes of memory beyond what it begins with, and seconds for one answer."""

    memory: int
    seconds: float

    def too_long(self) -> Ended:
        """That its time was over."""
        return Ended(f"took more than {self.seconds:.0f} s")

    def too_large(self) -> Ended:
        """That its memory did not suffice."""
        return Ended(f"took more than {self.memory / 1e9:.1f} GB of memory")


def confine(bounds: Bounds, *, writes: int | None = 0) -> None:
    """Bound this process, for good; `writes` is the size of the largest file that it may write, None for any."""
    limits = {resource.RLIMIT_CORE: 0}
    if sys.platform == "linux":  # what it writes to; a file that is mapped to be read may be as large as it likes
        limits[resource.RLIMIT_DATA] = psutil.Process().memory_info().data + bounds.memory
    else:
        limits[resource.RLIMIT_AS] = bounds.memory
    if writes is not None:
        limits[resource.RLIMIT_FSIZE] = writes
    for limit, bound in limits.items():
        with suppress(ValueError, OSError):  # a system may not know the limit, or hold a lower one already
            resource.setrlimit(limit, (bound, bound))
    with suppress(OSError):  # where the machine runs out of memory all the same, this process goes first
        Path("/proc/self/oom_score_adj").write_text("1000")


def allow_seconds(seconds: float) -> None:
    """Let this process compute for so long from now on, whatever it did before."""
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    with suppress(ValueError, OSError):
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + 1, most))


def program(
    module: str, given: bytes, arguments: Sequence[str] = (), *, seconds: float, settings: Mapping[str, str] = {}
) -> subprocess.CompletedProcess[bytes]:
    """Run a module on bytes from its standard input; raises `Ended` where it takes more than `seconds`."""
    try:
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            input=given,
            capture_output=True,
            timeout=seconds,
            env=_settings(settings),
        )
    except subprocess.TimeoutExpired as error:
        raise Bounds(0, seconds).too_long() from error


def _settings(more: Mapping[str, str]) -> dict[str, str]:
    told = {**os.environ, "OMP_NUM_THREADS": "1", **more}
    told["PYTHONPATH"] = os.pathsep.join(part for part in sys.path if part)
    return told


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
                env=_settings({**OFF_THE_NET, **ALONE}),
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
        self._desk = tempfile.TemporaryDirectory(prefix="ivx-confined-", ignore_cleanup_errors=True)
        told = {
            "memory": bounds.memory,
            "reads": [str(path) for path in reads],
            "desk": os.path.realpath(self._desk.name),
            "settings": dict(settings),
        }
        with suppress(OSError):  # that it is gone is said where it is asked
            _put(line, json.dumps(told).encode())

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
                _put(self._line, json.dumps({"what": what, "seconds": bounds.seconds, "given": given}).encode())
                told = json.loads(_got(self._line))
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


def serve(answers: Mapping[str, Callable[..., Any]]) -> None:
    """Be an original: make copies that answer by these functions, until whoever began it is gone."""
    line = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever began it ends it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that no copy waits to be asked how it ended
    sys.dont_write_bytecode = True
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)  # what libraries say of a stranger's files is the stranger's word
    line.sendall(b"!")
    while True:
        mark, told, *_ = line.recvmsg(1, socket.CMSG_LEN(array.array("i").itemsize))
        if not mark:
            return
        ends = array.array("i", b"".join(data for *_, data in told))
        for end in ends:
            if os.fork() == 0:
                line.close()
                _be_copy(socket.socket(fileno=end), answers)
            os.close(end)


def _be_copy(line: socket.socket, answers: Mapping[str, Callable[..., Any]]) -> None:
    """Answer until the other end is closed; never returns."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        told = json.loads(_got(line))
        os.environ.update(told["settings"])
        os.chdir(told["desk"])
        tempfile.tempdir = told["desk"]
        confine(Bounds(told["memory"], 0), writes=WRITES)
        _guard([*told["reads"], told["desk"]], desk=told["desk"])
        while True:
            asked = json.loads(_got(line))
            allow_seconds(asked["seconds"])
            signal.setitimer(signal.ITIMER_REAL, asked["seconds"])  # nobody catches it, so that it ends the process
            reply = _reply(answers[asked["what"]], asked["given"])
            signal.setitimer(signal.ITIMER_REAL, 0)
            _put(line, reply)
    except BaseException:
        os._exit(1)


def _reply(answer: Callable[..., Any], given: Mapping[str, Any]) -> bytes:
    try:
        told = json.dumps({"answer": answer(**given)}).encode()
        if len(told) <= MOST:
            return told
        return json.dumps({"failed": f"its answer has more than {MOST // 10**6} MB"}).encode()
    except IvxError as error:
        found = {"refused": type(error).__name__, "told": str(error)}
    except MemoryError:
        found = {"ended": "memory"}
    except BaseException as error:  # a library in another language raises more than exceptions
        first = next(iter(str(error).strip().splitlines()), "")
        found = {"failed": f"{type(error).__name__}: {first:.300}" if first else type(error).__name__}
    return json.dumps(found).encode()


def _guard(reads: Sequence[str], *, desk: str) -> None:
    """Refuse, from now on, the net, other programs, writing elsewhere than at its desk, and reading what is neither
    named nor Python's."""
    own = [
        sys.prefix,
        sys.base_prefix,
        sys.exec_prefix,
        str(Path(__file__).parent),
        "/proc",
        "/sys",
        "/lib",
        "/usr/lib",
    ]
    own += [place for place in sys.path if place.endswith(("site-packages", "dist-packages"))]
    roots = [os.path.realpath(path) for path in (*own, *reads)]
    roots += ["/dev/null", "/dev/urandom", "/etc/localtime"]

    def own_of(writing: int) -> Sequence[str]:
        return (desk, "/dev/null") if writing else roots

    def look(event: str, told: tuple[Any, ...]) -> None:
        if event == "open" and not isinstance(told[0], int) and told[0] is not None:
            path = os.path.realpath(os.fsdecode(told[0]))
            writing = isinstance(told[2], int) and told[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if not any(path == one or path.startswith(one.rstrip(os.sep) + os.sep) for one in own_of(writing)):
                raise PermissionError(errno.EACCES, "not its own file", path)
        elif event in _REFUSED:
            raise PermissionError(f"{event} is not for it to do")

    sys.addaudithook(look)


def _put(line: socket.socket, data: bytes) -> None:
    line.sendall(len(data).to_bytes(_HEADS) + data)


def _got(line: socket.socket) -> bytes:
    """One message; raises `EOFError` where there is none, or it is too long."""
    size = int.from_bytes(_exactly(line, _HEADS))
    if size > MOST:
        raise EOFError("too long")
    return _exactly(line, size)


def _exactly(line: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        piece = line.recv(min(size - len(found), 1 << 20))
        if not piece:
            raise EOFError("closed")
        found += piece
    return bytes(found)
