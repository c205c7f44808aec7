"""The reading under a curve of the bench."""

from __future__ import annotations

from collections.abc import Sequence

from ivx.analyses.bench.result import CONTROL, RANDOM, STRENGTHS, VECTOR, Dose

FEW = 6
"""Samples below which no test could find anything."""


def bench_reading(points: Sequence[Dose], alpha: float) -> str:
    """What the vector did at the chosen strength, and where it did most, from the numbers alone."""
    at = {(point.role, point.strength): point for point in points}
    own = at.get((VECTOR, alpha))
    if own is None:
        return ""
    none = at[VECTOR, 0.0]
    if alpha == 0:
        return f"At α = 0 nothing is moved: {own.share:.0%} [{own.low:.0%}, {own.high:.0%}]."
    others = [
        f"{name} {at[role, alpha].share:.0%}"
        for role, name in ((CONTROL, "another task’s"), (RANDOM, "random"))
        if (role, alpha) in at
    ]
    text = (
        f"At α = {alpha:g}: <b>{own.share:.0%}</b> [{own.low:.0%}, {own.high:.0%}]; "
        f"{', '.join([f'no vector {none.share:.0%}', *others])}."
    )
    found = [point for point in points if point.role == VECTOR and point.state == "ok" and point.share > none.share]
    if own.n < FEW:
        return f"{text} {own.n} texts are too few for a test: give {FEW} or more."
    if not found:
        return f"{text} No strength does more than both controls: no evidence here."
    best = max(found, key=lambda point: point.share)
    last = max((point for point in points if point.role == VECTOR), key=lambda point: point.strength)
    falls = f" At {last.strength:g} it is down to {last.share:.0%}." if last.high < best.low else ""
    strengths = [point.strength for point in found]
    on_from = [s for s in STRENGTHS if s >= strengths[0]] == strengths
    where = f"from {strengths[0]:g} on" if on_from else f"at {', '.join(f'{s:g}' for s in strengths)}"
    return f"{text} Beyond both controls {where}, most at {best.strength:g}.{falls}"
