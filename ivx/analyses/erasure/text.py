"""An erasure as text for a terminal."""

from __future__ import annotations

from typing import Any

from ivx.analyses.base import Words


def text_of(summary: dict[str, Any]) -> str:
    """One line per layer: the vector whole, without its readable part, without a random part."""
    request = summary["request"]
    lines = [
        f"{request['checkpoint']}, {request['task']} against {summary['contrast']}, n = {summary['samples']}, "
        f"{summary['metric']}, run {summary['run']}",
        f"{'patch':24}{'whole':>7}{'erased':>8}{'random':>8}{'lost':>8}  95 % interval   state    edit, random edit",
    ]
    for cell in summary["cells"]:
        lost = cell["lost"]
        lines.append(
            f"{cell['patch']:24}{cell['whole']:+7.2f}{cell['erased']:+8.2f}{cell['random']:+8.2f}"
            f"{lost['value']:+8.2f}  [{lost['low']:+.2f}, {lost['high']:+.2f}]  {lost['state']:8}"
            f"{cell['moved']:.0%}, {cell['moved_random']:.0%}"
        )
    return "\n".join([*lines, *(f"note: {warning}" for warning in summary["warnings"])])


WORDS: Words[Any] = Words(text_of)
