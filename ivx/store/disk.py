"""A disk for diskcache that cannot unpickle.

diskcache trusts what its database says of a row: a planted `mode` makes it unpickle, a planted `filename` makes it open
or remove any file. This one keeps bytes inside the database, and takes any other row for damaged.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from diskcache import Disk
from diskcache.core import MODE_RAW, UNKNOWN

DAMAGED = object()
"""Returned for a row that this disk did not write."""


class InlineDisk(Disk):
    """Holds text keys and byte values, which the index seals."""

    def put(self, key: Any) -> tuple[str, bool]:
        """A key for the database."""
        if not isinstance(key, str):
            raise TypeError(f"a key is text, not {type(key).__name__}")
        return key, True

    def get(self, key: Any, raw: Any) -> Any:
        """A key from the database, or `DAMAGED`."""
        return key if isinstance(key, str) and raw == 1 else DAMAGED

    def store(self, value: Any, read: bool, key: Any = UNKNOWN) -> tuple[int, int, None, sqlite3.Binary]:
        """A value for the database, in its row and never in a file of its own."""
        if read or not isinstance(value, bytes):
            raise TypeError(f"a value is bytes, not {type(value).__name__}")
        return 0, MODE_RAW, None, sqlite3.Binary(value)

    def fetch(self, mode: Any, filename: Any, value: Any, read: bool) -> Any:
        """A value from the database, or `DAMAGED`; no file is opened."""
        inline = mode == MODE_RAW and filename is None and isinstance(value, bytes) and not read
        return value if inline else DAMAGED

    def remove(self, file_path: Any) -> None:
        """Remove nothing: no row of this disk has a file, so any name found in one is a trap."""
