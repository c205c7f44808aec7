"""The plane: the wordings of a projection as points; two tasks in colour, all of them named where their points lie."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

MARGIN = 0.06
ROOM = (0.2, 0.06)
"""Share of an axis that a name takes, across and up."""
KINDS = ("other", "contrast", "task")
"""Kinds of points, from the lowest to the topmost."""


class Dot(NamedTuple):
    """One wording: where it lies, its task, its text, and its number in the result."""

    x: float
    y: float
    task: str
    text: str
    number: int


Box = tuple[float, float, float, float]
"""What a plane's axes span: left, right, bottom, top."""


def box_of(planes: Sequence[Sequence[Dot]]) -> Box:
    """The box around the points of all layers, with a margin, so that all are drawn on the same axes."""
    ends: list[float] = []
    for axis in ("x", "y"):
        values = [getattr(dot, axis) for dots in planes for dot in dots] or [-1.0, 1.0]
        margin = MARGIN * (max(values) - min(values) or 1.0)
        ends += [round(min(values) - margin, 3), round(max(values) + margin, 3)]
    return (ends[0], ends[1], ends[2], ends[3])


def plane(
    dots: Sequence[Dot],
    *,
    box: Box,
    pair: tuple[str, str] | None = None,
    chosen: Sequence[int] = (),
    height: int = 300,
    alt_text: str = "",
) -> dict[str, Any]:
    """What `ivx/ui/separability/plane.js` draws: places are in per cent of the plane, from its left and its top.

    Args:
        box: what the axes span; equal for all layers.
        pair: a task in orange and its contrast in blue; the others are grey.
        chosen: numbers of the wordings that are ringed.

    Returns:
        `dots`, each `[number, x, y, kind, text]`, and `names`, each `[x, y, name, kind]`; and where 0 lies.
    """
    kind = {} if pair is None else {pair[0]: "task", pair[1]: "contrast"}

    def at(x: float, y: float) -> list[float]:
        return [
            round(100 * (x - box[0]) / (box[1] - box[0]), 2),
            round(100 * (box[3] - y) / (box[3] - box[2]), 2),
        ]

    points = [[dot.number, *at(dot.x, dot.y), kind.get(dot.task, "other"), f"{dot.text}  ({dot.task})"] for dot in dots]
    places = _names(dots, first=pair or (), box=box)
    return {
        "dots": sorted(points, key=lambda point: KINDS.index(point[3])),
        "names": [[*at(x, y), short(task), kind.get(task, "other")] for task, (x, y) in places.items()],
        "zero": at(0.0, 0.0),
        "chosen": list(chosen),
        "height": height,
        "alt": alt_text,
    }


def short(task: str) -> str:
    """A task's name without its domain, as charts write it."""
    return task.partition("/")[2].replace("-", " ") or task


def _names(dots: Sequence[Dot], *, first: Sequence[str], box: Box) -> dict[str, tuple[float, float]]:
    """Where tasks are named: over their points, those of `first` always, others where there is room."""
    own = defaultdict(list)
    for dot in dots:
        own[dot.task].append(dot)
    wide, high = ROOM[0] * (box[1] - box[0]), ROOM[1] * (box[3] - box[2])
    found: dict[str, tuple[float, float]] = {}
    for task in sorted(own, key=lambda task: task not in first):
        group = own[task]
        x, y = sum(dot.x for dot in group) / len(group), max(dot.y for dot in group)
        near = [b for a, b in found.values() if abs(x - a) < wide and abs(y - b) < high]
        if task in first or not near:
            found[task] = (x, max([y, *(b + high for b in near)]))
    return found
