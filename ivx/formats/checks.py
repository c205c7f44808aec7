"""Checks of values that may come from a stranger: each is read as the type it should have, or refused in one sentence.

`what` names the value in that sentence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from ivx.errors import IvxError

MAX_TEXT = 20_000
"""Characters of a wording, a query, an answer or a warning."""
IDS = 2**24
"""Token ids are below this: no vocabulary is larger."""
MAX_ITEMS = 100_000
"""Values of a list or an object that a dataclass holds."""
LARGEST = 1e6
"""No logit, and no divergence in nats, of any model is larger."""
LATER = {"p_means", "starts"}
"""Fields that results did not have at first."""
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
    """Refuse a value that is not an object with exactly these keys."""
    if not isinstance(told, dict) or set(told) != set(names):
        refuse(what, f"exactly {', '.join(names)}")


def typed(kind: type[T], told: Any, what: str) -> T:
    """Rebuild a dataclass or a tuple from what `dataclasses.asdict` and JSON left of it.

    Raises:
        IvxError: a value is missing, of another type than its field, or too long; names the place.
    """
    found: T = _typed(kind, told, what)
    return found


def _typed(kind: Any, told: Any, what: str) -> Any:
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        if told is None and NoneType in inside:
            return None
        return _typed(next(part for part in inside if part is not NoneType), told, what)
    if origin is dict:
        if not isinstance(told, dict) or len(told) > MAX_ITEMS:
            refuse(what, "an object")
        return {text(k, what): _typed(inside[1], v, f"{what}, {k}") for k, v in told.items()}
    if origin is tuple or (isinstance(kind, type) and issubclass(kind, tuple)):
        return _sequence(kind, origin, inside, told, what)
    if is_dataclass(kind):
        if isinstance(told, dict):  # a field that came later has its default in what was kept before
            told = {f.name: f.default for f in fields(kind) if f.default is not MISSING and f.name in LATER} | told
        keys(told, *(field.name for field in fields(kind)), what=what)
        hints = get_type_hints(kind)
        return kind(**{name: _typed(hints[name], told[name], f"{what}, {name}") for name in told})  # type: ignore[operator]
    return _PLAIN[kind](told, what)


def _sequence(kind: Any, origin: Any, inside: tuple[Any, ...], told: Any, what: str) -> Any:
    if not isinstance(told, list | tuple) or len(told) > MAX_ITEMS:
        refuse(what, "a list")
    if origin is None:  # a named tuple
        parts = list(get_type_hints(kind).values())
    else:
        parts = [inside[0]] * len(told) if inside[-1] is Ellipsis else list(inside)
    if len(parts) != len(told):
        refuse(what, f"{len(parts)} values")
    values = [_typed(part, value, f"{what}[{i}]") for i, (part, value) in enumerate(zip(parts, told, strict=True))]
    return kind(*values) if origin is None else tuple(values)


def _finite(told: Any, what: str) -> float:
    if type(told) not in (int, float) or not math.isfinite(told):
        refuse(what, "a finite number")
    return float(told)


def _integer(told: Any, what: str) -> int:
    if type(told) is not int:
        refuse(what, "a whole number")
    return told


def refuse(what: str, wanted: str) -> NoReturn:
    """Raise the `IvxError` that all checks share."""
    raise IvxError(f"what was kept of this run cannot be used: {what}: expected is {wanted}; export the run again")


_PLAIN: dict[Any, Callable[[Any, str], Any]] = {bool: boolean, float: _finite, int: _integer, str: text}
