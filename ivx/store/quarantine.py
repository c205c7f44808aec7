"""Quarantine: where damaged parts of the store are moved to, and the notices about them.

Nothing damaged is deleted at once, so that it can be looked at; nor is it kept for ever.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from pathlib import Path

from ivx.store import files

LIMIT = 100_000_000
"""Bytes kept aside; the oldest are dropped past it."""


class Quarantine:
    """The folder `aside` of a store, and the notices of this process."""

    def __init__(self, root: Path, *, limit: int = LIMIT) -> None:
        self._root, self._folder, self._limit = root, root / "aside", limit
        self._lock = threading.Lock()
        self._said: dict[str, None] = {}

    def take(self, path: Path, why: str, *, then: str) -> None:
        """Move `path`, of whatever kind, here and add a notice: `why`, and what happens `then`."""
        where = path.relative_to(self._root)
        try:
            if not files.is_folder(self._folder):
                self._folder.unlink(missing_ok=True)
                os.makedirs(self._folder, 0o700, exist_ok=True)
            os.rename(path, self._folder / f"{time.time_ns():020d}-{'-'.join(where.parts)}")
        except FileNotFoundError:
            return  # another process was first
        except OSError as error:
            self.say(f"{where} {why}, and could not be set aside ({error.strerror}): remove {path}.")
            return
        self.say(f"{where} {why}: it was set aside in {self._folder}; {then}.")
        self._prune()

    def file(self, path: Path, *, then: str) -> Path:
        """`path`, ready for a plain file: a link, folder or device in its place is moved here."""
        if os.path.lexists(path) and not files.is_file(path):
            self.take(path, "is not a plain file", then=then)
        return path

    def folder(self, path: Path, *, then: str) -> Path:
        """`path`, a folder for its owner alone: made where there is none; anything else in its place is moved here.

        Raises FileNotFoundError where the folder above it is gone.
        """
        if os.path.lexists(path) and not files.is_folder(path):
            self.take(path, "is not a folder", then=then)
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if stat.S_IMODE(os.lstat(path).st_mode) != 0o700:
                os.chmod(path, 0o700)
        else:
            files.sync(path.parent)
        return path

    def say(self, sentence: str) -> None:
        """Add a notice; the same one is kept once."""
        with self._lock:
            self._said.setdefault(sentence)

    def notices(self) -> list[str]:
        """All notices, oldest first."""
        with self._lock:
            return list(self._said)

    def _prune(self) -> None:
        # Names begin with the time, so that they sort by age.
        kept = [(self._folder / name, files.size(self._folder / name)) for name in files.names(self._folder)]
        over = sum(size for _, size in kept) - self._limit
        for path, size in kept:
            if over <= 0:
                return
            files.remove(path)
            over -= size
