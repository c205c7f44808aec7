"""The result of a mechanism request: rows by role, and of each head that matters what its parts do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ivx.analyses.base import Result
from ivx.analyses.mechanism.request import MechanismRequest
from ivx.charts.parts import Part, parts_figure
from ivx.formats.plotted import Plotted, judged
from ivx.patching.table import ROWS as ROWS
from ivx.patching.table import by_patch
from ivx.stats.intervals import Array, means
from ivx.stats.metrics import Columns, Metric, find
from ivx.stats.verdict import Verdict, verdicts
from ivx.tasks.samples import Samples

SWAPPED = ("total", "routing", "content")
"""What of a head is taken from the other run: all of it, what it looks at, what it reads."""
PARTS = (*SWAPPED, "interaction")
CONTROLS = ("head", "random")
"""The same of another head of the layer; a random change of the head's output of the same size."""
RANKED = "ranked"
"""Rows of the half of the samples that chooses heads: each head's whole output, swapped."""
ROLES = (RANKED, *SWAPPED, *(f"{part} {control}" for control in CONTROLS for part in SWAPPED), "told")
NAMES = {
    "total": "all of it",
    "routing": "where it looks",
    "content": "what it reads",
    "interaction": "both beyond their sum",
}


class Look(NamedTuple):
    """What a head looks at in one query's runs, told the task (`source`) and told the contrast task (`target`).

    Attributes:
        source, target: attention rows, each over the tokens up to its own; the last token's alone of a long prompt.
        moved: the share of the last token's attention that stands elsewhere in the other run, a mean over samples.
        other: the head of the layer that is the control.
    """

    source: tuple[tuple[float, ...], ...]
    target: tuple[tuple[float, ...], ...]
    moved: float
    other: int


@dataclass(frozen=True)
class MechanismCell:
    """One head of the measured half; effects in the metric's unit.

    Attributes:
        parts: by `PARTS`; controls are `task`, the same of another head, and `random`.
        apart: routing less content, query by query, with its interval and p, adjusted.
    """

    layer: int
    head: int
    patch: str
    parts: dict[str, Verdict]
    apart: Verdict
    n: int

    @property
    def name(self) -> str:
        """The head as charts call it."""
        return f"L{self.layer} H{self.head}"

    @property
    def says(self) -> str:
        """In what the head's effect lies: `where`, `what`, `both` or `neither`."""
        found = [part for part in ("routing", "content") if self.parts[part].state == "ok"]
        return {0: "neither", 2: "both"}.get(len(found)) or {"routing": "where", "content": "what"}[found[0]]


