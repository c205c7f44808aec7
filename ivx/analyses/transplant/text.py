"""A transplant as text for a terminal."""

from __future__ import annotations

from typing import Any

from ivx.analyses.base import Words


def text_of(summary: dict[str, Any]) -> str:
    """One line per layer: the effect of the donor's vector, its control, and the norms."""
    request = summary["request"]
    lines = [
        f"{summary['donor']} into {request['checkpoint']}, {request['task']} against {summary['contrast']}, "
        f"n = {summary['samples']}, {summary['metric']}, run {summary['run']}",
        f"{'patch':24}{'effect':>8}  95 % interval     adj. p  {'control':>8}  {'norm':>6}  {'own':>6}  state",
    ]
    for cell in summary["cells"]:
        control = "none" if cell["control"] is None else f"{cell['control']:+.2f}"
        lines.append(
            f"{cell['patch']:24}{cell['value']:+8.2f}  [{cell['low']:+.2f}, {cell['high']:+.2f}]{cell['p']:10.4f}  "
            f"{control:>8}  {cell['norm']:6.1f}  {cell['own_norm']:6.1f}  {cell['state']}"
        )
    return "\n".join([*lines, *(f"note: {warning}" for warning in summary["warnings"])])


WORDS: Words[Any] = Words(text_of)
