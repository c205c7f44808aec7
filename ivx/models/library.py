"""transformers, entered by one thread at a time.

While it reads a checkpoint it sets state of the whole process, the default dtype among it: two threads that read at
once get tensors of each other's dtype. While it imports its parts it hands out modules that are half there.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from ivx.errors import CheckpointError, boundary

ALONE = threading.RLock()
"""Held by whoever imports transformers, or reads with it."""


def tokenizer(folder: Path, *, name: str) -> Any:
    """The tokenizer in a checkpoint's directory; raises `CheckpointError` where none can be read."""
    told = f"{name}: {folder} has no tokenizer that can be read"
    with ALONE, boundary(CheckpointError, told, "copy tokenizer.json beside the weights"):
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
