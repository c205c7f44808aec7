"""Behaviour as text for a terminal, and as the caption of its figure."""

from __future__ import annotations

from typing import Any

from ivx.analyses.base import Words
from ivx.analyses.behaviour.result import Behaviour
from ivx.stats.following import FLOOR, Share


def text_of(summary: dict[str, Any]) -> str:
    """One line per task and way: the share that follows, told and untold, and what is written instead."""
    request, cells = summary["request"], summary["cells"]
    width = max(map(len, summary["tasks"]))
    lines = [
        f"{request['checkpoint']}, {len(summary['tasks'])} tasks × {len(summary['ways'])} ways of asking, n = "
        f"{summary['samples']}, run {summary['run']}",
        "share whose text begins with the whole answer, 95 % interval (Wilson; of the difference Newcombe, paired); "
        "* follows, ◆ recommended",
        f"{'task':{width}}  {'way':16}{'told':>17}{'untold':>17}{'difference':>17}  exact  prefers    rank  written",
    ]
    for cell in cells:
        best = summary["recommended"][cell["task"]] == cell["way"]
        told, bare = cell["told"], cell["bare"]
        line = (
            f"{cell['task']:{width}}  {cell['way'] + ' ◆' * best + ' *' * (cell['follows'] and not best):16}"
            f"{_share(told['followed']):>17}{_share(bare['followed']):>17}{_share(cell['difference']):>17}"
            f"{100 * told['exact']['value']:6.0f}%{100 * told['preferred']['value']:8.0f}%{told['rank']:8.0f}  "
            f"{_instead(told['instead'])}"
        )
        lines.append(line.rstrip())
    for task, way in summary["recommended"].items():
        if way is None:
            lines.append(f"{request['checkpoint']} does not follow {task} in any way of asking that was tried")
    notes = {f"{cell['task']} by {cell['way']}: {note}" for cell in cells for note in cell["notes"]}
    return "\n".join([*lines, *(f"note: {warning}" for warning in (*summary["warnings"], *sorted(notes)))])


def caption(found: Behaviour, figure: str, metric: str) -> str:
    """The caption of the printed matrix."""
    receipt = found.receipt
    return (
        f"{receipt['checkpoint']['name']}, n = {found.request.samples} queries a cell. Share whose greedy text (at "
        f"most {found.request.tokens} tokens) begins with the whole answer when told, with Wilson's 95 % interval; "
        "below it the share when not told. Orange: followed, the paired difference's interval (Newcombe) lies above 0 "
        f"and the told share's above {FLOOR:.0%}; grey: not; ◆: the recommended way, prompt unless another is followed "
        f"more. ivx run {receipt['run']} ({receipt['dtype']})."
    )


def _share(told: dict[str, float]) -> str:
    return Share(**told).told


def _instead(told: list[list[Any]]) -> str:
    return ", ".join(f"{count} × “{text or 'nothing'}”" for text, count in told[:2])


WORDS: Words[Behaviour] = Words(text_of, caption)
