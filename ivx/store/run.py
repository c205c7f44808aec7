"""A run: the folder of one result, from the first row to the receipt.

Rows are appended in shards and never changed, so that a killed run goes on where it stopped. The receipt is written
last and names the shards: while one of them is missing, the run is partial, whatever the receipt says.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ivx.errors import IvxError
from ivx.store import documents, files, locks, shards
from ivx.store.files import Damaged
from ivx.store.quarantine import Quarantine

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_OWN = ("asked", "receipt")
_AGAIN = "what it held is computed again when it is asked for"


class Gone(IvxError):
    """The run was deleted while it was in use."""


class Run:
    """One run's folder; got from `Store.begin` and `Store.find`. Any thread, any process."""

    def __init__(self, folder: Path, *, quarantine: Quarantine, wrote: Callable[[str, int], None]) -> None:
        self.id = folder.name
        self._folder, self._quarantine, self._wrote = folder, quarantine, wrote
        self._held: set[str] = set()
        self._schema: pa.Schema | None = None

    def append(self, table: pa.Table) -> None:
        """Add rows as one immutable shard; durable when this returns.

        All shards of a run have the same columns. Raises `IvxError` where they differ, where the disk is full, and
        where the run was deleted meanwhile.
        """
        if not table.num_rows:
            return
        if self._schema is None:
            self._good()
        if self._schema is not None and not table.schema.equals(self._schema):
            raise IvxError(f"run {self.id} holds rows of other columns: delete it, and ask for it again")
        with self._there():
            name = shards.write(self._shards(), table, run=self.id)
        self._schema = table.schema.remove_metadata()
        self._held.add(name)
        self._wrote(self.id, files.size(self._folder / "shards" / name))

    def table(self, key: Sequence[str]) -> pa.Table | None:
        """All good rows in the order they were written, each once by its `key` columns; None where there are none.

        Of doubled rows, as two processes write them that compute one run, the first stands. Damaged shards are set
        aside and reported; `state` then shows that something is missing.
        """
        found = self._good()
        self._held |= {name for name, _ in found}
        return _once(pa.concat_tables([table for _, table in found]), key) if found else None

    def keep(self, name: str, value: Any) -> None:
        """Keep a small JSON document beside the shards, in place of the last one of that name."""
        if not _NAME.fullmatch(name) or name in _OWN:
            raise ValueError(f"{name!r} cannot name a document")
        self._write(name, value)

    def kept(self, name: str) -> Any | None:
        """A document that was kept; None where there is none, or a damaged one, which is set aside and reported."""
        return self._document(name) if _NAME.fullmatch(name) and name not in _OWN else None

    def complete(self, receipt: dict) -> None:
        """Write the receipt, a JSON document, beside the names, rows and bytes of the shards.

        Raises `IvxError` where rows that this object has appended or read are no longer there.
        """
        listed = [
            {"name": name, "rows": table.num_rows, "bytes": files.size(self._folder / "shards" / name)}
            for name, table in self._good()
        ]
        lost = self._held - {shard["name"] for shard in listed}
        if lost:
            raise IvxError(f"run {self.id} lost rows to damage while it was computed: ask for it again to add them")
        self._write("receipt", {"receipt": receipt, "shards": listed})
        self._wrote(self.id, 0)

    @property
    def receipt(self) -> dict | None:
        """What `complete` was given; None until then, and while a shard it names is missing or damaged."""
        found = self._receipt()
        return found["receipt"] if found else None

    @property
    def state(self) -> str:
        """`complete`; else `running` where some process holds its lock, or `partial`."""
        if self._receipt() is not None:
            return "complete"
        return "running" if self.is_locked() else "partial"

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Hold the run while computing it; yields False where another process, or another thread of this, does."""
        with ExitStack() as held:
            with self._there():
                gate = self._quarantine.file(self._folder / "lock", then="another is made")
                mine = held.enter_context(locks.hold(gate))
            yield mine

    def is_locked(self) -> bool:
        """Whether it is being computed."""
        return locks.is_held(self._folder / "lock")

    def told(self) -> tuple[dict[str, Any], float]:
        """`asked` and `created`, of one look at the document."""
        return self._asked()

    @property
    def asked(self) -> dict[str, Any]:
        """What was asked for; empty where the document was lost."""
        return self._asked()[0]

    def begin(self, asked: dict[str, Any]) -> None:
        """Called by the store: make the folder, and write there what was asked, unless that is there already."""
        self._quarantine.folder(self._folder, then=_AGAIN)
        with self._there():
            self._shards()
            for folder in (self._folder, self._folder / "shards"):
                files.sweep(folder)
            if not self.asked:
                self._write("asked", {"asked": asked, "created": time.time()})

    @property
    def created(self) -> float:
        """Seconds since the epoch at which it was first asked for, as near as is known."""
        return self._asked()[1]

    def listed(self) -> dict[str, Any] | None:
        """The receipt with its `shards`, where they are there in the size they had; their content is not looked at."""
        found = self._opened_receipt()
        if found is None:
            return None
        there = {name: files.size(self._folder / "shards" / name) for name in self._names()}
        return found if all(there.get(shard["name"]) == shard["bytes"] for shard in found["shards"]) else None

    def rows(self, known: dict[str, int]) -> dict[str, int]:
        """Number of rows of each shard, doubled rows too; shards in `known` are not read."""
        named = {name: known[name] for name in self._names() if name in known}
        for name in self._names():
            if name not in named:
                try:
                    named[name] = shards.rows(self._folder / "shards" / name, run=self.id)
                except Damaged as damage:
                    self._take(self._folder / "shards" / name, damage)
                except FileNotFoundError:
                    continue
        return named

    def _good(self) -> list[tuple[str, pa.Table]]:
        """All shards; damaged ones and those whose columns differ are set aside."""
        found: list[tuple[str, pa.Table]] = []
        for name in self._names():
            try:
                table = shards.read(self._folder / "shards" / name, run=self.id)
                if found and not table.schema.equals(found[0][1].schema):
                    raise Damaged("has other columns than the first shard")
                found.append((name, table))
            except Damaged as damage:
                self._take(self._folder / "shards" / name, damage)
            except FileNotFoundError:  # set aside by another process meanwhile
                continue
        if found:
            self._schema = found[0][1].schema
        return found

    def _names(self) -> list[str]:
        return shards.names(self._folder / "shards") if files.is_folder(self._folder) else []

    def _receipt(self) -> dict[str, Any] | None:
        """The receipt with its `shards`, where all of them are there and hold what their names say."""
        found = self._opened_receipt()
        if found is None:
            return None
        there, whole = self._names(), True
        for name in (shard["name"] for shard in found["shards"]):
            try:
                if name not in there:
                    raise FileNotFoundError(name)
                shards.verify(self._folder / "shards" / name)
            except FileNotFoundError:
                self._quarantine.say(f"Run {self.id} lacks {name}: {_AGAIN}.")
                whole = False
            except Damaged as damage:
                self._take(self._folder / "shards" / name, damage)
                whole = False
        return found if whole else None

    def _opened_receipt(self) -> dict[str, Any] | None:
        match self._document("receipt"):
            case {"receipt": dict(), "shards": list(listed)} as found if all(map(_is_listed, listed)):
                return found
        return None

    def _asked(self) -> tuple[dict[str, Any], float]:
        match self._document("asked"):
            case {"asked": dict(asked), "created": float(created)} if isinstance(asked.get("request", {}), dict):
                return asked, files.moment(created)
        return {}, files.changed(self._folder)

    def _document(self, name: str) -> Any | None:
        path = self._folder / f"{name}.json"
        if not files.is_folder(self._folder):
            return None
        try:
            return documents.unseal(files.read(path, limit=documents.LIMIT), f"{self.id}/{name}")
        except FileNotFoundError:
            return None
        except Damaged as damage:
            self._take(path, damage)
            return None

    def _write(self, name: str, value: Any) -> None:
        data = documents.seal(value, f"{self.id}/{name}")
        if len(data) > documents.LIMIT:
            raise IvxError(f"document {name} of run {self.id} is larger than {documents.LIMIT:,} bytes")
        with self._there():
            files.write(self._quarantine.file(self._folder / f"{name}.json", then=_AGAIN), data)

    def _shards(self) -> Path:
        return self._quarantine.folder(self._folder / "shards", then=_AGAIN)

    def _take(self, path: Path, damage: Damaged) -> None:
        self._quarantine.take(path, str(damage), then=_AGAIN)

    @contextmanager
    def _there(self) -> Iterator[None]:
        try:
            if not files.is_folder(self._folder):
                raise FileNotFoundError(self._folder)
            yield
        except FileNotFoundError:
            raise Gone(f"run {self.id} was deleted from the store meanwhile: ask for it again") from None
        except OSError as error:
            raise IvxError(
                f"{self._folder} cannot be written ({error.strerror}): free some space, or see to its rights"
            ) from error


def _is_listed(shard: Any) -> bool:
    """Whether a receipt's entry for a shard has the form that `complete` gives it."""
    match shard:
        case {"name": str(), "rows": int(), "bytes": int()}:
            return True
    return False


def _once(table: pa.Table, key: Sequence[str]) -> pa.Table:
    """Every row of a table whose key was not met before, in order; all of them where there is no key."""
    names = [name for name in key if name in table.column_names]
    if not names:
        return table
    numbered = table.select(names).append_column("row", pa.array(np.arange(table.num_rows)))
    first = numbered.group_by(names, use_threads=False).aggregate([("row", "min")])["row_min"]
    if len(first) == table.num_rows:
        return table
    return table.take(first.take(pc.sort_indices(first)))
