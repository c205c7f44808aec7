"""The result of an erasure request: rows by role, and the effect that was lost with the readable part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.base import Result
from ivx.analyses.erasure.request import ErasureRequest
from ivx.formats.plotted import Plotted, judged
from ivx.patching.table import ROWS as SWEEP_ROWS
from ivx.patching.table import by_patch
from ivx.stats.metrics import find
from ivx.stats.verdict import Verdict, verdicts
from ivx.tasks.samples import Samples

ROLES = ("effect", "erased", "random", "told")
"""Rows with the whole vector, without its readable part, without a random part, and of the unpatched instructed run."""

ROWS = pa.schema([*SWEEP_ROWS, ("moved", pa.float64())])
"""A sweep's columns with role and site, and the norm of the edit as a share of the vector's."""


@dataclass(frozen=True)
class ErasureCell:
    """One layer; effects in the metric's unit.

    `lost` is the whole vector's effect minus the erased one's, its control the same for the random subspace: `ok` where
    more is lost than by chance and than by the control. `moved` are the edits' mean lengths, as shares of the vector's.
    """

    layer: int
    patch: str
    whole: float
    erased: float
    random: float
    lost: Verdict
    moved: float
    moved_random: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Erasure(Result[ErasureRequest]):
    """A result: one row per sample × layer × role, and everything needed to read it."""

    samples: Samples

    def cells(self, metric: str = "contrast") -> list[ErasureCell]:
        """The finished layers, lowest first."""
        view, n = find(metric), len(self.samples.rows)
        rows = {role: by_patch(self.table, role=role, site=self.request.component, samples=n) for role in ROLES[:3]}
        base = rows["effect"].pop("", None)
        done = [patch for patch in rows["effect"] if all(patch in rows[role] for role in ROLES[:3])]
        if base is None or not done:
            return []
        done.sort(key=_layer)
        effects = {role: np.stack([view.effect(rows[role][p], base) for p in done]) for role in ROLES[:3]}
        found = verdicts(
            effects["effect"] - effects["erased"],
            effects["effect"] - effects["random"],
            floor=view.floor,
            shares=view.shares,
            groups=self.samples.groups,
            seed=self.request.seed,
        )
        means = {role: np.nanmean(values, axis=1).tolist() for role, values in effects.items()}
        return [
            ErasureCell(
                layer=_layer(patch),
                patch=patch,
                whole=means["effect"][k],
                erased=means["erased"][k],
                random=means["random"][k],
                lost=lost,
                moved=self._moved("erased", patch),
                moved_random=self._moved("random", patch),
                n=n,
            )
            for k, (patch, lost) in enumerate(zip(done, found, strict=True))
        ]

    @property
    def figure_names(self) -> tuple[str, ...]:
        """The losses."""
        return ("erasure",)

    def figures(self, metric: str = "contrast") -> dict[str, dict[str, Any]]:
        """The losses by layer as they would be printed, a Vega-Lite spec named `erasure`."""
        from ivx.charts.losses import Loss, losses_figure

        view, asked = find(metric), self.request
        return {
            "erasure": losses_figure(
                [Loss(cell.layer, cell.whole, cell.erased, cell.random) for cell in self.cells(metric)],
                layers=self.layers,
                title=f"{asked.component} from {asked.source_token}: {view.label}, {view.unit}",
                subtitle="orange: whole vector; blue: without what is read; grey: without as much at random",
            )
        }

    def drawn(self, metric: str = "contrast") -> Iterator[Plotted]:
        """What the figures show, a number at a time (`ivx.formats.plotted`); what is lost is whole less erased, its
        control as much at random."""
        for cell in self.cells(metric):
            label, unit = f"L{cell.layer}", find(metric).unit
            for name, mean in (("whole", cell.whole), ("erased", cell.erased), ("random", cell.random)):
                told = f"{metric}, {name}"
                yield Plotted("erasure", cell.patch, label, cell.layer, mean, n=cell.n, what=told, unit=unit)
            lost = judged(cell.lost, "erasure", cell.patch, label=label, layer=cell.layer, n=cell.n, metric=metric)
            yield lost._replace(what=f"{metric}, lost")

    def summary(self, metric: str = "contrast") -> dict[str, Any]:
        """The receipt, and every finished layer."""
        cells = [asdict(cell) | {"lost": cell.lost._asdict()} for cell in self.cells(metric)]
        return {**self.receipt, "metric": metric, "cells": cells}

    def _moved(self, role: str, patch: str) -> float:
        rows = self.table.filter((pc.field("role") == role) & (pc.field("patch") == patch))
        return float(pc.mean(rows["moved"]).as_py())


def _layer(patch: str) -> int:
    return int(patch.split("@")[0].split(".")[1])
