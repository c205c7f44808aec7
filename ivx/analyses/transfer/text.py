"""A circuit transfer as text for a terminal, and the caption under its matrix."""

from __future__ import annotations

from typing import Any

from ivx.analyses.base import Words
from ivx.analyses.transfer.result import NAMES, Transfer


def text_of(summary: dict[str, Any]) -> str:
    """The circuits, then one line for every circuit and task."""
    request = summary["request"]
    lines = [
        f"{request['checkpoint']}, {len(summary['tasks'])} tasks, their {request['heads']} strongest heads by "
        f"{request['ranking']}, others by {request['fill']}, n = {summary['samples']}, run {summary['run']}"
    ]
    for task, heads in summary["circuits"].items():
        lines.append(f"{task:24}" + " ".join(f"L{layer} H{head}" for layer, head in heads))
    lines.append(f"{'circuit of':24}{'on':24}{'carries':>8}  95 % interval   random sets     overlap  name")
    for c in summary["cells"]:
        if c["value"] is None:
            share = f"{'–':>8}  its own circuit moves it by {c['gained']:+.2f} logits, next to nothing"
        else:
            share = (
                f"{_per(c['value']):>8}  {_span(c['low'], c['high']):15} {_span(c['floor_low'], c['floor_high']):15}"
            )
        lines.append(f"{c['circuit']:24}{c['task']:24}{share} {_per(c['overlap']):>7}  {c['name']}")
    lines += [f"{name}: {NAMES[name]}" for name in dict.fromkeys(c["name"] for c in summary["cells"])]
    return "\n".join([*lines, *(f"note: {warning}" for warning in summary["warnings"])])


def caption(found: Transfer, figure: str, metric: str) -> str:
    """How the matrix is read."""
    rows = {"mean": "their mean over these tasks", "zero": "nothing"}[found.request.fill]
    return (
        f"Row: whose {found.request.heads} strongest heads are kept; others write {rows}. Column: the task that is "
        "asked. 100 % is what that task’s own heads carry; on the diagonal, its heads of another half of samples. "
        f"Found on one half, tried on the other; floor: {found.request.draws} random sets of as many heads in "
        "each layer."
    )


def _per(share: float) -> str:
    return f"{100 * share:.0f} %"


def _span(low: float, high: float) -> str:
    return f"[{100 * low:.0f}, {100 * high:.0f}]"


WORDS: Words[Any] = Words(text_of, caption)
