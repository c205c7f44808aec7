"""The store: every run's folder, found by run id, within a limit of bytes.

    <root>/runs/<run id>/  asked.json  shards/  receipt.json  <name>.json  lock  pinned
    <root>/index/          what is quick to look up; made again when lost
    <root>/aside/          what was found damaged

Open to its owner alone. Nothing in it is trusted: see `shards`, `documents` and `disk` for what is checked.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivx.errors import IvxError
from ivx.models import paths
from ivx.store import files
from ivx.store.index import Index
from ivx.store.quarantine import Quarantine
from ivx.store.run import Gone, Run

RUN = re.compile(r"[0-9a-f]{12}")
"""A run id."""

LIMIT_GB = 10.0
"""Limit of all runs together, in 10⁹ bytes, unless IVX_CACHE_GB says otherwise."""

NOTED = 30.0
"""Seconds within which a further use of a run is not recorded."""

MOST_NOTED = 20_000
"""Most runs whose kinds are kept in the index."""

_GONE, _KINDS = ".gone", "kinds"


@dataclass(frozen=True)
class Entry:
    """One run in a list. `created` and `used` are seconds since the epoch; `seconds` is None until it is complete.

    `state` is told from names and sizes alone: reading the run may find more. `asked` is empty where it was lost.
    """

    run: str
    kind: str
    asked: dict[str, Any]
    state: str
    created: float
    used: float
    bytes: int
    rows: int
    seconds: float | None
    pinned: bool

    def request(self, name: str) -> str:
        """What the request gives for a field, as words; a dash where it has no such field."""
        value = self.asked.get("request", {}).get(name, "–")
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

    @property
    def tasks(self) -> str:
        """The task that the request is about, or several, or a dash: a lens has prompts of its own."""
        return self.request("task" if "task" in self.asked.get("request", {}) else "tasks")


class Store:
    """Runs on disk; any number of threads and processes may share one."""

    def __init__(self, root: Path | None = None, *, limit_gb: float | None = None) -> None:
        """Open the store at `root` (or IVX_CACHE, or `cache/` beside the package), made where there is none.

        One that cannot be written to can be read: `read_only` says why, and so does a notice. Raises `IvxError` where
        there can be no store.
        """
        self._limit = int((_limit_gb() if limit_gb is None else limit_gb) * 1e9)
        self.root = paths.resolved(root) if root else paths.cache()
        self._runs = self.root / "runs"
        self._quarantine = Quarantine(self.root)
        self.read_only = _own(self.root)
        if self.read_only:
            self._quarantine.say(f"{self._refusal()[:1].upper()}{self._refusal()[1:]}.")
        else:
            self._open()
        self._index = Index(self.root, quarantine=self._quarantine, writable=not self.read_only)
        self._lock = threading.Lock()
        self._noted: dict[str, float] = {}
        self._room = 0
        for name in [] if self.read_only else files.names(self._runs):
            if name.startswith(".") and name.endswith(_GONE):  # a delete that was cut short
                files.remove(self._runs / name)

    def find(self, run: str) -> Run | None:
        """The run of this id, noted as used now; None where there is none."""
        if not RUN.fullmatch(run) or not files.is_folder(self._runs / run):
            return None
        self._note(run)
        return self._run(run)

    def begin(self, run: str, *, asked: dict) -> Run:
        """The run of this id, made where there is none; `asked` has `kind`, `request` and `checkpoint`."""
        if not RUN.fullmatch(run):
            raise IvxError(f"{run!r} is no run id: one has 12 hexadecimal digits")
        self._check_writable()
        found = self._run(run)
        try:
            self._open()
            found.begin(asked)
        except OSError as error:
            raise _unwritable(self._runs / run, error) from error
        self._note(run)
        return found

    def entries(self) -> list[Entry]:
        """Every run, the last used first."""
        counted = dict[str, Any]()
        found = [self._entry(run, counted) for run in self._ids()]
        self._index.put_all(counted)
        return sorted((entry for entry in found if entry.bytes), key=lambda entry: entry.used, reverse=True)

    def of_kind(self, kind: str) -> list[Run]:
        """The runs of a kind, complete or not; what kind each is of is read once, and then known from the index."""
        noted = self._index.get(_KINDS)
        known = noted if isinstance(noted, dict) else {}
        found = {run: known.get(run) or str(self._run(run).asked.get("kind", "")) for run in self._ids()}
        if found != known and len(found) <= MOST_NOTED:
            self._index.put(_KINDS, found)
        return [self._run(run) for run, of in found.items() if of == kind]

    def delete(self, run: str) -> None:
        """Remove a run; raises `IvxError` where there is none, or it is being computed."""
        self._check_writable()
        if not self._drop(self._known(run)):
            raise IvxError(f"run {run} is being computed: stop it before it is deleted")

    def pin(self, run: str, pinned: bool) -> None:
        """Keep a run from being dropped to make room, however long unused; or no longer."""
        self._check_writable()
        path = self._runs / self._known(run) / "pinned"
        if not pinned:
            files.remove(path)
        elif not os.path.lexists(path):
            files.write(path, b"")

    def notices(self) -> list[str]:
        """A sentence for each thing that was found damaged or could not be done since this object was made."""
        return self._quarantine.notices()

    def get(self, key: str) -> Any | None:
        """A small value that was put; None where there is none, or it was lost."""
        return self._index.get(f"value/{key}")

    def put(self, key: str, value: Any) -> None:
        """Note a small value made of what JSON knows; it may be lost with the index, so keep no only copy here."""
        self._index.put(f"value/{key}", value)

    def _check_writable(self) -> None:
        if self.read_only:
            raise IvxError(self._refusal())

    def _refusal(self) -> str:
        return (
            f"the store {self.root} can only be read ({self.read_only}): see to its rights, or name another folder in "
            "IVX_CACHE, to compute, import, pin or delete"
        )

    def _open(self) -> None:
        _own(self.root)
        self._quarantine.folder(self._runs, then="another folder is made")

    def _run(self, run: str) -> Run:
        return Run(self._runs / run, quarantine=self._quarantine, wrote=self._wrote)

    def _ids(self) -> list[str]:
        return [name for name in files.names(self._runs) if RUN.fullmatch(name) and files.is_folder(self._runs / name)]

    def _known(self, run: str) -> str:
        if not RUN.fullmatch(run) or not files.is_folder(self._runs / run):
            raise IvxError(f"there is no run {run!r} in {self.root}: `python -m ivx runs` lists them")
        return run

    def _entry(self, run: str, counted: dict[str, Any]) -> Entry:
        """One run of the list; rows that had to be counted go into `counted`, by their key in the index."""
        found = self._run(run)
        listed = found.listed()
        if listed is not None:
            state, rows = "complete", sum(shard["rows"] for shard in listed["shards"])
        else:
            state, rows = "running" if found.is_locked() else "partial", self._rows(found, counted)
        asked, created = found.told()
        return Entry(
            run=run,
            kind=str(asked.get("kind", "")),
            asked=asked,
            state=state,
            created=created,
            used=self._used(run),
            bytes=files.size(self._runs / run),
            rows=rows,
            seconds=_seconds(listed["receipt"].get("seconds")) if listed else None,
            pinned=self._pinned(run),
        )

    def _rows(self, run: Run, counted: dict[str, Any]) -> int:
        """Rows so far; shards are named by their content, so that those counted once need not be read again."""
        noted = self._index.get(f"rows/{run.id}")
        known = noted if isinstance(noted, dict) else {}
        found = run.rows(known)
        if found != known:
            counted[f"rows/{run.id}"] = found
        return sum(found.values())

    def _pinned(self, run: str) -> bool:
        return os.path.lexists(self._runs / run / "pinned")

    def _note(self, run: str) -> None:
        now = time.time()
        with self._lock:
            if now - self._noted.get(run, 0.0) < NOTED:
                return
            self._noted[run] = now
        self._index.put(f"used/{run}", now)

    def _used(self, run: str) -> float:
        noted = self._index.get(f"used/{run}")
        if isinstance(noted, float):
            return files.moment(noted)
        return files.changed(self._runs / run)

    def _wrote(self, run: str, size: int) -> None:
        """Called by a run: it has grown by `size` bytes, or, with 0, is complete."""
        with self._lock:
            self._room -= size
            due = not size or self._room < 0
        if due:
            self._make_room(run)

    def _make_room(self, written: str) -> None:
        """Drop whole runs, least recently used first, until all fit; never one pinned, being computed, or just written.

        A run that alone exceeds the limit drops no other: it is not counted, and is the first to go once it may.
        """
        sizes = {run: files.size(self._runs / run) for run in self._ids()}
        large = {run for run, size in sizes.items() if size > self._limit}
        if written in large:
            self._quarantine.say(
                f"Run {written} alone exceeds the store's limit of {self._limit / 1e9:g} GB: nothing is dropped for "
                "it, and it is the first to go; pin it, or raise IVX_CACHE_GB, to keep it."
            )
        over = sum(size for run, size in sizes.items() if run not in large) - self._limit
        used = {run: (run not in large, self._used(run)) for run in sizes}
        for run in sorted(sizes, key=used.__getitem__):
            if written in large or (over <= 0 and run not in large):
                break
            try:
                if run != written and not self._pinned(run) and self._drop(run) and run not in large:
                    over -= sizes[run]
            except IvxError as error:  # it stays, and others go
                self._quarantine.say(f"No room was made: {error}.")
        with self._lock:
            # Where nothing could be dropped, the folders are not walked again for every shard.
            self._room = max(-over, self._limit // 20)

    def _drop(self, run: str) -> bool:
        """Remove a run unless it is being computed; whether it is gone."""
        gone = self._runs / f".{run}-{secrets.token_hex(4)}{_GONE}"
        try:
            with self._run(run).lock() as mine:
                if not mine:
                    return False
                # Renamed first: at every moment the whole run is there, or none of it.
                os.rename(self._runs / run, gone)
        except Gone:
            return True
        except OSError as error:
            raise _unwritable(self._runs / run, error) from error
        files.remove(gone)
        for key in ("used", "rows"):
            self._index.drop(f"{key}/{run}")
        with self._lock:
            self._noted.pop(run, None)
        return True


def _seconds(told: Any) -> float | None:
    """What a receipt tells of time, where that is a number."""
    return float(told) if isinstance(told, int | float) and not isinstance(told, bool) else None


def _limit_gb() -> float:
    text = os.environ.get("IVX_CACHE_GB", "").strip()
    try:
        limit = float(text or LIMIT_GB)
    except ValueError:
        limit = -1.0
    if not 0 <= limit < float("inf"):
        raise IvxError(f"IVX_CACHE_GB is {text!r}: give the store's limit as a number of GB, such as 10")
    return limit


def _unwritable(path: Path, error: OSError) -> IvxError:
    return IvxError(f"{path} cannot be written ({error.strerror}): free some space, or see to its rights")


def _own(root: Path) -> str:
    """Make the root, open to this user alone; refuse one that other people or other programs rely on.

    Returns why it can only be read; empty where it can be written to.
    """
    home = Path(os.path.expanduser("~")).absolute()
    try:
        with suppress(OSError, RuntimeError):  # a home that leads nowhere holds no store
            home = home.resolve()
        try:
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            if not files.is_folder(root):
                raise
        found = root.stat()
        if found.st_mode & stat.S_ISVTX or home.is_relative_to(root):
            raise IvxError(f"{root} cannot be a store: name a folder of its own in IVX_CACHE")
        why = "it belongs to another user" if found.st_uid != os.geteuid() else ""
        if not why and stat.S_IMODE(found.st_mode) != 0o700:
            try:
                root.chmod(0o700)
            except OSError as error:
                why = error.strerror or "its rights cannot be set"
        if not why and not os.access(root, os.W_OK):
            why = "nothing can be written there"
        os.listdir(root)
    except OSError as error:
        raise IvxError(f"{root} cannot be a store ({error.strerror}): name another folder in IVX_CACHE") from error
    return why
