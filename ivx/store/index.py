"""The index: a diskcache database of what is quick to look up and can be made again.

Nothing here is the only copy of a result. A database that is lost, damaged or not ivx's own is set aside, and another
begun; where none can be had, look-ups find nothing and the store reads its folders.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from diskcache import Cache, Timeout
from diskcache.core import DBNAME, DEFAULT_SETTINGS, METADATA

from ivx.errors import IvxError
from ivx.store import documents, files, locks
from ivx.store.disk import DAMAGED, InlineDisk
from ivx.store.files import Damaged
from ivx.store.quarantine import Quarantine

T = TypeVar("T")

SETTINGS = {
    **DEFAULT_SETTINGS,
    "size_limit": 64_000_000,
    # Mapped into memory, as a write-ahead log's index always is, a file cut by somebody else can kill the process.
    "sqlite_mmap_size": 0,
    "sqlite_journal_mode": "delete",
    # The disk is not waited for: what a loss of power takes can be made again.
    "sqlite_synchronous": 0,
}

BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)
"""Errors that do not mean that the database is damaged."""

LARGEST = 1_000_000
"""Most bytes of one value: diskcache would keep a larger one, and drop all others for it."""

WAIT = 5.0
"""Seconds to wait for another process."""

_THEN = "the index is made anew from the runs"


class Index:
    """Small JSON values by text key, in `<root>/index`; any thread, any process. Never raises for damaged contents."""

    def __init__(self, root: Path, *, quarantine: Quarantine, writable: bool = True) -> None:
        self._root, self._quarantine, self._writable = root, quarantine, writable
        self._lock = threading.Lock()
        self._cache: Cache | None = None
        self._stamp: tuple[int, int] | None = None
        self._try(lambda _: None)

    def get(self, key: str) -> Any | None:
        """The value of a key; None where there is none, or a damaged one, which is forgotten and reported."""
        found = self._try(lambda cache: cache.get(key))
        if found is None:
            return None
        try:
            if found is DAMAGED:
                raise Damaged("was not written by ivx")
            return documents.unseal(found, f"index/{key}")
        except Damaged as damage:
            self._quarantine.say(f"What the index held of {key} {damage}: it is forgotten.")
            self.drop(key)
            return None

    def put(self, key: str, value: Any) -> None:
        """Set a value; raises `IvxError` for one that is too large."""
        data = documents.seal(value, f"index/{key}")
        if len(data) > LARGEST:
            raise IvxError(
                f"the value of {key} has {len(data):,} bytes: only small ones, to {LARGEST:,}, go to the index"
            )
        self._try(lambda cache: cache.set(key, data))

    def put_all(self, values: dict[str, Any]) -> None:
        """Set many values in one go, which costs about as much as to set one; too large ones are left out."""
        sealed = {key: documents.seal(value, f"index/{key}") for key, value in values.items()}

        def act(cache: Cache) -> None:
            with cache.transact():
                for key, data in sealed.items():
                    if len(data) <= LARGEST:
                        cache.set(key, data)

        if sealed:
            self._try(act)

    def drop(self, key: str) -> None:
        """Forget a key."""
        self._try(lambda cache: cache.delete(key))

    def _try(self, act: Callable[[Cache], T]) -> T | None:
        """Act on the database; if it turns out damaged, once more on a fresh one; else None."""
        for _ in range(2):
            try:
                cache = self._opened()
                return None if cache is None else act(cache)
            except (Timeout, OSError):  # others are using it, or the folder is gone
                return None
            # diskcache does arithmetic with what it finds in the database: damage shows as an error of any of these.
            except (sqlite3.Error, TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
                if getattr(error, "sqlite_errorcode", None) in BUSY:
                    return None
                self._renew(str(error))
        return None

    def _opened(self) -> Cache | None:
        """The database that lies there now, which another process may have replaced."""
        if not self._writable:  # a database is locked, and so written to, by whoever reads it
            return None
        with self._lock:
            if self._cache is None or self._stamp is None or self._stamp != _stamp(self._root / "index" / DBNAME):
                self._cache = self._open()
            return self._cache

    def _renew(self, why: str) -> None:
        with self._lock, locks.hold(self._gate(), patience=WAIT) as mine:
            # Not where another process has put a fresh one there meanwhile.
            if mine and self._stamp == _stamp(self._root / "index" / DBNAME):
                self._take(why)
            self._cache = None

    def _open(self) -> Cache | None:
        with locks.hold(self._gate(), patience=WAIT) as mine:
            if not mine:
                return None
            folder = self._quarantine.folder(self._root / "index", then=_THEN)
            database = folder / DBNAME
            try:
                _examine(folder)
            except (Damaged, sqlite3.Error) as error:
                if getattr(error, "sqlite_errorcode", None) in BUSY:
                    return None
                self._take(str(error))
                self._quarantine.folder(folder, then=_THEN)
            # Made here for its rights; SQLite gives its journal the same.
            os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            self._stamp = _stamp(database)
            return Cache(str(folder), timeout=WAIT, disk=InlineDisk, **SETTINGS)

    def _gate(self) -> Path:
        return self._quarantine.file(self._root / "index.lock", then="another is made")

    def _take(self, why: str) -> None:
        if os.path.lexists(self._root / "index"):
            self._quarantine.take(self._root / "index", f"was damaged ({why})", then=_THEN)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _examine(folder: Path) -> None:
    """Raise `Damaged` or sqlite3.Error unless the folder holds a sound database of diskcache's, or none.

    diskcache makes attributes of itself, and SQL, from the names in the table of settings: they must be its own.
    """
    for name in files.names(folder):
        if not name.startswith(DBNAME) or not files.is_file(folder / name):
            raise Damaged(f"{name} is not of the index")
    if not files.is_file(folder / DBNAME):
        if files.names(folder):
            raise Damaged(f"{DBNAME} is missing")
        return
    with closing(sqlite3.connect(folder / DBNAME, timeout=WAIT)) as database:
        (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise Damaged(str(verdict).splitlines()[0])
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        if "Settings" in tables:
            for key, value in database.execute("SELECT key, value FROM Settings"):
                known = {**SETTINGS, **METADATA}
                if key not in known or type(value) is not type(known[key]):
                    raise Damaged("its settings are not diskcache's")
