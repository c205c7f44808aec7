"""Readings: one sentence under a map, made by rules from its findings alone; no mechanism is claimed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Protocol

import numpy as np

from ivx.charts.numbers import signed
from ivx.patching.cells import Cell
from ivx.patching.positions import Column
from ivx.patching.roles import is_real
from ivx.stats.metrics import find
from ivx.stats.power import room, unable
from ivx.stats.verdict import Against
from ivx.vocabulary import CONTROL

SAID = {
    "ok": "beyond its controls",
    "control": "no better than a control",
    "zero": "not different from 0",
    "undefined": "undefined: no sample has finite logits",
}
UNCONTROLLED = "differs from 0; no control was run"
Controls = Mapping[str, Against]


class Judged(Protocol):
    """A number with its interval and its verdict's state."""

    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def state(self) -> str: ...


def said_of(cell: Judged, *, controlled: bool = True, floor: float = 0.0) -> str:
    """A verdict in words: a finding without controls is none beyond them, and "no" is told with what it leaves open."""
    if cell.state == "ok" and not controlled:
        return UNCONTROLLED
    if cell.state != "zero":
        return SAID[cell.state]
    left = room((cell.low, cell.high))
    if left < floor:
        return f"{SAID['zero']}: at most ±{left:.2f}, less than what counts ({floor:g})"
    return f"{SAID['zero']}, though up to ±{left:.2f} is not ruled out"


def called(control: str, direction: str) -> str:
    """What a control is called, where states are put in and where a run is disturbed."""
    told = CONTROL[control]
    return told.vector if direction == "denoise" else told.state


def reading(
    cells: Sequence[Cell],
    columns: Sequence[Column],
    *,
    metric: str,
    against: Mapping[str, Controls],
    direction: str = "denoise",
) -> str:
    """The strongest finding with its interval and control, and the strongest cell that is no finding, if stronger."""
    pending = any(c.state == "estimate" for c in cells)
    cells = [c for c in cells if c.state != "estimate"]
    if not cells:
        return "Nothing is computed here yet: the shades are estimates." if pending else ""
    floor, unit = find(metric).floor, find(metric).unit
    found = sorted((c for c in cells if c.state == "ok"), key=lambda c: -abs(c.value))
    hatched = sorted((c for c in cells if c.state == "control"), key=lambda c: -abs(c.value))

    def control(cell: Cell) -> str:
        return nearest_control(cell, against.get(cell.patch, {}), floor=floor, direction=direction)

    controlled = any(against.get(c.patch) for c in cells)
    if not found:
        text = nothing_found(cells, controlled=controlled)
        if hatched:
            text += f" {_named(hatched[0], columns)} {_value(hatched[0])}, {control(hatched[0])}."
        return text
    top = found[0]
    text = (
        f"Strongest: <b>{_named(top, columns)}</b>, <b>{_value(top)}</b> {escape(unit)} "
        f"[{signed(top.low, 2)}, {signed(top.high, 2)}]{_away(top.value)}; {control(top)}."
    )
    tied = [c for c in found[1:] if np.sign(c.value) == np.sign(top.value) and abs(c.value) >= _near(top)]
    if tied:
        others = f" and {len(tied) - 1} more" * (len(tied) > 1)
        text += f" Within its interval: {_named(tied[0], columns)} {_value(tied[0])}{others}."
    if hatched and abs(hatched[0].value) > abs(found[-1].value):
        text += f" Hatched: {_named(hatched[0], columns)} {_value(hatched[0])}, {control(hatched[0])}."
    return text


def nothing_found(cells: Sequence[Cell], *, controlled: bool) -> str:
    """What is said of a map without findings: what could have been seen."""
    beyond = " more than its controls do" if controlled else ""
    text = f"No cell moves the answer{beyond}: no evidence here"
    if lacking := unable(min(c.n for c in cells), cells=len(cells)):
        return f"{text}, and {lacking}."
    zero = [c for c in cells if c.state == "zero"]
    left = room(end for c in zero for end in (c.low, c.high))
    return f"{text}." + f" Up to ±{left:.2f} is not ruled out in cells that are not different from 0." * bool(zero)


def _away(value: float) -> str:
    return ", away from the answer" if value < 0 else ""


def _near(top: Cell) -> float:
    """The size from which a cell lies within another's interval."""
    return min(abs(top.low), abs(top.high)) if top.low * top.high > 0 else 0.0


def unbeaten(value: float, against: Controls, *, floor: float) -> list[str]:
    """The controls that an effect is no better than, the strongest first."""
    left = [name for name, of in against.items() if not of.is_beaten(value, floor=floor)]
    return sorted(left, key=lambda name: -against[name].mean * (1 if value >= 0 else -1))


def nearest_control(cell: Cell, against: Controls, *, floor: float, direction: str) -> str:
    """The control that comes nearest: of a cell that is no finding, among those that it does not beat."""
    if not against:
        return "no control"
    real = {name: of for name, of in against.items() if is_real(name, direction=direction)}
    left = unbeaten(cell.value, real, floor=floor) if cell.state == "control" else []
    sign = 1 if cell.value >= 0 else -1
    among = left or list(real) or list(against)
    nearest = max(among, key=lambda name: against[name].mean * sign)
    return f"{called(nearest, direction)} {signed(against[nearest].mean, 2)}"


def _named(cell: Cell, columns: Sequence[Column]) -> str:
    label = escape(columns[cell.column].label)
    return f"L{cell.layer} {label.upper()}" if cell.site == "z" else f"L{cell.layer} at {label}"


def _value(cell: Cell) -> str:
    return signed(cell.value, 2)
