"""The 2 × 2 of vector and reader: which of two changes, of what is carried or of what reads it, moves an effect.

`f[r, c]` is the effect of r's vector in the model c, 0 the earlier and 1 the later one, query by query. What was gained
from f00 to f11 is the sum of two parts, each the mean of both ways to make one change alone:

    readers = (f01 + f11 − f00 − f10) / 2        the same vectors, in the later model
    vector  = (f10 + f11 − f00 − f01) / 2        the later vectors, in the same models

The parts add up as they stand only where the interaction f11 − f10 − f01 + f00 is 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ivx.stats.intervals import Array, Ints
from ivx.stats.verdict import Verdict, verdicts

PARTS = {
    "gained": ((-1.0, 0.0), (0.0, 1.0)),
    "readers": ((-0.5, 0.5), (-0.5, 0.5)),
    "vector": ((-0.5, -0.5), (0.5, 0.5)),
    "lead": ((0.0, 1.0), (-1.0, 0.0)),
    "interaction": ((1.0, -1.0), (-1.0, 1.0)),
}
"""The weight of f[r, c] in each part. `lead` is readers less vector, which is f01 − f10."""


class TwoByTwo(NamedTuple):
    """What two changes do, each judged with the same weights of the control's effects as its control."""

    gained: Verdict
    readers: Verdict
    vector: Verdict
    lead: Verdict
    interaction: Verdict

    @property
    def taught(self) -> str:
        """`readers`, `vector`, `both`, `weakened` (what moved, moved down), or `unknown`."""
        up = [name for name in ("readers", "vector") if _moved(getattr(self, name)) > 0]
        down = any(_moved(getattr(self, name)) < 0 for name in ("readers", "vector"))
        return "both" if len(up) == 2 else up[0] if up else "weakened" if down else "unknown"


def two_by_twos(
    values: Array,
    control: Array | None,
    *,
    floor: float,
    shares: bool = False,
    groups: Ints | None = None,
    seed: int = 0,
) -> list[TwoByTwo]:
    """Judge the tables that are shown together; each part's p is adjusted over them.

    Args:
        values, control: `[2, 2, tables, queries]`, row r whose vector, column c in which model; a query whose value is
            not finite in one cell is left out of its table.
        floor, shares, groups, seed: as in `ivx.stats.verdict.verdicts`.
    """
    judged = [
        verdicts(
            np.tensordot(np.array(weights), values, axes=2),
            None if control is None else np.tensordot(np.array(weights), control, axes=2),
            floor=floor,
            shares=shares,
            groups=groups,
            seed=seed,
        )
        for weights in PARTS.values()
    ]
    return [TwoByTwo(*parts) for parts in zip(*judged, strict=True)]


def _moved(part: Verdict) -> int:
    """1 or −1 for a finding, by its sign; else 0."""
    return 0 if part.state != "ok" else 1 if part.value > 0 else -1
