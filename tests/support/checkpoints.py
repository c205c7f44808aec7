"""Checkpoints on disk, to be changed."""

from __future__ import annotations

import json
from pathlib import Path


def configured(folder: Path, **changes: object) -> None:
    """Change values of a checkpoint's config."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
