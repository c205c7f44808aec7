"""Whole numbers as an address or a command writes them."""

from __future__ import annotations

_DIGITS = 9


def index_of(text: str, *, below: int | None = None) -> int | None:
    """The number that ASCII digits write, if it is below a bound; None for any other text, such as ² or an empty
    one."""
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        return None
    number = int(text)
    return number if below is None or number < below else None


def integer(text: str) -> int:
    """The number that ASCII digits write, with or without a minus; raises `ValueError` for any other text."""
    if not (text.isascii() and text.removeprefix("-").isdigit()):
        raise ValueError(text)
    return int(text)
