"""What an exchange of vectors says, in words: each claim only as its interval allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ivx.charts.numbers import signed
from ivx.stats.metrics import find
from ivx.stats.two_by_two import TwoByTwo
from ivx.stats.verdict import Verdict

PARTS = {"readers": "the readers", "vector": "the vector"}


def short(name: str) -> str:
    """A checkpoint in a matrix: the end of its name."""
    return name.rstrip("/").rpartition("/")[2]


def says(parts: TwoByTwo, metric: str = "contrast") -> str:
    """What post-training taught, and how the two parts stand together."""
    told = {name: f"{PARTS[name]} {shown(getattr(parts, name))}" for name in PARTS}
    moved = {name: verdict.value for name in PARTS if (verdict := getattr(parts, name)).state == "ok"}
    up, down = [n for n, value in moved.items() if value > 0], [n for n, value in moved.items() if value < 0]
    said = []
    if len(up) == 2:
        more = "the readers" if parts.lead.value > 0 else "the vector"
        said.append(f"taught both{f', {more} more' * (parts.lead.state == 'ok')}: {told['readers']}, {told['vector']}")
    elif up:
        said.append(f"taught {told[up[0]]}")
    if down:
        said.append(f"weakened {' and '.join(told[name] for name in down)}")
    left = [name for name in PARTS if name not in moved]
    if not moved:
        return f"Whether post-training taught the readers or the vector cannot be told: {_open(parts, left)}."
    rest = f"; {_open(parts, left)}" if left else ""
    taught = f"Post-training {' and '.join(said)}, of {shown(parts.gained)} in all{rest}."
    return f"{taught} {_together(parts.interaction, metric)}"


def _open(parts: TwoByTwo, names: list[str]) -> str:
    """What is not shown of these parts, and how much of each is not ruled out."""
    said = []
    for name in names:
        part: Verdict = getattr(parts, name)
        why = "no more than another task’s vector shows" if part.state == "control" else "not shown to differ from 0"
        said.append(f"{PARTS[name]} {shown(part)}, {why}")
    return "; ".join(said)


def _together(part: Verdict, metric: str) -> str:
    """How the two parts act together."""
    if part.state != "ok":
        beside = ", no more than with another task’s vector" if part.state == "control" else ""
        return f"An interaction of the two is not shown: {shown(part)}{beside}."
    how = "they need each other" if part.value > 0 else "each does part of the other’s work"
    bent = "" if find(metric).linear else " In this metric the scale itself bends; the contrast does not."
    return f"They interact, {shown(part)}: {how}.{bent}"


def shown(part: Verdict) -> str:
    """A mean with its interval."""
    return f"{signed(part.value, 2)} [{signed(part.low, 2)}, {signed(part.high, 2)}]"


def text_of(summary: dict[str, Any]) -> str:
    """A matrix for every task, and under it what every step taught."""
    asked, names = summary["request"], summary["request"]["checkpoints"]
    layers = listed(summary["layers"])
    lines = [
        f"{asked['source_token']} → {asked['position']}, layer{'s' * (len(summary['layers']) > 1)} {layers}, "
        f"{summary['metric']}; a row is whose vector, a column in which model; share followed behind"
    ]
    wide = max(12, *(len(short(name)) for name in names)) + 2
    for task in asked["tasks"]:
        mine = {(c["vector_of"], c["checkpoint"]): c for c in summary["cells"] if c["task"] == task}
        n = next(iter(mine.values()))["n"]
        lines.append(f"\n{f'{task}, n = {n}':{wide + 14}}" + "".join(f"{short(name):>36}" for name in names))
        for donor in names:
            cells = [mine[donor, receiver] for receiver in names]
            lines.append(f"  {short(donor):{wide + 12}}" + "".join(f"{_cell(cell):>36}" for cell in cells))
        for change in (c for c in summary["changes"] if c["task"] == task):
            lines.append(f"  {short(change['before'])} → {short(change['after'])}: {change['says']}")
    return "\n".join([*lines, *(f"note: {warning}" for warning in summary["warnings"])])


def _cell(cell: dict[str, Any]) -> str:
    weak = {"control": " c", "zero": " 0"}.get(cell["state"], "  ")
    return f"{cell['value']:+.2f} [{cell['low']:+.2f}, {cell['high']:+.2f}]{weak} {100 * cell['followed'][0]:4.0f} %"


def listed(layers: Sequence[int]) -> str:
    """Layers as they are asked for: runs of neighbours by their ends."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
