"""Readings of what differs between checkpoints, made by rules from findings alone; no mechanism is claimed."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ivx.charts.numbers import signed
from ivx.charts.pairs import Pair
from ivx.patching.cells import Cell
from ivx.patching.positions import Column
from ivx.stats.power import room, unable


def difference_reading(cells: Sequence[Cell], columns: Sequence[Column]) -> str:
    """The largest difference that beats its control, with its interval; how many cells differ, and which way."""
    if any(c.state == "estimate" for c in cells):
        return ""
    found = sorted((c for c in cells if c.state == "ok"), key=lambda c: -abs(c.value))
    if not found:
        n = min((c.n for c in cells), default=0)
        lacking = unable(n, cells=len(cells)) if cells else ""
        left = room(end for c in cells if c.state == "zero" for end in (c.low, c.high))
        open_ = f", and {lacking}" if lacking else f"; up to ±{left:.2f} is not ruled out" if left else ""
        return f"No cell differs by more than with another task’s vector: no evidence of a change{open_}."
    top = found[0]
    more = sum(c.value > 0 for c in found)
    return (
        f"Largest: <b>{_named(top, columns)}</b>, <b>{_value(top)}</b> [{signed(top.low, 2)}, {signed(top.high, 2)}]; "
        f"{_control(top)}. {_counted(more, len(found) - more)}."
    )


def _counted(more: int, less: int) -> str:
    """How many cells gain, and how many lose."""
    told = (
        f"{count} cell{'s' * (count > 1)} {verb}{'s' * (count == 1)}"
        for count, verb in ((more, "gain"), (less, "lose"))
        if count
    )
    return ", ".join(told)


def graft_reading(cells: Sequence[Cell], donors: Sequence[str], *, own: int) -> str:
    """The strongest graft from another checkpoint into this one, beside the strongest of its own vectors."""
    found = sorted((c for c in cells if c.state == "ok"), key=lambda c: -abs(c.value))
    foreign, mine = (next((c for c in found if (c.column == own) == same), None) for same in (False, True))
    its_own = "its own beats its control nowhere" if mine is None else f"its own {_value(mine)} at L{mine.layer}"
    if foreign is None:
        return f"No other checkpoint’s vector does more than its control; {its_own}."
    return (
        f"Strongest foreign: <b>{escape(donors[foreign.column])}</b> at L{foreign.layer}, <b>{_value(foreign)}</b> "
        f"[{signed(foreign.low, 2)}, {signed(foreign.high, 2)}]; {_control(foreign)}; {its_own}."
    )


def pair_difference_reading(pairs: Sequence[Pair]) -> str:
    """The pair whose J changes most, and how many change."""
    if not pairs:
        return ""
    found = sorted((pair for pair in pairs if pair.state == "ok"), key=lambda pair: -abs(pair.value))
    if not found:
        return "No pair’s J differs by more than with another task’s vectors: no evidence of a change."
    top = found[0]
    return f"Largest: <b>{escape(top.name)}, {signed(top.value, 2)}</b>; {len(found)} pairs change."


def _named(cell: Cell, columns: Sequence[Column]) -> str:
    return f"L{cell.layer} at {escape(columns[cell.column].label)}"


def _value(cell: Cell) -> str:
    return signed(cell.value, 2)


def _control(cell: Cell) -> str:
    return "no control" if cell.control is None else f"another task’s {signed(cell.control, 2)}"
