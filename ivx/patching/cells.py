"""A cell of an effect map: one patch set's mean effect, interval, control and verdict."""

from __future__ import annotations

from dataclasses import dataclass

from ivx.stats.verdict import Verdict


@dataclass(frozen=True)
class Cell:
    """One cell of a map. Values in the metric's unit, positive toward the answer.

    Numbers and `state` are those of `ivx.stats.verdict`, over the map's finished cells. `control` is another task's;
    the state holds against every control asked for, and `Effects.against` gives each. A cell not computed yet may have
    the state `estimate`: its value shades it, and is no result. `undefined` counts the samples that it lacks.
    """

    site: str
    layer: int
    column: int
    patch: str
    value: float
    low: float
    high: float
    control: float | None
    control_low: float | None
    control_high: float | None
    state: str
    n: int
    same_sign: float
    p: float | None = None
    p_control: float | None = None
    undefined: int = 0

    @classmethod
    def of(cls, site: str, layer: int, column: int, patch: str, verdict: Verdict, *, n: int) -> Cell:
        """A cell from its verdict over n samples."""
        return cls(site, layer, column, patch, **verdict.plain(), n=n)
