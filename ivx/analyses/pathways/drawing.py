"""A drawing: the strongest edges of two runs as ribbons, those that both have told apart from those of one.

Edges of one layer between the same two columns are one ribbon, as wide as their sum, where they are of one kind: drawn
beside one another they could not be told apart. An edge is named `layer.head@end~start`, by its slots.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ivx.analyses.pathways.parts import Part
from ivx.analyses.pathways.slots import coarse
from ivx.charts.flow import Ribbon, Stay, flow
from ivx.charts.numbers import signed
from ivx.charts.overlap import Level, Size, faithfulness_chart, overlap_chart
from ivx.charts.palette import LIGHT

if TYPE_CHECKING:
    from ivx.analyses.pathways.result import Pathways

LEAST_STAY = 0.03
"""Of the widest ribbon: what stays on a token and is less is not drawn."""
WIDEST_STAY = 0.75
"""What stays is drawn no wider than this share of the widest ribbon: it is the ground, not the finding."""


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


def name_of(part: Part) -> str:
    """The name of an edge, or of a head's whole write at one slot."""
    return f"{part.layer}.{part.head}@{part.end}" + ("" if part.start is None else f"~{part.start}")


def drawings(
    found: Pathways, n: int, *, runs: tuple[str, str] = ("here", "there"), other: Pathways | None = None
) -> tuple[Drawing, Drawing]:
    """Of both runs, the n strongest edges between tokens, on one scale of widths.

    Args:
        other: whose run the second is; a checkpoint of the same shape, by default the same.
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
    """What is the same edge in both runs: layer, head and slots, whatever the wording."""
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
    found: Pathways,
    run: str,
    edges: Sequence[Part],
    grouped: Group,
    both: set[tuple[int | None, int | None, str, str]],
    widest: float,
) -> Drawing:
    slots = found.found.slots[run]
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


def _stays(found: Pathways, run: str, ribbons: Sequence[Ribbon], widest: float) -> tuple[Stay, ...]:
    """What goes on at the columns of the drawing: from the block a ribbon first arrives at, or the embeddings, to that
    from which the last one leaves."""
    keys = [slot.key for slot in found.found.slots[run]]
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


PRINTED = 20
"""Edges in a printed flow."""


def figures(found: Pathways, n: int = PRINTED) -> dict[str, dict[str, Any]]:
    """Flows, overlap and faithfulness for print: light, of fixed width, titled, nothing to click."""
    printed = {}
    for drawing in drawings(found, n):
        told = found.request.task if drawing.run == "here" else str(found.receipt["contrast"])
        spec = flow(
            drawing.ribbons, drawing.stays, drawing.labels, layers=found.layers, marked=drawing.marked, palette=LIGHT
        )
        text = f"{told}: the {n} strongest edges; grey in both, orange raises and blue lowers the answer"
        printed[drawing.run] = _printed(spec, text, width=max(360, min(900, 34 * len(drawing.labels))))
    levels = [Level(x.layer, x.jaccard, x.low, x.high, x.reference, x.p) for x in found.overlap().layers]
    spec = overlap_chart(levels, layers=found.layers, palette=LIGHT)
    printed["overlap"] = _printed(spec, "Overlap; dashed: one with itself", width=240)
    for curve in found.faithfulness():
        sizes = [Size(x.n, x.kept, x.low, x.high, x.random, x.random_low, x.random_high) for x in curve.points]
        spec = faithfulness_chart(sizes, unit=curve.unit, palette=LIGHT)
        printed[f"faithfulness-{curve.unit}"] = _printed(spec, "Faithfulness; grey: random sets", width=360)
    return printed


def _printed(spec: dict[str, Any], title: str, *, width: int) -> dict[str, Any]:
    """A spec of its own: titled, with nothing to click, and its parameters written out, for it may stand in another."""
    written = json.dumps({key: value for key, value in spec.items() if key not in ("params", "datasets")})
    for param in spec.get("params", ()):
        if "value" in param:
            written = written.replace(f"indexof({param['name']},", f"indexof({json.dumps(param['value'])},")
    shown = {"width": width, "title": {"text": title, "anchor": "start", "fontSize": 12}}
    return {**json.loads(written), **shown, "datasets": spec["datasets"]}
