"""The result of the vector bench: rows, curves with their controls, and texts; without the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.base import Result
from ivx.analyses.bench.request import BenchRequest
from ivx.charts.bench import CONTROL, RANDOM, SAID, VECTOR, Dose, strength_curve
from ivx.charts.frame import printed_alone
from ivx.charts.palette import LIGHT
from ivx.formats.plotted import Plotted
from ivx.stats.intervals import Array, share_interval
from ivx.stats.metrics import find
from ivx.stats.verdict import verdicts

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
NONE = "none"
"""Roles: no vector; the instruction's; another task's; a random one of the same norm."""
QUERIES, FREE = "queries", "free"
MOST_TEXTS = 24
WRITTEN = 12
LENGTHS = {QUERIES: 1, FREE: WRITTEN}
"""Tokens that are written after a query, and after a free text."""
KEY = ("on", "role", "strength", "sample")

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
"""`wrote` is the first written token, on free text all of them; `followed`, whether it is the answer's first, on free
text whether they contain any of the task's answers."""


@dataclass(frozen=True)
class BenchText:
    """One query's or free text's continuations: without a vector, with the instruction's, and with another task's."""

    on: str
    shown: str
    expected: str
    without: str
    moved: str
    control: str


@dataclass(frozen=True, kw_only=True)
class Bench(Result[BenchRequest]):
    """A vector, the mean over so many `wordings`, tried at many strengths.

    `norms` holds the norms of the `vector` and the `control`, and the mean norm of the `states` that they meet.
    """

    wordings: int
    norms: dict[str, float]

    def points(self, on: str) -> list[Dose]:
        """The curves on `queries` or `free` text, each by strength; none where nothing was asked there."""
        table = self.table.filter(pc.field("on") == on)
        if not table.num_rows:
            return []
        base = self._hits(table, NONE, [0.0])
        strengths = sorted({s for s in table["strength"].to_pylist() if s > 0})
        hits = {role: self._hits(table, role, strengths) for role in (VECTOR, CONTROL, RANDOM)}
        change = {role: found - base for role, found in hits.items() if len(found)}
        judged = verdicts(
            change.pop(VECTOR), change.pop(CONTROL, None), floor=find("followed").floor, shares=True, others=change
        )
        found = [_dose(role, 0.0, base[0], "") for role, rows in hits.items() if len(rows)]
        for role, rows in hits.items():
            states = [v.state for v in judged] if role == VECTOR else [""] * len(rows)
            found += [_dose(role, s, row, state) for s, row, state in zip(strengths, rows, states, strict=False)]
        return sorted(found, key=lambda point: (point.role, point.strength))

    @property
    def figure_names(self) -> tuple[str, ...]:
        """The curves."""
        return (QUERIES, FREE) if self.request.texts else (QUERIES,)

    def figures(self, metric: str = "contrast") -> dict[str, dict[str, Any]]:
        """The curves on queries, and on free text where there is some, as they would be printed; ignores the metric."""
        asked = self.request
        told = "orange: the vector, filled where it is a finding; blue: another task's; grey: random, of equal norm"
        found = {}
        for on in (QUERIES, FREE):
            if points := self.points(on):
                spec = strength_curve(points, strengths=STRENGTHS, palette=LIGHT, chosen=1.0)
                title = f"{asked.checkpoint}, {asked.task}, layer {asked.layer}: follows on {on}, by strength"
                found[on] = printed_alone(spec, title, width=520, subtitle=told)
        return found

    def drawn(self, metric: str = "contrast") -> Iterator[Plotted]:
        """What the figures show, a number at a time (`ivx.formats.plotted`); ignores the metric."""
        for on in self.figure_names:
            for dose in self.points(on):
                cell, label = f"{dose.role} {dose.strength:g}", f"{SAID[dose.role]} × {dose.strength:g}"
                yield Plotted(
                    on, cell, label, self.request.layer, dose.share, dose.low, dose.high,
                    state=dose.state, n=dose.n, what="follows", unit="share",
                )  # fmt: skip

    def summary(self, metric: str = "contrast") -> dict[str, Any]:
        """The receipt, the number of wordings, the norms, and both curves; ignores the metric."""
        curves = {on: [point._asdict() for point in self.points(on)] for on in (QUERIES, FREE)}
        return {**self.receipt, "wordings": self.wordings, "norms": self.norms, "curves": curves}

    @staticmethod
    def _hits(table: pa.Table, role: str, strengths: Sequence[float]) -> Array:
        """Whether each sample followed: `[strengths, samples]`; no rows where there is no such role."""
        mine = table.filter(pc.field("role") == role).sort_by([("strength", "ascending"), ("sample", "ascending")])
        hits = mine["followed"].to_numpy(zero_copy_only=False).astype(np.float64)
        return hits.reshape(len(strengths) if len(hits) else 0, -1)


def _dose(role: str, strength: float, hits: Array, state: str) -> Dose:
    low, high = share_interval(int(hits.sum()), len(hits))
    return Dose(role, strength, float(hits.mean()), low, high, len(hits), state)