def halves(n: int) -> tuple[slice, slice]:
    """The samples that choose heads and those that measure them."""
    return slice(0, n // 2), slice(n // 2, n)


@dataclass(frozen=True, kw_only=True)
class Mechanism(Result[MechanismRequest]):
    """A result: one row per sample × head × role, and everything needed to read it.

    Attributes:
        samples: told the task in `rows`, the contrast task in `counter`; the first half chooses, the rest measures.
        heads: heads of a layer.
        looks: of each measured head, by its address, what it looks at.
    """

    samples: Samples
    heads: int
    looks: dict[str, Look] = field(default_factory=dict)

    def ranked(self) -> list[tuple[int, int]]:
        """All heads as (layer, head), the one whose output moves the answer most first; empty until all are there."""
        chosen = halves(len(self.samples.rows))[0]
        rows, view = by_patch(self.table, role=RANKED, site="z", samples=chosen.stop), find("contrast")
        places = [(layer, head) for layer in range(self.layers) for head in range(self.heads)]
        if "" not in rows or not all(patch_of(*place) in rows for place in places):
            return []
        sizes = [abs(np.nanmean(view.effect(rows[patch_of(*place)], rows[""]))) for place in places]
        return [places[k] for k in np.argsort(-np.nan_to_num(sizes), kind="stable")]

    def top(self) -> list[tuple[int, int]]:
        """The heads that are measured."""
        return self.ranked()[: self.request.heads]

    def cells(self, metric: str = "contrast") -> list[MechanismCell]:
        """The measured heads, in the order in which they were chosen."""
        view, rows = find(metric), self._measured()
        base = rows["total"].get("")
        places = [place for place in self.top() if all(patch_of(*place) in rows[role] for role in rows)]
        if base is None or not places:
            return []
        values = {
            control: np.concatenate([_parts(view, rows, base, patch_of(*place), control) for place in places])
            for control in ("", *CONTROLS)
        }
        chosen = halves(len(self.samples.rows))[1]
        asked: dict[str, Any] = {
            "floor": view.floor, "groups": self.samples.groups[chosen], "seed": self.request.seed,
        }  # fmt: skip
        found = verdicts(values[""], values["head"], others={"random": values["random"]}, shares=view.shares, **asked)
        every = values[""].reshape(len(places), len(PARTS), -1)
        apart = verdicts(every[:, 1] - every[:, 2], None, **asked)
        width = len(PARTS)
        return [
            MechanismCell(
                layer=layer,
                head=head,
                patch=patch_of(layer, head),
                parts=dict(zip(PARTS, found[k * width : (k + 1) * width], strict=True)),
                apart=apart[k],
                n=every.shape[-1],
            )
            for k, (layer, head) in enumerate(places)
        ]

    def gap(self, metric: str = "contrast") -> tuple[float, float, float] | None:
        """What being told the task instead of the contrast task does, the mean over the measured half with its
        interval: the most that heads could carry."""
        chosen, view = halves(len(self.samples.rows))[1], find(metric)
        base = self._measured()["total"].get("")
        told = by_patch(self.table, role="told", site="", samples=len(self.samples.rows)).get("")
        if base is None or told is None:
            return None
        moved = view.effect({name: values[chosen] for name, values in told.items()}, base)
        one = means(moved[None], seed=self.request.seed, groups=self.samples.groups[chosen])
        return float(one.mean[0]), float(one.low[0]), float(one.high[0])

    def effects(self, patch: str, metric: str = "contrast") -> dict[str, Array]:
        """Each part of one head, query by query, over the measured half."""
        view, rows = find(metric), self._measured()
        return dict(zip(PARTS, _parts(view, rows, rows["total"][""], patch, ""), strict=True))

    @property
    def figure_names(self) -> tuple[str, ...]:
        """The parts."""
        return ("mechanism",)

    def figures(self, metric: str = "contrast") -> dict[str, dict[str, Any]]:
        """The parts of each head as they would be printed, a Vega-Lite spec named `mechanism`."""
        view = find(metric)
        return {
            "mechanism": parts_figure(
                self.dots(metric),
                names=[cell.name for cell in self.cells(metric)],
                title=f"{self.request.checkpoint}, {self.request.task}: {view.label}, {view.unit}",
                unit=view.unit,
            )
        }

    def dots(self, metric: str = "contrast") -> list[Part]:
        """The dots of a chart: each head's parts."""
        return [
            Part(k, PARTS.index(name), NAMES[name], one.value, one.low, one.high, one.state)
            for k, cell in enumerate(self.cells(metric))
            for name, one in cell.parts.items()
        ]

    def drawn(self, metric: str = "contrast") -> Iterator[Plotted]:
        """What the figure shows, a number at a time (`ivx.formats.plotted`)."""
        for cell in self.cells(metric):
            for name, one in cell.parts.items():
                told = f"{cell.name} {name}"
                yield judged(one, "mechanism", cell.patch, label=told, layer=cell.layer, n=cell.n, metric=metric)

    def summary(self, metric: str = "contrast") -> dict[str, Any]:
        """The receipt, what being told does, and every measured head."""
        cells = [
            {
                "layer": cell.layer,
                "head": cell.head,
                "patch": cell.patch,
                "says": cell.says,
                "n": cell.n,
                "moved": self.looks[cell.patch].moved if cell.patch in self.looks else None,
                "other": self.looks[cell.patch].other if cell.patch in self.looks else None,
                "parts": {name: _plain(one) for name, one in cell.parts.items()},
                "apart": cell.apart.plain(),
            }
            for cell in self.cells(metric)
        ]
        first = halves(len(self.samples.rows))[0].stop
        return {**self.receipt, "metric": metric, "choosing": first, "gap": self.gap(metric), "cells": cells}

    def _measured(self) -> dict[str, dict[str, Columns]]:
        chosen = halves(len(self.samples.rows))[1]
        n = chosen.stop - chosen.start
        return {role: by_patch(self.table, role=role, site="z", samples=n) for role in ROLES[1:-1]}


def patch_of(layer: int, head: int) -> str:
    """The address of a head's output at the last token."""
    return f"z.{layer}.{head}@-1"


def _parts(view: Metric, rows: dict[str, dict[str, Columns]], base: Columns, patch: str, control: str) -> Array:
    """Effects `[parts, samples]` of one head, or of its control."""
    named = [f"{part} {control}".strip() for part in SWAPPED]
    total, routing, content = (view.effect(rows[role][patch], base) for role in named)
    return np.stack([total, routing, content, total - routing - content])


def _plain(verdict: Verdict) -> dict[str, Any]:
    """A verdict with all its controls, ready for JSON."""
    return {**verdict.plain(), "random": verdict.others["random"]._asdict()}
