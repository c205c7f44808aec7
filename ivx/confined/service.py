"""The inside of a confined process: an original that makes copies of itself, and a copy that answers."""

from __future__ import annotations

import array
import errno
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ivx.confined.bounds import Bounds, allow_seconds, confine
from ivx.confined.line import MOST, got, put
from ivx.errors import IvxError

WRITES = 64_000_000
"""Most bytes of a file that a copy writes: the documents of a checkpoint, as they are judged."""
_REFUSED = (
    *("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"),
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "pty.spawn"),
    *("os.rename", "os.link", "os.chown", "os.truncate"),
)


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
        told = json.loads(got(line))
        os.environ.update(told["settings"])
        os.chdir(told["desk"])
        tempfile.tempdir = told["desk"]
        confine(Bounds(told["memory"], 0), writes=WRITES)
        _guard([*told["reads"], told["desk"]], desk=told["desk"])
        while True:
            asked = json.loads(got(line))
            allow_seconds(asked["seconds"])
            signal.setitimer(signal.ITIMER_REAL, asked["seconds"])  # nobody catches it, so that it ends the process
            reply = _reply(answers[asked["what"]], asked["given"])
            signal.setitimer(signal.ITIMER_REAL, 0)
            put(line, reply)
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
        str(Path(__file__).parents[1]),
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
