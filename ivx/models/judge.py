"""A stranger's checkpoint is judged before it is believed: read in a confined process, or one sentence says why not.

What came with ivx, or was fetched by it, is trusted and costs nothing. A verdict is kept until a file changes, or until
nobody has asked for it for long. Several are judged side by side, as far as memory and cores allow.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from ivx.confined.bounds import Bounds
from ivx.confined.original import Copy, Original
from ivx.errors import CheckpointError, Failed, Unanswered
from ivx.models import paths, registry
from ivx.models.contents import contents_of
from ivx.version import VERSION

ORIGINAL = Original("ivx.models.chamber")
"""What strangers' files are read in."""
SECONDS = 12.0
"""Longest that a judgement may take, all its parts together."""
TEMPLATE_SECONDS = 5.0
"""Longest that a chat template may take."""
MEMORY = 4_000_000_000
"""Bytes that reading a checkpoint's documents may take; no weight is read."""
ELSE = "copy it again, or use another checkpoint"
_READS = ("transformers", "tokenizers", "torch")
"""Packages that read a checkpoint: another version judges anew."""
SIDE_BY_SIDE = 4
"""Most that are judged at once. Never more than there are cores, since each has so many seconds and no more."""
MOST_KEPT = 2_000
"""Most verdicts that are kept, here and on the disk."""
DAYS_KEPT = 90.0
"""Days without a question after which a verdict on the disk is forgotten."""
DAY = 86_400.0
_KNOWN: dict[str, tuple[type[CheckpointError], str] | None] = {}
"""Verdicts of this process by key, the oldest first: why not, None where it passed."""
_TRUSTED: set[Path] = set()
_TURNS = threading.Condition()
_JUDGING: set[str] = set()
"""Keys of what is being judged."""


def is_trusted(place: Path) -> bool:
    """Whether a directory or a GGUF file came with ivx, or was fetched by name."""
    there = place.expanduser().resolve()
    folders = [registry.EMBEDDED, registry.ADAPTERS]
    fetched = [paths.fetched(one.name).resolve() for one in registry.FETCHED]
    return there.parent in [folder.resolve() for folder in folders] or there in fetched or there in _TRUSTED


@contextmanager
def trusting(place: Path) -> Iterator[None]:
    """Inside, a checkpoint is trusted that was proved to be the one which ivx names."""
    there = place.resolve()
    _TRUSTED.add(there)
    try:
        yield
    finally:
        _TRUSTED.discard(there)


def refuse_unjudged(place: Path, *, name: str, adapter: Path | None = None) -> None:
    """Refuse a checkpoint, and the adapter that is to be merged into it, that cannot be read within bounds.

    Raises:
        CheckpointError: naming the file and what it does.
    """
    place, adapter = place.absolute(), None if adapter is None else adapter.absolute()
    strangers = [one for one in (place, adapter) if one is not None and not is_trusted(one)]
    if not strangers:
        return
    key = _key(place, adapter)
    with _turn(key):  # of two that ask for the same, the second finds the verdict
        if key in _KNOWN or _is_kept(key):
            why = _KNOWN.get(key)
        else:
            began = time.monotonic()
            why = _judged(place, name, adapter)
            _note(key, why)
            if why is None:
                _keep(key, place, seconds=time.monotonic() - began)
    if why is not None:
        kind, sentence = why
        raise kind(sentence)


@contextmanager
def _turn(key: str) -> Iterator[None]:
    """Inside, nobody else judges the same, and so few judge that each has its memory and a core."""
    with _TURNS:
        _TURNS.wait_for(lambda: key not in _JUDGING and _has_room(len(_JUDGING)))
        _JUDGING.add(key)
    try:
        yield
    finally:
        with _TURNS:
            _JUDGING.discard(key)
            _TURNS.notify_all()


def _has_room(others: int) -> bool:
    """Whether one more can be judged beside so many others; alone it always can."""
    if not others:
        return True
    free = psutil.virtual_memory().available
    return others < min(SIDE_BY_SIDE, os.cpu_count() or 1) and free >= (others + 1) * MEMORY


