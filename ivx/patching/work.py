"""Work: what a patched row takes, counted before it runs, so that the time left can be told of rows that differ.

By plan a row computes only what its patch changes: the tokens from the patched one on, from the patched layer up.
"""

from __future__ import annotations

import re
from functools import cache

from ivx.numeral import index_of

READ = 3.0
"""What reading the last token takes, in passes of a token through a block; more where the vocabulary is large."""
_PART = re.compile(r"[a-z_]+\.(\d+)(?:\.\d+)?@([^~=,]+)")


@cache
def work_of(patch: str, *, layers: int, length: int) -> float:
    """Passes of a token through a block that a row takes, with a prompt of so many tokens; all for the empty patch.

    A named position is taken to stand in the middle.
    """
    reached = [(int(layer), _position(at, length)) for layer, at in _PART.findall(patch)]
    first = min((layer for layer, _ in reached), default=0)
    token = min((position for _, position in reached), default=0)
    return max(0, layers - first) * (length - token) + READ


def _position(at: str, length: int) -> int:
    """The number of a position, from the start."""
    if at == "*":
        return 0
    number = index_of(at.removeprefix("-"))
    if number is None:
        return length // 2
    return min(length - 1, max(0, length - number if at.startswith("-") else number))
