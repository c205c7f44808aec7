"""What a piece of a test opens, connects to and unpickles, as Python itself reports it."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Watched:
    """Files that were opened, links followed, and what was reached for beside files: the net, and code in pickles."""

    opened: list[Path] = field(default_factory=list)
    reached: list[str] = field(default_factory=list)

    def under(self, folder: Path) -> set[str]:
        """What was opened of a folder, links followed, by the names in it."""
        own = {os.path.realpath(path): str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        return {own[str(path)] for path in self.opened if str(path) in own}


_NOW: list[Watched] = []
_REACHED = ("socket.connect", "socket.getaddrinfo", "pickle.find_class")


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if not _NOW:
        return
    if event == "open" and isinstance(args[0], str | bytes):
        _NOW[-1].opened.append(Path(os.path.realpath(os.fsdecode(args[0]))))  # now: a link may be gone soon
    elif event in _REACHED and not (event == "socket.connect" and args[0].family == socket.AF_UNIX):
        _NOW[-1].reached.append(f"{event} {args!r:.200}")


sys.addaudithook(_hook)  # it stays, and sees nothing where nobody watches


@contextmanager
def watched() -> Iterator[Watched]:
    """Watch whatever runs in this process meanwhile."""
    found = Watched()
    _NOW.append(found)
    try:
        yield found
    finally:
        _NOW.remove(found)
