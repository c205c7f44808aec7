"""Values that may come from a stranger: each is taken for what it is meant to be, or refused by one sentence.

`what` names the value in that sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from ivx.errors import IvxError

MAX_TEXT = 20_000
"""Characters of a wording, a query, an answer or a warning."""
IDS = 2**31
"""Token ids lie below."""
LARGEST = 1e6
"""No logit, and no divergence in nats, of any model is larger."""
T = TypeVar("T")


def boolean(told: Any, what: str) -> bool:
    """True or false."""
    if not isinstance(told, bool):
        refuse(what, "true or false")
    return told


def number(told: Any, what: str) -> float:
    """A finite number from 0."""
    if type(told) not in (int, float) or not 0 <= told < float("inf"):
        refuse(what, "a finite number from 0")
    return float(told)


def span(told: Any, what: str, end: int) -> tuple[int, int]:
    """A pair of numbers, the first not above the second, both up to `end`."""
    if not isinstance(told, list) or len(told) != 2:
        refuse(what, "a start and an end")
    start = whole(told[0], what, 0, end)
    return start, whole(told[1], what, start, end)


def each(told: Any, what: str, read: Callable[[Any, str], T], *, most: int, least: int = 0) -> list[T]:
    """A list of `least` to `most` values, each read by `read`."""
    if not isinstance(told, list) or not least <= len(told) <= most:
        refuse(what, f"a list of {least:,} to {most:,} values")
    return [read(value, f"{what}[{i}]") for i, value in enumerate(told)]


def maybe(told: Any, what: str, read: Callable[[Any, str], T]) -> T | None:
    """None, or a value read by `read`."""
    return None if told is None else read(told, what)


def token_id(told: Any, what: str) -> int:
    """The id of a token."""
    return whole(told, what, 0, IDS - 1)


def whole(told: Any, what: str, low: int, high: int) -> int:
    """A whole number within bounds."""
    if type(told) is not int or not low <= told <= high:
        refuse(what, f"a whole number from {low:,} to {high:,}")
    return told


def text(told: Any, what: str) -> str:
    """A text of bounded length that can be encoded."""
    if not isinstance(told, str) or len(told) > MAX_TEXT or any("\ud800" <= c <= "\udfff" for c in told):
        refuse(what, f"a text of at most {MAX_TEXT:,} characters")
    return told


def keys(told: Any, *names: str, what: str) -> None:
    """Refuse what is not an object of exactly these names."""
    if not isinstance(told, dict) or set(told) != set(names):
        refuse(what, f"exactly {', '.join(names)}")


def refuse(what: str, wanted: str) -> NoReturn:
    """Raise the one sentence that all of them say."""
    raise IvxError(f"what was kept of this run cannot be used: {what}: expected is {wanted}; export the run again")
