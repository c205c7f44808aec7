"""The members of an untrusted archive: only known names are read, in memory, within limits while unpacking.

Nothing is written to disk, so no name can lead anywhere; a header's claims are checked, never relied on.
"""

from __future__ import annotations

import io
import os
import re
import stat
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from ivx.errors import IvxError

READ = {"asked.json": 100_000, "receipt.json": 1_000_000, "context.json": 100_000_000, "rows.parquet": 500_000_000}
"""The members that are read, and the most bytes of each. Together they bound what an archive can take."""
UNREAD = ("rows.csv", "figure.ipynb")
FIGURE = re.compile(r"[a-z][a-z0-9_-]{0,40}\.(vl\.json|svg|png|txt)")
"""Names of the pictures: for people, like `UNREAD`; they are never opened."""
MAX_MEMBERS = 100
MAX_BYTES = 1_000_000_000
"""Most bytes of the whole file, packed, and of one member that is not read, unpacked."""
MAX_RATIO = 200
"""Most unpacked bytes per packed byte; ivx's own members stay under 40."""
FREE = 1_000_000
"""Unpacked bytes that are allowed at any ratio."""
STEP = 1_000_000
END = b"PK\x05\x06"
END_BYTES, LOCATOR_BYTES = 22, 20
LOCATOR = b"PK\x06\x07"
ENTRY_BYTES = 500
"""The most that one entry of the directory takes."""


def members(source: Path | str | BinaryIO) -> dict[str, bytes]:
    """The content of the members in `READ` by name, from a zip file or from a folder into which one was unpacked."""
    if isinstance(source, (str, Path)):
        path = Path(source)
        try:
            if path.is_dir():
                return {name: _of_folder(path / name, most) for name, most in READ.items()}
            if not path.is_file():
                raise IvxError(f"there is no file {path}: give an archive that `export` made")
            with path.open("rb") as file:
                return _of_zip(file)
        except (OSError, ValueError) as error:  # no right to look, a name too long, a NUL in it
            told = getattr(error, "strerror", None) or error
            raise IvxError(
                f"{str(path)[:200]!r} cannot be read ({told}): give an archive that `export` made"
            ) from error
    return _of_zip(source)


def _of_folder(path: Path, most: int) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise IvxError(f"{path} cannot be read ({error.strerror}): unpack the whole archive again") from error
    with open(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise IvxError(f"{path} is not a plain file: unpack the archive again")
        content = file.read(most + 1)
    if len(content) > most:
        raise IvxError(f"{path} has more than {most:,} bytes, the most that is read of it")
    return content


def _of_zip(file: BinaryIO) -> dict[str, bytes]:
    size = _check_end(file)
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            for entry in entries:
                _check_entry(entry, size)
            names = [entry.filename for entry in entries]
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise IvxError(f"the archive holds {twice!r} twice: export the run again")
            missing = [name for name in READ if name not in names]
            if missing:
                raise IvxError(f"the archive lacks {missing[0]}: export the run again")
            return {name: _unpacked(archive, archive.getinfo(name), most) for name, most in READ.items()}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        raise IvxError(f"the archive is damaged ({str(error)[:200] or 'cut short'}): export the run again") from error


def _check_end(file: BinaryIO) -> int:
    """The file's size, if it ends as a small zip does; a vast directory is refused before anything reads it."""
    size = file.seek(0, io.SEEK_END)
    if size > MAX_BYTES:
        raise IvxError(f"the archive has {size / 1e9:.1f} GB: up to {MAX_BYTES / 1e9:g} GB are read")
    file.seek(max(0, size - END_BYTES - LOCATOR_BYTES))
    tail = file.read(END_BYTES + LOCATOR_BYTES)
    end = tail[-END_BYTES:]
    if not end.startswith(END) or tail.startswith(LOCATOR):
        raise IvxError("this is not an archive of ivx, or it is cut short: export the run again")
    count, directory = int.from_bytes(end[10:12], "little"), int.from_bytes(end[12:16], "little")
    if count > MAX_MEMBERS or directory > MAX_MEMBERS * ENTRY_BYTES:
        raise IvxError(f"the archive lists {count:,} members in {directory:,} bytes: up to {MAX_MEMBERS} are read")
    return size


def _check_entry(entry: zipfile.ZipInfo, size: int) -> None:
    name = entry.filename
    if name not in READ and name not in UNREAD and not FIGURE.fullmatch(name):
        raise IvxError(f"the archive holds {name[:100]!r}, which is no part of a run: take it out")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise IvxError(f"the archive's {name} is not a plain file but a link or a device: export the run again")
    if entry.flag_bits & 1:
        raise IvxError(f"the archive's {name} is encrypted: export the run without a password")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise IvxError(f"the archive's {name} is packed in a way that is not read: zip it again with deflate")
    if entry.compress_size > size:
        raise IvxError(f"the archive's {name} claims more packed bytes than the file has: export the run again")
    if entry.file_size > READ.get(name, MAX_BYTES):
        raise IvxError(
            f"the archive's {name} claims {entry.file_size:,} bytes: up to {READ.get(name, MAX_BYTES):,} are read"
        )


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> bytes:
    """One member's content; unpacking ends as soon as it passes a bound."""
    allowed = FREE + MAX_RATIO * entry.compress_size
    found = bytearray()
    with archive.open(entry) as stream:
        while step := stream.read(STEP):
            found += step
            if len(found) > min(most, allowed):
                raise IvxError(
                    f"the archive's {entry.filename} unpacks to more than {min(most, allowed):,} bytes from "
                    f"{entry.compress_size:,}, as a zip bomb does: export the run again"
                )
    return bytes(found)