def _note(key: str, why: tuple[type[CheckpointError], str] | None) -> None:
    with _TURNS:
        _KNOWN[key] = why
        while len(_KNOWN) > MOST_KEPT:
            del _KNOWN[next(iter(_KNOWN))]


def copy_for(*places: Path, seconds: float) -> Copy:
    """A confined process that may open the files of these checkpoints and adapters, and what their links lead to."""
    opened = [one for place in places for one in (place, *_within(place))]
    among = {paths.ROOTS: os.pathsep.join(map(str, paths.readable()))}
    return ORIGINAL.copy(Bounds(MEMORY, seconds), reads=opened, settings=among)


def _within(place: Path) -> list[Path]:
    return [file.place for file in contents_of(place, name=str(place)).files.values()]


def _judged(place: Path, name: str, adapter: Path | None) -> tuple[type[CheckpointError], str] | None:
    """Why a checkpoint is not believed; None where it is."""
    given = {"place": str(place), "name": name}
    copy = copy_for(*filter(None, (place, adapter)), seconds=SECONDS)
    end = time.monotonic() + SECONDS
    parts = [("model", f"config.json or the headers of the weights in {place}")]
    parts += [("words", f"the tokenizer in {place}"), ("turn", f"the chat template in {place}")]
    if adapter is not None:
        parts.append(("adapter", f"the adapter in {adapter}"))
    try:
        for part, what in parts:
            most = min(max(end - time.monotonic(), 0.1), TEMPLATE_SECONDS if part == "turn" else SECONDS)
            more = {"adapter": str(adapter)} if part == "adapter" else {}
            with telling(f"{name}: {what}"):
                copy.ask(part, seconds=most, **given, **more)
    except CheckpointError as error:
        return type(error), str(error)
    finally:
        copy.close()
    return None


@contextmanager
def telling(what: str) -> Iterator[None]:
    """That a confined process gave no answer becomes a sentence about what it read."""
    try:
        yield
    except Failed as error:
        raise CheckpointError(f"{what} cannot be read ({error}): {ELSE}") from error
    except Unanswered as error:
        raise CheckpointError(f"{what} {error} to read: {ELSE}") from error


def stamp(place: Path) -> list[Any]:
    """Name, place, size, times and inode of every file of a checkpoint: what tells that it has changed."""
    return [[own, str(file.place), *file[1:]] for own, file in contents_of(place, name=str(place)).files.items()]


def _key(place: Path, adapter: Path | None) -> str:
    told: list[Any] = [VERSION, *map(version, _READS)]
    told += [(str(one.resolve()), stamp(one)) for one in (place, adapter) if one is not None]
    return hashlib.sha256(json.dumps(told).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _file(key: str) -> Path:
    """What is kept of a checkpoint that passed."""
    return paths.cache() / "judged" / key


def _is_kept(key: str) -> bool:
    """Whether a checkpoint is known to have passed; it was asked for just now, then."""
    path = _file(key)
    if not path.is_file():
        return False
    with suppress(OSError):
        os.utime(path)
    return True


def _keep(key: str, place: Path, *, seconds: float) -> None:
    """Remember that a checkpoint passed; where the cache cannot be written it is judged again."""
    path = _file(key)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps({"place": str(place), "seconds": round(seconds, 2)}), encoding="utf-8")
        fresh.replace(path)
        _prune(path.parent)


def _prune(folder: Path) -> None:
    """Forget what was asked for longest ago, and all that was not for long, halves that a killed process left too."""
    asked = dict[Path, float]()
    for path in folder.iterdir():
        with suppress(OSError):  # another process was first
            asked[path] = path.stat().st_mtime
    kept = sorted(asked, key=asked.__getitem__, reverse=True)
    for number, path in enumerate(kept):
        days = (time.time() - asked[path]) / DAY
        if number >= MOST_KEPT or days > (1.0 if path.suffix else DAYS_KEPT):
            with suppress(OSError):
                path.unlink()
