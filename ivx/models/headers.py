"""The headers of a checkpoint's files: which tensors they hold, read without their numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from ivx.models.contents import Contents


class Held(NamedTuple):
    """What a file's header says of a tensor: its dtype by the format's name, its shape, and its bytes."""

    dtype: str
    shape: tuple[int, ...]
    size: int


def tensors(contents: Contents) -> dict[str, Held]:
    """All tensors of a checkpoint's weights, by name; for files that `check_weights` has passed."""
    found: dict[str, Held] = {}
    for own in contents.weights:
        found |= of_file(contents.folder / own)
    return found


def of_file(shard: Path) -> dict[str, Held]:
    """All tensors in a safetensors file, by name."""
    with shard.open("rb") as file:  # by hand: the format's own library does not tell how large a tensor is
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    found = {}
    for tensor, told in header.items():
        if tensor != "__metadata__":
            start, stop = told["data_offsets"]
            found[tensor] = Held(told["dtype"], tuple(told["shape"]), stop - start)
    return found
