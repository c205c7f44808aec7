"""A drawing: the strongest edges of two runs as ribbons, marked by whether both runs have them or only one.

Edges of one layer between the same two columns are one ribbon, as wide as their sum, where they are of one kind: drawn
beside one another they could not be told apart. An edge is named `layer.head@end~start`, by its slots.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ivx.analyses.pathways.parts import Part
from ivx.analyses.pathways.slots import Slot, coarse
from ivx.charts.flow import Ribbon, Stay
from ivx.charts.numbers import signed

LEAST_STAY = 0.03
"""Narrowest stay (what stays on its token) that is drawn, as a share of the widest ribbon."""
WIDEST_STAY = 0.75
"""What stays is drawn no wider than this share of the widest ribbon: it is background, not a finding."""


@dataclass(frozen=True)
class Drawing:
    """One run's drawing: its edges, strongest first, which of them the other run has too, and how they are drawn."""

    run: str
    edges: tuple[Part, ...]
    shared: frozenset[str]
    ribbons: tuple[Ribbon, ...]
    stays: tuple[Stay, ...]
    labels: tuple[str, ...]
    marked: int | None


class Flow(Protocol):
    """What is drawn: a result of pathways."""

    @property
    def layers(self) -> int: ...
    def slots(self, run: str) -> tuple[Slot, ...]: ...
    def strongest(self, n: int, *, run: str = "here") -> list[Part]: ...
    def share(self, value: float, run: str = "here") -> float | None: ...
    def parts(self, kind: str, *, run: str = "here", layer: int | None = None) -> list[Part]: ...


def name_of(part: Part) -> str:
    """The name of an edge, or of a head's whole write at one slot."""
    return f"{part.layer}.{part.head}@{part.end}" + ("" if part.start is None else f"~{part.start}")


def drawings(
    found: Flow, n: int, *, runs: tuple[str, str] = ("here", "there"), other: Flow | None = None
) -> tuple[Drawing, Drawing]:
    """Drawings of the n strongest edges between tokens in both runs, on one scale of widths.

    Args:
        other: result that the second run is from, of a checkpoint of the same shape; by default the same result.
    """
    sides = tuple(zip((found, other or found), runs, strict=True))
    edges = [side.strongest(n, run=run) for side, run in sides]
    both = {_way(part) for part in edges[0]} & {_way(part) for part in edges[1]}
    grouped = [_grouped(parts, both) for parts in edges]
    widest = max((abs(_sum(group)) for groups in grouped for group in groups.values()), default=1.0) or 1.0
    one, two = (
        _drawing(side, run, parts, groups, both, widest)
        for (side, run), parts, groups in zip(sides, edges, grouped, strict=True)
    )
    return one, two


def _way(part: Part) -> tuple[int | None, int | None, str, str]:
    """What identifies an edge in both runs: layer, head and slots, whatever the wording."""
    return part.layer, part.head, coarse(str(part.start)), coarse(str(part.end))


Group = dict[tuple[int, str, str, str], list[Part]]


def _grouped(edges: Sequence[Part], both: set[tuple[int | None, int | None, str, str]]) -> Group:
    """Edges by layer, columns and kind; strongest first."""
    found: Group = defaultdict(list)
    for part in edges:
        kind = "shared" if _way(part) in both else "toward" if part.value > 0 else "away"
        found[int(part.layer or 0), str(part.start), str(part.end), kind].append(part)
    return found


def _sum(group: Sequence[Part]) -> float:
    return sum(part.value for part in group)


def _drawing(
    found: Flow,
    run: str,
    edges: Sequence[Part],
    grouped: Group,
    both: set[tuple[int | None, int | None, str, str]],
    widest: float,
) -> Drawing:
    slots = found.slots(run)
    place = {slot.key: i for i, slot in enumerate(slots)}
    ribbons = []
    for (layer, start, end, kind), group in grouped.items():
        more = f" +{len(group) - 1}" if len(group) > 1 else ""
        label = f"L{layer} H{group[0].head}{more}"
        share = found.share(_sum(group), run)
        told = f"{label}: {slots[place[start]].label} → {slots[place[end]].label}, {signed(_sum(group), 2)}"
        told += "" if share is None else f", {share:.0%}"
        width = abs(_sum(group)) / widest
        ribbons.append(Ribbon(name_of(group[0]), layer, place[start], place[end], kind, width, label, told))
    shared = frozenset(name_of(part) for part in edges if _way(part) in both)
    labels = tuple(slot.label if slot.label != slot.key else f"‹{slot.key}›" for slot in slots)
    marked = place.get("t_inst")
    return Drawing(run, tuple(edges), shared, tuple(ribbons), _stays(found, run, ribbons, widest), labels, marked)


def _stays(found: Flow, run: str, ribbons: Sequence[Ribbon], widest: float) -> tuple[Stay, ...]:
    """What stays on its token, at the columns that ribbons touch: from the embeddings to the block from which the last
    ribbon leaves."""
    keys = [slot.key for slot in found.slots(run)]
    place = {key: i for i, key in enumerate(keys)}
    touched = {column for ribbon in ribbons for column in (ribbon.start, ribbon.end)}
    last = max(touched, default=-1)
    leaves = {column: max((r.layer for r in ribbons if r.start == column), default=-1) for column in touched}
    leaves[last] = found.layers
    stays = []
    for part in found.parts("stay", run=run):
        column, layer = place[str(part.end)], int(part.layer or 0)
        width = min(WIDEST_STAY, abs(part.value) / widest)
        if column in touched and layer < leaves[column] and width >= LEAST_STAY:
            stays.append(Stay(layer, column, width))
    return tuple(stays)
