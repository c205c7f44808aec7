"""A bench as text for a terminal."""

from __future__ import annotations

from typing import Any

from ivx.analyses.base import Words

NAMES = {"vector": "the vector", "control": "another task's", "random": "random, equal norm"}


def text_of(summary: dict[str, Any]) -> str:
    """One line per strength: how often the model follows the instruction, with each vector."""
    request, norms = summary["request"], summary["norms"]
    lines = [
        f"{request['checkpoint']}, {request['task']}, layer {request['layer']}, {request['way']} at "
        f"{request['place']} token, n = {summary['samples']}, run {summary['run']}",
        f"the mean vector of {summary['wordings']} wordings has length {norms['vector']:.1f}; the states that it meets "
        f"have {norms['states']:.1f}",
    ]
    for on, points in summary["curves"].items():
        if not points:
            continue
        lines.append(f"{on}: share that follows, 95 % interval (Wilson)")
        by = {(point["role"], point["strength"]): point for point in points}
        for strength in sorted({strength for _, strength in by}):
            told = [
                f"{NAMES[role]} {p['share']:4.0%} [{p['low']:.0%}, {p['high']:.0%}]{' *' * (p['state'] == 'ok')}"
                for role in NAMES
                if (p := by.get((role, strength))) is not None
            ]
            lines.append(f"  α = {strength:<5g} {'   '.join(told)}")
    lines.append("* more than both controls do")
    return "\n".join([*lines, *(f"note: {warning}" for warning in summary["warnings"])])


WORDS: Words[Any] = Words(text_of)
