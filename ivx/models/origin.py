"""Where a checkpoint that was made from another file comes from: a small document beside its weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

NAME = "origin.json"
MOST = 10_000
"""Most bytes of the document."""


@dataclass(frozen=True)
class Origin:
    """What is said of a checkpoint: where it was had, under which licence, and how its weights were kept there."""

    source: str
    licence: str
    quantisation: str | None

    def write(self, folder: Path) -> None:
        """Lay the document beside the weights."""
        (folder / NAME).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def origin_of(folder: Path) -> Origin | None:
    """What the document in a checkpoint's directory says; None where there is none that can be read."""
    path = folder / NAME
    try:
        found = Origin(**json.loads(path.read_bytes()[:MOST]))
    except (OSError, ValueError, TypeError):
        return None
    texts = (found.source, found.licence, found.quantisation or "none")
    return (
        found if all(isinstance(text, str) and 0 < len(text) <= 200 and text.isprintable() for text in texts) else None
    )
