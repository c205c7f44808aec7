"""The result of an effects request: rows of sufficient numbers, and the maps that can be read from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ivx.analysis.maps import Column, address_of
from ivx.analysis.metrics import Columns, find
from ivx.analysis.statistics import mean_interval
from ivx.engine import readout
from ivx.runs.request import EffectsRequest
from ivx.tasks.samples import Samples

if TYPE_CHECKING:
    import altair as alt

EXCESS = 0.1
"""Share of an effect that it must have over its control to be a finding, beside the interval's word."""


ROLES = ("effect", "control", "told")
"""Rows with the sample's own source, with the control's, and the unpatched instructed run."""

ROWS = pa.schema([*readout.SCHEMA, ("role", pa.string()), ("site", pa.string())])
"""Columns of a result's table: a sweep's, and whose rows they are."""


@dataclass(frozen=True)
class Cell:
    """One cell of a map. Values in the metric's unit, positive toward the answer.

    `state` is `ok`, `control` (different from 0 but no better than the control: by its interval, or by less than the
    metric's floor or a tenth of itself), or `zero` (interval holds 0, or smaller than the metric's floor). `same_sign`
    is the share of samples with the mean's sign. A cell not computed yet may have the
    state `estimate`: its value shades it, and is no result.
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
        """Every finished cell of one map, layers upward; intervals are 95 % bootstrap over samples."""
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
        low, high = mean_interval(values, seed=self.request.seed)
        mean = values.mean(axis=1)
        against: list[tuple[float | None, float | None, float | None]] = [(None, None, None)] * len(done)
        better = np.ones(len(done), dtype=bool)
        if self.samples.control:
            other = np.stack([theirs[p] for _, _, p in done])
            c_low, c_high = mean_interval(other, seed=self.request.seed)
            against = list(zip(other.mean(axis=1).tolist(), c_low.tolist(), c_high.tolist(), strict=True))
            # Compared along the effect's own direction, sample by sample; and by enough to speak of.
            excess = (values - other) * np.sign(mean)[:, None]
            ahead, _ = mean_interval(excess, seed=self.request.seed)
            better = (ahead > 0) & (excess.mean(axis=1) >= np.maximum(view.floor, EXCESS * np.abs(mean)))
        nothing = (low <= 0) & (high >= 0) | (np.abs(mean) < view.floor)
        states = np.where(nothing, "zero", np.where(better, "ok", "control"))
        sign = (np.sign(values) == np.sign(mean)[:, None]).mean(axis=1)
        return [
            Cell(
                site, layer, column, patch, float(mean[k]), float(low[k]), float(high[k]), *against[k],
                str(states[k]), values.shape[1], float(sign[k]),
            )
            for k, (layer, column, patch) in enumerate(done)
        ] + pending  # fmt: skip

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
        view = find(metric)
        before, after = self._rows("effect", site, ""), self._rows("effect", site, patch)
        effects = view.effect(after, before)
        tops = [self._tops(site, p) for p in ("", patch)]
        return [
            {
                "query": sample.query,
                "answer": sample.answer,
                "contrast": sample.contrast,
                "effect": float(effects[i]),
                "before": tops[0][i],
                "after": tops[1][i],
                "instruction": sample.instruction.text,
            }
            for i, sample in enumerate(self.samples.rows)
        ]

    def _select(self, role: str, site: str | None, patch: str) -> pa.Table:
        chosen = (pc.field("role") == role) & (pc.field("patch") == patch)
        if site is not None:
            chosen = chosen & (pc.field("site") == site)
        return self.table.filter(chosen).sort_by("sample")

    def _rows(self, role: str, site: str | None, patch: str) -> Columns:
        if site is None and role != "told":
            site = next(iter(self.maps))
        return _columns(self._select(role, site, patch))

    def _tops(self, site: str, patch: str) -> list[list[tuple[int, float]]]:
        table = self._select("effect", site, patch)
        ids, logits, total = (table[name].to_pylist() for name in ("top_ids", "top_logits", "logsumexp"))
        return [
            [(token, float(np.exp(z - lse))) for token, z in zip(row, tops, strict=True)]
            for row, tops, lse in zip(ids, logits, total, strict=True)
        ]

    def _effects(
        self, role: str, site: str, effect: Callable[[Columns, Columns], NDArray[np.float64]]
    ) -> dict[str, NDArray[np.float64]]:
        """Per patch the effects of all samples, for patches whose samples are all done."""
        n = len(self.samples.rows)
        table = self.table.filter((pc.field("role") == role) & (pc.field("site") == site))
        table = table.sort_by([("patch", "ascending"), ("sample", "ascending")])
        patches = np.asarray(table["patch"].to_pylist(), dtype=object)
        names, starts, counts = np.unique(patches.astype(str), return_index=True, return_counts=True)
        columns = _columns(table)
        by_name = {
            str(name): {k: v[start : start + n] for k, v in columns.items()}
            for name, start, count in zip(names, starts, counts, strict=True)
            if count == n
        }
        base = by_name.pop("", None)
        return {} if base is None else {name: effect(rows, base) for name, rows in by_name.items()}


_NUMBERS = ("logit", "contrast", "logsumexp", "rank", "kl_target", "kl_reference")


def _columns(table: pa.Table) -> Columns:
    return {name: table[name].to_numpy().astype(np.float64) for name in _NUMBERS}
