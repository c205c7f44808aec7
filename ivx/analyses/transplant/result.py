"""The result of a transplant request: what another checkpoint's vectors do in this one, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.base import Result
from ivx.analyses.transplant.request import TransplantRequest
from ivx.charts.lines import Dot, Line, lines_figure
from ivx.charts.palette import LIGHT
from ivx.formats.plotted import Plotted, judged
from ivx.patching.table import ROWS as SWEEP_ROWS
from ivx.patching.table import by_patch
from ivx.stats.intervals import Array
from ivx.stats.metrics import find
from ivx.stats.verdict import Verdict, verdicts
from ivx.tasks.samples import Samples

ROLES = ("effect", "control")
"""Rows with the donor's vector, and with the donor's vector of another task."""

ROWS = pa.schema([*SWEEP_ROWS, ("norm", pa.float64()), ("own_norm", pa.float64())])
"""A sweep's columns with role and site, and the norms of the vector as it was written and of this checkpoint's own."""


@dataclass(frozen=True)
class TransplantCell:
    """One layer: the effect in the metric's unit, its control the donor's vector of another task; mean lengths of the
    vector as it was written and of the receiver's own there."""

    layer: int
    patch: str
    effect: Verdict
    norm: float
    own_norm: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Transplant(Result[TransplantRequest]):
    """A result: one row per sample × layer × role, and everything needed to read it; `donor` names the checkpoint that
    the vectors come from, `component` the site."""

    samples: Samples
    donor: str
    component: str

    def effects(self, metric: str = "contrast", *, role: str = "effect") -> dict[int, Array]:
        """Effects `[samples]` of the finished layers, in one role."""
        view, n = find(metric), len(self.samples.rows)
        base = by_patch(self.table, role="effect", site=self.component, samples=n).get("")
        rows = by_patch(self.table, role=role, site=self.component, samples=n)
        if base is None:
            return {}
        return {layer_of(patch): view.effect(found, base) for patch, found in rows.items() if patch}

    def cells(self, metric: str = "contrast") -> list[TransplantCell]:
        """The finished layers, lowest first."""
        mine, theirs = (self.effects(metric, role=role) for role in ROLES)
        done = sorted(mine.keys() & theirs.keys() if theirs else mine)
        if not done:
            return []
        judged = verdicts(
            np.stack([mine[layer] for layer in done]),
            np.stack([theirs[layer] for layer in done]) if theirs else None,
            floor=find(metric).floor,
            shares=find(metric).shares,
            groups=self.samples.groups,
            seed=self.request.seed,
        )
        rows = self.table.filter((pc.field("role") == "effect") & (pc.field("patch") != ""))
        means = rows.group_by("patch").aggregate([("norm", "mean"), ("own_norm", "mean")]).to_pylist()
        about = {layer_of(row["patch"]): row for row in means}
        n = len(self.samples.rows)
        return [
            TransplantCell(
                layer, about[layer]["patch"], verdict, about[layer]["norm_mean"], about[layer]["own_norm_mean"], n
            )
            for layer, verdict in zip(done, judged, strict=True)
        ]

    @property
    def figure_names(self) -> tuple[str, ...]:
        """The effects by layer."""
        return ("transplant",)

    def figures(self, metric: str = "contrast") -> dict[str, dict[str, Any]]:
        """The effect by layer beside its control as it would be printed, a Vega-Lite spec named `transplant`."""
        view, cells = find(metric), self.cells(metric)
        beside = [(c.layer, c.effect.against["task"]) for c in cells if "task" in c.effect.against]
        control = tuple(Dot(layer, told.mean, told.low, told.high) for layer, told in beside)
        found = [
            Line("the donor's vector", LIGHT.orange, tuple(Dot(c.layer, *c.effect[:3]) for c in cells)),
            Line("its vector of another task", LIGHT.blue, control, thin=True),
        ]
        title = f"{self.donor} into {self.request.checkpoint}, {self.component}: {view.label}, {view.unit}"
        subtitle = "orange: the donor's vector; blue, dashed: its vector of another task"
        return {"transplant": lines_figure(found, layers=self.layers, title=title, subtitle=subtitle)}

    def drawn(self, metric: str = "contrast") -> Iterator[Plotted]:
        """What the figures show, a number at a time (`ivx.formats.plotted`)."""
        for cell in self.cells(metric):
            label, layer = f"L{cell.layer}", cell.layer
            yield judged(cell.effect, "transplant", cell.patch, label=label, layer=layer, n=cell.n, metric=metric)

    def summary(self, metric: str = "contrast") -> dict[str, Any]:
        """The receipt, and every finished layer."""
        cells = [
            {"layer": c.layer, "patch": c.patch, **c.effect.plain(), "norm": c.norm, "own_norm": c.own_norm, "n": c.n}
            for c in self.cells(metric)
        ]
        return {**self.receipt, "donor": self.donor, "metric": metric, "cells": cells}


def layer_of(patch: str) -> int:
    """The layer that an address of one site names."""
    return int(patch.split("@")[0].split(".")[1])
