"""The result of an effects request: rows that give every metric, and the maps that can be read from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from ivx.analyses.base import Result
from ivx.analyses.effects.maps import address_of, together
from ivx.analyses.effects.request import EffectsRequest, ScanRequest
from ivx.errors import IvxError
from ivx.formats.plotted import Plotted, judged
from ivx.patching.cells import Cell
from ivx.patching.part import part_of, within
from ivx.patching.positions import Column, position_of
from ivx.patching.roles import controls_there, is_real, role_of, variant
from ivx.patching.table import by_patch, detail, level, numbers, rows_of
from ivx.patching.work import work_of
from ivx.stats.intervals import means
from ivx.stats.metrics import Columns, find
from ivx.stats.verdict import Against, Verdict, verdicts
from ivx.tasks.samples import Samples


class Difference(NamedTuple):
    """One cell's mean effect less another's, in the metric's unit, with the 95 % interval of the paired mean over the
    `n` samples that both define. It has no p: whoever chose the two cells has looked at them."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Effects(Result[EffectsRequest | ScanRequest]):
    """A result: one row per sample × patch × role, and everything needed to read it."""

    samples: Samples
    maps: dict[str, tuple[Column, ...]]
    estimates: dict[str, dict[str, float]] = field(default_factory=dict)

    def address(self, site: str, layer: int, column: int) -> str:
        """The patch behind one cell."""
        columns = self.maps[site]
        if isinstance(self.request, ScanRequest):
            at = position_of(self.request.position, self.samples.rows)
            return address_of(self.request, site, layer, columns[column], at=at)
        reached = columns[column : column + self.request.span]
        return together(self.request, site, layer, reached, layers=self.layers)

    def cells(self, site: str, metric: str = "contrast") -> list[Cell]:
        """Every finished cell of one map, lowest layer first, then those that are estimated so far."""
        judged = self._judged(site, metric)
        estimates = self.estimates.get(metric, {})
        pending = [
            Cell(site, i, j, p, estimates[p], *(estimates[p],) * 2, None, None, None, "estimate", 0, 0.0)
            for i, j, p in self.places(site)
            if (i, j, p) not in judged and p in estimates
        ]
        n = len(self.samples.rows)
        return [Cell.of(site, *place, verdict, n=n) for place, verdict in judged.items()] + pending

    def against(self, site: str, patch: str, metric: str = "contrast") -> dict[str, Against]:
        """Each control of one finished cell by its name; raises `IvxError` where there is no such cell."""
        found = self.controlled(site, metric).get(patch)
        if found is None:
            raise IvxError(f"{patch} is no finished cell of the map of {site}")
        return found

    def controlled(self, site: str, metric: str = "contrast") -> dict[str, dict[str, Against]]:
        """The controls of every finished cell of one map by patch; p of each is adjusted over all maps."""
        names = self.controls
        return {p: {name: v.against[name] for name in names} for (_, _, p), v in self._judged(site, metric).items()}

    def difference(self, one: str, other: str, metric: str = "contrast") -> Difference:
        """The effect of one cell's patch less that of another, of any of the maps, sample by sample.

        Raises:
            IvxError: one of them is no finished cell.
        """
        view = find(metric)
        values = self._of_cell(one, view.effect) - self._of_cell(other, view.effect)
        groups, seed = self.samples.groups, self.request.seed
        found = means(values[None], seed=seed, groups=groups, shares=view.shares)
        return Difference(float(found.mean[0]), float(found.low[0]), float(found.high[0]), int(found.n[0]))

    def _of_cell(self, patch: str, effect: Callable[[Columns, Columns], NDArray[np.float64]]) -> NDArray[np.float64]:
        """The effects of one cell, by sample."""
        site = patch.partition(".")[0]
        rows = rows_of(self.table, role="effect", site=site, patch=patch)
        if not patch or rows.num_rows != len(self.samples.rows):
            raise IvxError(f"{patch} is no finished cell of these maps ({', '.join(self.maps)})")
        return effect(self._beside(numbers(rows)), self._rows("effect", site, ""))

    @property
    def controls(self) -> list[str]:
        """The controls that were run: those asked for, without `task` where there is no such task."""
        return controls_there(self.request.controls, self.samples)

    def places(self, site: str) -> list[tuple[int, int, str]]:
        """(layer, column, patch) of every cell."""
        columns, layers = range(len(self.maps[site])), within("layers", self.request.layers, self.layers)
        return [(layer, column, self.address(site, layer, column)) for layer in layers for column in columns]

    @property
    def part(self) -> str:
        """What part of the model was run, in a sentence; empty for all of it."""
        heads = "" if isinstance(self.request, ScanRequest) else self.request.heads
        return part_of({"layers": self.request.layers, "heads": heads}, self.layers)

    @property
    def work(self) -> tuple[float, float]:
        """How much of how much work is done (`ivx.patching.work`): deep layers and late tokens take less of it."""
        length = max(len(s.target) for s in self.samples.rows)
        takes = partial(work_of, layers=self.layers, length=length)
        roles = ["effect", *map(role_of, self.controls)]
        total = 0.0
        for site in self.maps:
            patches = [patch for _, _, patch in self.places(site)]
            for role in roles:
                total += sum(map(takes, {"", *(variant(role, patch) for patch in patches)}))
        rows = self.table.filter(pc.field("role") != "told")
        counts = rows.group_by("patch").aggregate([([], "count_all")])
        done = sum(
            takes(patch) * many
            for patch, many in zip(counts["patch"].to_pylist(), counts["count_all"].to_pylist(), strict=True)
        )
        return done, total * len(self.samples.rows)

    @cached_property
    def _read(self) -> dict[str, dict[str, dict[tuple[int, int, str], Verdict]]]:
        """Cache of verdicts by metric and site: a page reads them several times, and a result never changes."""
        return {}

    def _judged(self, site: str, metric: str) -> dict[tuple[int, int, str], Verdict]:
        """The verdicts of one map's cells that are done, in every role."""
        if metric not in self._read:
            self._read[metric] = self._verdicts(metric)
        return self._read[metric][site]

    def _verdicts(self, metric: str) -> dict[str, dict[tuple[int, int, str], Verdict]]:
        """The verdicts of all maps by site. They are judged together: with two maps, one may look at either."""
        view = find(metric)
        done: list[tuple[str, tuple[int, int, str]]] = []
        values: dict[str, list[NDArray[np.float64]]] = {name: [] for name in ("", *self.controls)}
        for site in self.maps:
            every = {name: self._effects(role_of(name) if name else "effect", site, view.effect) for name in values}
            for place in self.places(site):
                named = {name: variant(role_of(name), place[2]) if name else place[2] for name in values}
                if all(named[name] in every[name] for name in values):
                    done.append((site, place))
                    for name, found in values.items():
                        found.append(every[name][named[name]])
        judged: dict[str, dict[tuple[int, int, str], Verdict]] = {site: {} for site in self.maps}
        if not done:
            return judged
        arrays = {name: np.stack(found) for name, found in values.items()}
        verdict = verdicts(
            arrays.pop(""),
            arrays.pop("task", None),
            floor=view.floor,
            shares=view.shares,
            groups=self.samples.groups,
            seed=self.request.seed,
            others=arrays,
            beside=[
                name for name in ("", *arrays) if view.against or not is_real(name, direction=self.request.direction)
            ],
        )
        for (site, place), of in zip(done, verdict, strict=True):
            judged[site][place] = of
        return judged

    @property
    def figure_names(self) -> tuple[str, ...]:
        """One figure per site."""
        return tuple(self.maps)

    def figures(self, metric: str = "contrast") -> dict[str, dict[str, Any]]:
        """Every map as it would be printed, a Vega-Lite spec by site."""
        from ivx.charts.figure import figure

        view, joint = find(metric), getattr(self.request, "joint", "").replace("its own", "each")
        return {
            site: figure(
                self.cells(site, metric),
                [column.label for column in columns],
                layers=self.layers,
                site=site,
                what=f"{view.label}{f', {joint}' if joint else ''}",
                unit=view.unit,
            )
            for site, columns in self.maps.items()
        }

    def drawn(self, metric: str = "contrast") -> Iterator[Plotted]:
        """What the figures show, a number at a time (`ivx.formats.plotted`); estimates are left out."""
        for site, columns in self.maps.items():
            for cell in self.cells(site, metric):
                if cell.state != "estimate":
                    label = f"L{cell.layer} {columns[cell.column].label}"
                    yield judged(cell, site, cell.patch, label=label, layer=cell.layer, n=cell.n, metric=metric)

    def summary(self, metric: str = "contrast") -> dict[str, Any]:
        """The receipt, levels of the bare and the instructed run, and every cell with the levels after its patch."""
        controlled = {site: self.controlled(site, metric) for site in self.maps}
        cells = [
            {
                **asdict(cell),
                "controls": {name: against._asdict() for name, against in controlled[site][cell.patch].items()},
                "label": self.maps[site][cell.column].label,
                "followed": self.level("followed", site=site, patch=cell.patch),
                "preference": self.level("preference", site=site, patch=cell.patch),
            }
            for site in self.maps
            for cell in self.cells(site, metric)
        ]
        levels = {
            name: {"unpatched": self.level(name), "told": self.level(name, role="told")}
            for name in ("followed", "preference")
        }
        about = {
            "metric": metric,
            "part": self.part,
            "joint": getattr(self.request, "joint", ""),
            "population": self.samples.population,
            "levels": levels,
        }
        return {**self.receipt, **about, "cells": cells}

    def level(self, metric: str, *, role: str = "effect", site: str | None = None, patch: str = "") -> float | None:
        """Mean of the metric itself, not of its change: of the unpatched run, the instructed run, or one patch."""
        return level(self._rows(role, site, patch), metric)

    def detail(self, site: str, patch: str, metric: str = "contrast") -> list[dict[str, Any]]:
        """Each sample under one patch: effect, and the top tokens before and after as (token, share) pairs."""
        return detail(self.table, self.samples, site=site, patch=patch, metric=metric, read=self._beside)

    def _rows(self, role: str, site: str | None, patch: str) -> Columns:
        if site is None and role != "told":
            site = next(iter(self.maps))
        return self._beside(numbers(rows_of(self.table, role=role, site=site, patch=patch)))

    def _beside(self, columns: Columns) -> Columns:
        """The numbers of one row for each sample, with its told run, and whether its top token is an option."""
        told = self._told
        there = len(told["logit"]) == len(columns["logit"])
        none = np.full(len(columns["logit"]), np.nan)
        top, options = columns["top"], {token for sample in self.samples.rows for token in sample.answer_tokens}
        return columns | {
            "told_logit": told["logit"] if there else none,
            "told_contrast": told["contrast"] if there else none,
            "option": np.where(np.isnan(top), np.nan, np.isin(top, list(options))),
        }

    @cached_property
    def _told(self) -> Columns:
        """The told runs, by sample."""
        return numbers(rows_of(self.table, role="told", site=None, patch=""))

    def _effects(
        self, role: str, site: str, effect: Callable[[Columns, Columns], NDArray[np.float64]]
    ) -> dict[str, NDArray[np.float64]]:
        """Per patch the effects of all samples, for patches whose samples are all done."""
        found = by_patch(self.table, role=role, site=site, samples=len(self.samples.rows))
        base = found.pop("", None)
        if base is None:
            return {}
        base = self._beside(base)
        return {name: effect(self._beside(rows), base) for name, rows in found.items()}
