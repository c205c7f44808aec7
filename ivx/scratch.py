"""Folders for a while, which go with the process that made them, however it ends.

All of a process's lie in one, whose lock the kernel lets go of when the process is gone: whoever makes such a folder
next, or begins to serve, removes those that nobody holds. The lock is the folder's own, which is what systemd-tmpfiles
looks for, too, before it takes a folder for forgotten.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import re
import shutil
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

PREFIX = "ivx-tmp-"
_NAME = re.compile(PREFIX + r"[a-z0-9_]{8}")
_LOCK = threading.RLock()
_OWN: dict[tuple[int, Path], tuple[Path, int]] = {}
"""By process, for a copy of one has none of it, and by where it lies: the folder, and the descriptor that locks it."""


def folder(what: str, *, among: Path | None = None) -> tempfile.TemporaryDirectory[str]:
    """A new folder, removed when it is left, closed or referred to by nobody; `what` begins its name.

    Args:
        among: where this process's lies, made where it is not; by default the system's folder for such.

    Raises:
        OSError: none can be made there.
    """
    place = _own(Path(tempfile.gettempdir()) if among is None else among)
    return tempfile.TemporaryDirectory(prefix=f"{what}-", dir=place, ignore_cleanup_errors=True)


def swept(among: Path | None = None) -> int:
    """Remove what processes left that are gone; returns of how many."""
    place, gone = Path(tempfile.gettempdir()) if among is None else among, 0
    with suppress(OSError):
        for name in os.listdir(place):
            if _NAME.fullmatch(name):
                gone += _removed(place / name)
    return gone


def end() -> None:
    """Remove what this process made; called when it ends in order."""
    with _LOCK:
        for process, among in list(_OWN):
            if process == os.getpid():
                own, held = _OWN.pop((process, among))
                shutil.rmtree(own, ignore_errors=True)
                os.close(held)


atexit.register(end)


def _own(among: Path) -> Path:
    key = os.getpid(), among
    with _LOCK:
        own, held = _OWN.get(key, (None, -1))
        if own is not None and own.is_dir():
            return own
        if own is not None:  # somebody has emptied the place
            os.close(held)
        among.mkdir(parents=True, exist_ok=True, mode=0o700)
        swept(among)
        own, held = _begun(among)
        _OWN[key] = own, held
        return own


def _begun(among: Path) -> tuple[Path, int]:
    """A folder of this process's own, and the descriptor that locks it."""
    while True:
        own = Path(tempfile.mkdtemp(prefix=PREFIX, dir=among))
        with suppress(FileNotFoundError):  # another process looked before it was locked, and took it for forgotten
            held = os.open(own, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fresh = os.path.samestat(os.fstat(held), os.lstat(own))
            except BlockingIOError:
                fresh = False
            except OSError as error:  # a disk that knows no locks: nobody can tell there, so that nothing is swept
                fresh = not isinstance(error, FileNotFoundError)
            if fresh:
                return own, held
            os.close(held)


def _removed(own: Path) -> bool:
    """Whether a folder was one that its process left, and is gone now."""
    try:
        held = os.open(own, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if os.fstat(held).st_uid != os.geteuid():
            return False
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(own)
        return True
    except OSError:  # it is in use, or not to be removed
        return False
    finally:
        os.close(held)
