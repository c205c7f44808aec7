"""The result of an effects request: rows of sufficient numbers, and the maps that can be read from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ivx.analysis.detail import detail, rows_of
from ivx.analysis.maps import Column, address_of
from ivx.analysis.metrics import Columns, find
from ivx.analysis.rows import by_patch, numbers
from ivx.analysis.verdict import Verdict, verdicts
from ivx.engine import readout
from ivx.runs.request import EffectsRequest
from ivx.tasks.samples import Samples

if TYPE_CHECKING:
    import altair as alt

ROLES = ("effect", "control", "told")
"""Rows with the sample's own source, with the control's, and the unpatched instructed run."""

ROWS = pa.schema([*readout.SCHEMA, ("role", pa.string()), ("site", pa.string())])
"""Columns of a result's table: a sweep's, and whose rows they are."""


@dataclass(frozen=True)
class Cell:
    """One cell of a map. Values in the metric's unit, positive toward the answer.

    Numbers and `state` are those of `ivx.analysis.verdict`, over the map's finished cells. A cell not computed yet may
    have the state `estimate`: its value shades it, and is no result.
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

    @classmethod
    def of(cls, site: str, layer: int, column: int, patch: str, verdict: Verdict, *, n: int) -> Cell:
        """A cell with what was found of it, over n samples."""
        return cls(site, layer, column, patch, **verdict._asdict(), n=n)


Progress = Callable[["Effects", int, int], None]
"""Called with the result so far, and how many of how many rows are done; what it raises ends the work."""


@dataclass(frozen=True)
class Effects:
    """A result: one row per sample × patch × role, and everything needed to read it."""

    request: EffectsRequest
    table: pa.Table
    samples: Samples
    maps: dict[str, tuple[Column, ...]]
    layers: int
    receipt: dict[str, Any]
    estimates: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def run_id(self) -> str:
        """Address of this result."""
        return str(self.receipt["run"])

    def address(self, site: str, layer: int, column: int) -> str:
        """The patch behind one cell."""
        return address_of(self.request, site, layer, self.maps[site][column])

    def cells(self, site: str, metric: str = "contrast") -> list[Cell]:
        """Every finished cell of one map, layers upward, then those that are estimated so far."""
        view = find(metric)
        places = [
            (layer, column, self.address(site, layer, column))
            for layer in range(self.layers)
            for column in range(len(self.maps[site]))
        ]
        mine, theirs = (self._effects(role, site, view.effect) for role in ("effect", "control"))
        done = [(i, j, p) for i, j, p in places if p in mine and (p in theirs or not self.samples.control)]
        estimates = self.estimates.get(metric, {})
        pending = [
            Cell(site, i, j, p, estimates[p], *(estimates[p],) * 2, None, None, None, "estimate", 0, 0.0)
            for i, j, p in places
            if (i, j, p) not in done and p in estimates
        ]
        if not done:
            return pending
        values = np.stack([mine[p] for _, _, p in done])
        other = np.stack([theirs[p] for _, _, p in done]) if self.samples.control else None
        found = verdicts(values, other, floor=view.floor, seed=self.request.seed)
        cells = [Cell.of(site, *place, verdict, n=values.shape[1]) for place, verdict in zip(done, found, strict=True)]
        return cells + pending

    def figures(self, metric: str = "contrast") -> dict[str, dict[str, Any]]:
        """Every map as it would be printed, a Vega-Lite spec by site."""
        from ivx.charts.figure import figure

        view = find(metric)
        return {
            site: figure(self.cells(site, metric), columns, layers=self.layers, site=site, metric=view)
            for site, columns in self.maps.items()
        }

    def chart(self, metric: str = "contrast") -> alt.HConcatChart:
        """The maps side by side, each on its own scale; a notebook draws it, `.save` writes it."""
        from ivx.charts.figure import beside

        return beside(list(self.figures(metric).values()))

    def level(self, metric: str, *, role: str = "effect", site: str | None = None, patch: str = "") -> float | None:
        """Mean of the metric itself, not of its change: of the unpatched run, the told run, or one patch."""
        rows = self._rows(role, site, patch)
        return float(find(metric).measure(rows).mean()) if len(rows["rank"]) else None

    def detail(self, site: str, patch: str, metric: str = "contrast") -> list[dict[str, Any]]:
        """Each sample under one patch: effect, and the top tokens before and after as (token, share) pairs."""
        return detail(self.table, self.samples, site=site, patch=patch, metric=metric)

    def _rows(self, role: str, site: str | None, patch: str) -> Columns:
        if site is None and role != "told":
            site = next(iter(self.maps))
        return numbers(rows_of(self.table, role=role, site=site, patch=patch))

    def _effects(
        self, role: str, site: str, effect: Callable[[Columns, Columns], NDArray[np.float64]]
    ) -> dict[str, NDArray[np.float64]]:
        """Per patch the effects of all samples, for patches whose samples are all done."""
        found = by_patch(self.table, role=role, site=site, samples=len(self.samples.rows))
        base = found.pop("", None)
        return {} if base is None else {name: effect(rows, base) for name, rows in found.items()}
