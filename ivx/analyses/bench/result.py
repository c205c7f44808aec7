"""What a vector did on the bench: rows, curves with their controls, and texts; without the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ivx.stats.intervals import Array, share_interval
from ivx.stats.metrics import find
from ivx.stats.verdict import verdicts

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
NONE, VECTOR, CONTROL, RANDOM = "none", "vector", "control", "random"
"""Roles: nothing moved; the instruction's vector; another task's; one drawn by chance, of the vector's norm."""
QUERIES, FREE = "queries", "free"
MOST_TEXTS = 24
WRITTEN = 12
"""Tokens that are written after a free text."""

ROWS = pa.schema(
    [
        ("on", pa.string()),
        ("role", pa.string()),
        ("strength", pa.float64()),
        ("sample", pa.int32()),
        ("prompt", pa.string()),
        ("expected", pa.string()),
        ("wrote", pa.string()),
        ("followed", pa.bool_()),
    ]
)
"""`wrote` is the first written token, on free text every one; `followed`, whether it is the answer's first, on free
text whether any of the task's answers stands in what is written."""


@dataclass(frozen=True)
class Point:
    """One strength of one curve: the share that followed with its 95 % interval (Wilson), out of n.

    `state` is a verdict's, of the change from no vector against both controls; empty for the controls themselves.
    """

    role: str
    strength: float
    share: float
    low: float
    high: float
    n: int
    state: str


@dataclass(frozen=True)
class BenchText:
    """One query's or free text's continuations: without a vector, with the instruction's, and with another task's."""

    on: str
    shown: str
    expected: str
    without: str
    moved: str
    control: str


@dataclass(frozen=True, eq=False)
class Bench:
    """A vector tried at many strengths.

    `norms` holds those of the `vector`, of the `control`'s, and the mean one of the `states` that it meets.
    """

    table: pa.Table
    wordings: int
    norms: dict[str, float]
    receipt: dict[str, Any]

    def points(self, on: str) -> list[Point]:
        """The curves on `queries` or `free` text, each by strength; none where nothing was asked there."""
        table = self.table.filter(pc.field("on") == on)
        if not table.num_rows:
            return []
        base = self._hits(table, NONE, [0.0])
        strengths = sorted({s for s in table["strength"].to_pylist() if s > 0})
        hits = {role: self._hits(table, role, strengths) for role in (VECTOR, CONTROL, RANDOM)}
        change = {role: found - base for role, found in hits.items() if len(found)}
        judged = verdicts(change.pop(VECTOR), change.pop(CONTROL, None), floor=find("followed").floor, others=change)
        found = [_point(role, 0.0, base[0], "") for role, rows in hits.items() if len(rows)]
        for role, rows in hits.items():
            states = [v.state for v in judged] if role == VECTOR else [""] * len(rows)
            found += [_point(role, s, row, state) for s, row, state in zip(strengths, rows, states, strict=False)]
        return sorted(found, key=lambda point: (point.role, point.strength))

    @staticmethod
    def _hits(table: pa.Table, role: str, strengths: Sequence[float]) -> Array:
        """Whether each sample followed: `[strengths, samples]`; no rows where there is no such role."""
        mine = table.filter(pc.field("role") == role).sort_by([("strength", "ascending"), ("sample", "ascending")])
        hits = mine["followed"].to_numpy(zero_copy_only=False).astype(np.float64)
        return hits.reshape(len(strengths) if len(hits) else 0, -1)


def _point(role: str, strength: float, hits: Array, state: str) -> Point:
    low, high = share_interval(int(hits.sum()), len(hits))
    return Point(role, strength, float(hits.mean()), low, high, len(hits), state)
