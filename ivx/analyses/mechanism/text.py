"""A mechanism as text for a terminal, and as the caption of its figure."""

from __future__ import annotations

from typing import Any

from ivx.analyses.base import Words
from ivx.analyses.mechanism.result import Mechanism
from ivx.stats.metrics import METRICS

SAYS = {
    "where": "by where it looks",
    "what": "by what it reads",
    "both": "by both",
    "neither": "by neither alone",
}


def text_of(summary: dict[str, Any]) -> str:
    """What being told does, and one line per head and part."""
    request, n, first = summary["request"], summary["samples"], summary["choosing"]
    gap = summary["gap"]
    lines = [
        f"{request['checkpoint']}, {request['task']} put into {summary['contrast']}, {first} queries choose heads, "
        f"{n - first} measure, {summary['metric']}, run {summary['run']}",
        *([] if gap is None else [f"all of the instruction: {gap[0]:+.2f} [{gap[1]:+.2f}, {gap[2]:+.2f}]"]),
        f"{'head':8}{'part':12}{'effect':>8}  {'95 % interval':16}{'other head':>11}{'random':>8}  state",
    ]
    for cell in summary["cells"]:
        name = f"L{cell['layer']} H{cell['head']}"
        for part, one in cell["parts"].items():
            between = f"[{one['low']:+.2f}, {one['high']:+.2f}]"
            lines.append(
                f"{name:8}{part:12}{one['value']:+8.2f}  {between:16}{one['control']:+11.2f}"
                f"{one['random']['mean']:+8.2f}  {one['state']}"
            )
            name = ""
        apart = cell["apart"]
        lines.append(
            f"{'':8}{SAYS[cell['says']]}; routing less content {apart['value']:+.2f} [{apart['low']:+.2f}, "
            f"{apart['high']:+.2f}]; {cell['moved']:.0%} of its attention moves"
        )
    return "\n".join([*lines, *(f"note: {warning}" for warning in summary["warnings"])])


def caption(found: Mechanism, name: str, metric: str) -> str:
    """The caption of the printed figure."""
    receipt, n = found.receipt, len(found.samples.rows)
    return (
        f"{receipt['checkpoint']['name']}, {found.request.task} against {receipt['contrast']}, run {receipt['run']}. "
        "Each query is told the contrast task, and one head’s output at the last token is replaced by that of the same "
        "query told the task, in a wording of equal length: all of it, its attention row alone, its values alone; the "
        f"interaction is what is left ({METRICS[metric].about}; n = {n - n // 2}, other queries than the {n // 2} that "
        "chose the heads). Hollow: not different from 0, or no better than another head of the layer or a random "
        "change."
    )


WORDS: Words[Mechanism] = Words(text_of, caption)
