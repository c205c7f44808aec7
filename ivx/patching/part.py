"""The part of a model that a request names: some of its layers, some of its heads."""

from __future__ import annotations

from collections.abc import Mapping

from ivx.errors import IvxError
from ivx.numeral import spans


def within(name: str, told: str, count: int) -> tuple[int, ...]:
    """The layers or heads that are asked for, of so many; all where none are named. Raises `IvxError`."""
    if not told:
        return tuple(range(count))
    found = spans(told)
    if found[-1] >= count:
        raise IvxError(f"{name} {told}: this model has {name} 0 to {count - 1}")
    return found


def part_of(asked: Mapping[str, str], layers: int) -> str:
    """What part of so many layers was run, in a sentence; empty for all of it."""
    named = " and ".join(f"{name} {told}" for name, told in asked.items() if told)
    return f"only {named} were run, of {layers} layers: p is adjusted over these alone" if named else ""
