"""Frozen dataclasses out of JSON: each value's type and size is checked, so that what was kept is what was written."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from ivx.errors import IvxError

MAX_ITEMS = 100_000
MAX_TEXT = 20_000
T = TypeVar("T")


def typed(kind: type[T], told: Any, what: str) -> T:
    """What `dataclasses.asdict` and JSON left of a `kind`; raises `IvxError` naming the place that is wrong."""
    found: T = _read(kind, told, what)
    return found


def _read(kind: Any, told: Any, what: str) -> Any:
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        if told is None and NoneType in inside:
            return None
        return _read(next(part for part in inside if part is not NoneType), told, what)
    if origin is dict:
        if not isinstance(told, dict) or len(told) > MAX_ITEMS:
            _refuse(what, "an object")
        return {_read(str, k, what): _read(inside[1], v, f"{what}, {k}") for k, v in told.items()}
    if origin is tuple or (isinstance(kind, type) and issubclass(kind, tuple)):
        return _sequence(kind, origin, inside, told, what)
    if is_dataclass(kind):
        names = {field.name for field in fields(kind)}
        if not isinstance(told, dict) or set(told) != names:
            _refuse(what, f"exactly {', '.join(sorted(names))}")
        hints = get_type_hints(kind)
        return kind(**{name: _read(hints[name], told[name], f"{what}, {name}") for name in told})  # type: ignore[operator]
    return _plain(kind, told, what)


def _sequence(kind: Any, origin: Any, inside: tuple[Any, ...], told: Any, what: str) -> Any:
    if not isinstance(told, (list, tuple)) or len(told) > MAX_ITEMS:
        _refuse(what, "a list")
    if origin is None:  # a named tuple
        parts = list(get_type_hints(kind).values())
    else:
        parts = [inside[0]] * len(told) if inside[-1] is Ellipsis else list(inside)
    if len(parts) != len(told):
        _refuse(what, f"{len(parts)} values")
    values = [_read(part, value, f"{what}[{i}]") for i, (part, value) in enumerate(zip(parts, told, strict=True))]
    return kind(*values) if origin is None else tuple(values)


def _plain(kind: Any, told: Any, what: str) -> Any:
    if kind is float and type(told) in (int, float) and math.isfinite(told):
        return float(told)
    if kind is float or type(told) is not kind or (kind is str and len(told) > MAX_TEXT):
        _refuse(what, {float: "a finite number", int: "a whole number", bool: "true or false"}.get(kind, "a text"))
    return told


def _refuse(what: str, wanted: str) -> NoReturn:
    raise IvxError(f"what was kept of this run cannot be used: {what}: expected is {wanted}; delete the run")
