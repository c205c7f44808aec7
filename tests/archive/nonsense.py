"""Nonsense for a document: every place of it, times every bad value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MISSING = object()
BAD: tuple[tuple[str, Any], ...] = (
    ("null", None),
    ("true", True),
    ("a number", 7.5),
    ("negative", -1),
    ("huge", 10**30),
    ("vast", 1e300),
    ("NaN", float("nan")),
    ("infinite", float("inf")),
    ("long text", "x" * 50_000),
    ("control characters", "a\x1b[31mb\x00"),
    ("turned around", "a\u202eb"),
    ("half a letter", "\ud800"),
    ("no text", ""),
    ("a list", [1, 2]),
    ("an object", {"a": {"b": [1]}}),
    ("deep", [[[[[[[[[[1]]]]]]]]]]),
    ("missing", MISSING),
)


def places(told: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where each value stands, of a list the first."""
    for name, value in told.items() if isinstance(told, dict) else list(enumerate(told))[:1]:
        yield (*above, name)
        if isinstance(value, dict | list):
            yield from places(value, (*above, name))


def put(document: Any, place: tuple[Any, ...], value: Any) -> None:
    for part in place[:-1]:
        document = document[part]
    if value is not MISSING:
        document[place[-1]] = value
    elif isinstance(document, list) or place[-1] in document:
        del document[place[-1]]
