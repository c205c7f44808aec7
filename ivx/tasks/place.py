"""Places: where a user's task lies: a file, and behind a question mark what its name alone does not tell.

`animals.csv?query=name&answer=colour&contrast=flies&wordings=colour.txt&field=Animal` names the columns, a file of
wordings, and what stands before a query. Files are looked for beside the first.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from ivx.errors import TaskError
from ivx.tasks.layouts.columns import NAMED
from ivx.tasks.layouts.sheet import check_cell

FILES = (".csv", ".jsonl", ".json", ".parquet")
OTHER_FILES = (".tsv", ".txt", ".xlsx")
"""Kinds of files that are not read: the reader says which are."""
PARTS = (*NAMED, "field", "wordings", "contrast_wordings", "against")
"""What can stand behind the question mark."""
MAX_FIELD = 100
"""Characters in what stands before a query."""
_ASKED = re.compile(rf"(.+?(?:{'|'.join(map(re.escape, (*FILES, *OTHER_FILES)))}))\?(.*)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Place:
    """Where a task lies.

    Attributes:
        columns: the column of each role that the user named.
        field: what stands before every query; empty for what the file says.
        wordings, contrast_wordings: files of wordings of the instruction and of the contrast's.
        against: where the contrast's answers lie.
    """

    path: Path
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)  # `field` is a name of its own here
    field: str = ""
    wordings: Path | None = None
    contrast_wordings: Path | None = None
    against: Place | None = None


def place_of(name: str) -> Place | None:
    """The place that a task's name means; None where it names no file. Raises `TaskError` for one it cannot."""
    found = None if _is_there(name) else _ASKED.fullmatch(name)
    if found is None:
        return Place(Path(name)) if Path(name).suffix.lower() in (*FILES, *OTHER_FILES) else None
    path, parts = Path(found[1]), _parts(found[2], Path(found[1]).name)
    beside = {key: path.parent / parts[key] for key in ("wordings", "contrast_wordings") if key in parts}
    against = None
    if "against" in parts:
        against = place_of(str(path.parent / parts["against"]))
        if against is None:
            raise TaskError(f"{path.name}: against={parts['against']!r:.60} is no task file: give one of {_kinds()}")
    if len(parts.get("field", "")) > MAX_FIELD:
        raise TaskError(f"{path.name}: field= has more than {MAX_FIELD} characters: shorten it")
    check_cell(parts.get("field", ""), where=f"{path.name}, field=")
    columns = {role: parts[role] for role in NAMED if role in parts}
    return Place(path, columns, parts.get("field", ""), **beside, against=against)


def named(path: Path | str, **parts: str) -> str:
    """The name that means a file and these parts; empty ones are left out."""
    told = "&".join(f"{key}={quote(value, safe='/ ')}" for key, value in parts.items() if value)
    return f"{path}?{told}" if told else str(path)


def _is_there(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # too long, or with a NUL in it
        return False


def _parts(told: str, file: str) -> dict[str, str]:
    """What stands behind the question mark."""
    found: dict[str, str] = {}
    for part in told.split("&"):
        key, _, value = part.partition("=")
        key, value = key.strip(), unquote(value).strip()
        if key not in PARTS:
            raise TaskError(f"{file}?{part:.60}: {key!r:.60} is not known; use one of {', '.join(PARTS)}")
        if key in found:
            raise TaskError(f"{file}: {key}= stands twice: keep one of them")
        if not value or "\0" in value:
            raise TaskError(f"{file}: {key}= names nothing: write {key}=NAME, or leave it out")
        found[key] = value
    return found


def _kinds() -> str:
    return ", ".join(FILES)
