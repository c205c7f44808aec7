"""Files of the store: private to their owner, durable once written, never reached through a link.

Every other module of the store reads and writes through here.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import time
from pathlib import Path

from ivx.errors import IvxError

LAST = 253_370_764_800.0
"""The first of January 9999, in seconds since the epoch."""
LEFT_BEHIND = 3600.0
"""Age in seconds at which a temporary file must be left from a dead process."""


class Damaged(Exception):
    """A file is not what was written; the message says why, in words that follow "it"."""


def read(path: Path, *, limit: int) -> bytes:
    """All bytes of a plain file of at most `limit` bytes.

    Raises FileNotFoundError where there is none; `Damaged` for a link, folder or device, one that is too large, and one
    that the disk or its rights keep from being read; `IvxError` where this process cannot read any file.
    """
    try:
        # Without O_NONBLOCK a pipe would be waited for.
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise Damaged("is not a plain file")
        if found.st_size > limit:
            raise Damaged(f"is larger than {limit:,} bytes")
        with open(file, "rb", closefd=False) as opened:
            return opened.read(limit + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(file)


def write(path: Path, data: bytes) -> None:
    """Put `data` at `path`, whole or not at all; on the disk when this returns.

    What was there is replaced, a link itself and not what it points to. Raises FileNotFoundError where the folder is
    gone, `IvxError` where the machine refuses, as on a full disk.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with open(file, "wb") as opened:
                opened.write(data)
                opened.flush()
                os.fsync(file)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync(path.parent)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise IvxError(f"{path} cannot be written ({error.strerror}): free some space, or see to its rights") from error


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def is_folder(path: Path) -> bool:
    """Whether a folder itself, not a link to one, lies there."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:  # none there, or in a folder that cannot be looked into
        return False


def is_file(path: Path) -> bool:
    """Whether a plain file itself, not a link to one, lies there."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def names(folder: Path) -> list[str]:
    """Names in a folder, sorted; none where there is no folder, it is a link, or it cannot be looked into."""
    try:
        return sorted(os.listdir(folder)) if is_folder(folder) else []
    except OSError:
        return []


def size(path: Path) -> int:
    """Bytes of a file, or of all that lies in a folder; a link counts for nothing."""
    if is_folder(path):
        return sum(size(path / name) for name in names(path))
    try:
        found = os.lstat(path)
    except OSError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def remove(path: Path) -> None:
    """Remove a file, a link itself, or a folder with all in it; nothing outside is touched."""
    if is_folder(path):
        shutil.rmtree(path, ignore_errors=True)
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise IvxError(f"{path} cannot be removed ({error.strerror}): see to the rights of its folder") from error


def changed(path: Path) -> float:
    """Seconds since the epoch at which a file or folder was last changed, as a date can show them; 0 where it cannot
    be seen."""
    try:
        return moment(os.lstat(path).st_mtime)
    except OSError:
        return 0.0


def moment(seconds: float) -> float:
    """Seconds since the epoch within what a date can show: a disk, or a document, may tell of the year 12027."""
    return min(max(seconds, 0.0), LAST) if seconds == seconds else 0.0


def sweep(folder: Path) -> None:
    """Remove temporary files that a killed process left in a folder."""
    for name in names(folder):
        path = folder / name
        if name.startswith(".") and name.endswith(".tmp") and is_file(path):
            try:
                if time.time() - os.lstat(path).st_mtime > LEFT_BEHIND:
                    path.unlink()
            except OSError:  # another process swept first, or the folder is not to be written to
                continue


def _unreadable(path: Path, error: OSError) -> Exception:
    if error.errno in (errno.ELOOP, errno.ENXIO):
        return Damaged("is not a plain file")
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        return IvxError(f"{path} cannot be read ({error.strerror}): close what else is open, and try again")
    return Damaged(f"cannot be read ({error.strerror})")
