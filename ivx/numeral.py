"""Whole numbers as an address or a command writes them."""

from __future__ import annotations

_DIGITS, _LONGEST = 9, 18
MOST = 10_000
"""Most numbers of one span."""


def index_of(text: str, *, below: int | None = None) -> int | None:
    """The number that ASCII digits write, if it is below a bound; None for any other text, such as ² or an empty
    one."""
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        return None
    number = int(text)
    return number if below is None or number < below else None


def spans(text: str) -> tuple[int, ...]:
    """The numbers that `3`, `10-13` or `3,10-13` write, lowest first, each once; raises `ValueError` for other text."""
    found: set[int] = set()
    for part in text.split(","):
        low, _, high = part.partition("-")
        ends = index_of(low), index_of(high if "-" in part else low)
        if ends[0] is None or ends[1] is None or not ends[0] <= ends[1] < ends[0] + MOST:
            raise ValueError(text)
        found.update(range(ends[0], ends[1] + 1))
    return tuple(sorted(found))


def integer(text: str) -> int:
    """The number that up to 18 ASCII digits write, with or without a minus; raises `ValueError` for other text."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _LONGEST):
        raise ValueError(text[:40])
    return int(text)
