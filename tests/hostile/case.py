"""A case: a checkpoint that somebody harmed, why that would matter, and the sentence that it meets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

Harm = Callable[[Path], object]


class Case(NamedTuple):
    """One harmed checkpoint.

    Attributes:
        what: what was done to it.
        why: what would happen to a server that believed it.
        harm: does it, to a folder that holds `base`, `adapter` (trained on it), `packed.gguf` and `outside`, a
            checkpoint that nothing in the others may lead to.
        sentence: what the refusal says, a regular expression; empty where it loads, and is the model it was.
        turn: what its chat template meets, where that is asked; empty where it writes a turn, or there is none.
        opened: what is opened: `base`, `adapter` or `packed.gguf`.
        other: whether what loads is rightly another model than it was.
    """

    what: str
    why: str
    harm: Harm
    sentence: str = ""
    turn: str = ""
    opened: str = "base"
    other: bool = False


def edited(path: Path, **changes: Any) -> None:
    """Change values of a JSON document."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def config(**changes: Any) -> Harm:
    """Change values of the config."""
    return lambda folder: edited(folder / "base" / "config.json", **changes)


def lie(path: Path, change: Callable[[dict[str, Any]], object], *, size: int | None = None) -> None:
    """Change the header of a safetensors file, and leave its numbers as they are."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header)
    told = json.dumps(header).encode()
    path.write_bytes((len(told) if size is None else size).to_bytes(8, "little") + told + data[8 + length :])
