"""The result of a function request: rankings of heads, what the sum of the first does layer by layer, and how alike it
is to what an instruction leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ivx.analyses.base import Result
from ivx.analyses.function.ranking import Head, Overlap, average, order, overlap
from ivx.analyses.function.request import FunctionRequest
from ivx.analyses.vectors.result import Alike, taken_from
from ivx.charts.figure import figure
from ivx.charts.lines import Dot, Line, lines_figure
from ivx.charts.palette import LIGHT
from ivx.engine.address import STREAM
from ivx.errors import IvxError
from ivx.formats.plotted import Plotted, judged
from ivx.formats.vector import ADD, Vector
from ivx.patching.cells import Cell
from ivx.patching.table import ROWS as ROWS
from ivx.patching.table import by_patch
from ivx.stats.intervals import Array, share_interval
from ivx.stats.metrics import Columns, find
from ivx.stats.verdict import Verdict, verdicts
from ivx.tasks.samples import Samples

RANKED = ("demonstrations", "counter", "instruction")
"""Rows at `z` of the first half of the samples: a head has its mean over prompts that show the task (in prompts whose
demonstrations have shuffled answers), the same of the contrast task, and over told prompts (in bare ones)."""
ADDED = ("effect", "control", "random", "heads")
"""Rows at the stream of the other half, bare prompts: to the last token is added the function vector, the contrast
task's, a random vector of equal norm, or the sum of as many heads drawn from those outside the top."""
STATES = ("state", "state control")
"""Rows of the same prompts with a task vector (Hendel et al.) in place of the last token's state: the task's, and the
contrast task's."""
ROLES = (*RANKED, *ADDED, *STATES, "told")
COMPARED = ("function", "state")
"""What is compared with an instruction's vectors: the function vector, and the demonstrations' task vectors."""


def halves(n: int) -> tuple[slice, slice]:
    """The samples that rank heads and those that measure; samples stand in an order drawn by chance."""
    return slice(0, n // 2), slice(n // 2, n)


@dataclass(frozen=True)
class FunctionCell:
    """One layer of the measured half; effects in the metric's unit.

    Attributes:
        effect: of the function vector, against the contrast task's (`control`), a random vector and random heads.
        state: of the task vector, against the contrast task's.
        followed, state_followed: shares of samples whose top token is the answer, with Wilson's interval.
    """

    layer: int
    patch: str
    effect: Verdict
    state: Verdict
    followed: tuple[float, float, float] | None
    state_followed: tuple[float, float, float] | None
    n: int


@dataclass(frozen=True, kw_only=True)
class FunctionVectors(Result[FunctionRequest]):
    """A result: one row per sample × patch × role, and everything needed to read it.

    Attributes:
        samples: their first half ranks, the other measures.
        heads: heads of a layer.
        normed: whether a norm stands behind the output projection, so that a head's share is the locally linear one;
            else the vector is the sum as Todd et al. have it.
        vectors: the function vectors of the `task` and of its `counter` task; empty until heads are ranked.
        alike: of `COMPARED`, layer by layer, how alike it is to the instruction's vectors; empty without instruction.
    """

    samples: Samples
    heads: int
    normed: bool
    vectors: dict[str, tuple[float, ...]]
    alike: dict[str, tuple[Alike, ...]]

    def indirect(self, role: str = "demonstrations", metric: str | None = None) -> Array | None:
        """Effects `[layers, heads, samples]` of each head's mean, by default in the metric that ranks them; None where
        not all are there."""
        rows, view = self._known[role], find(metric or self.request.ranking)
        places = [patch_of(Head(i, j)) for i in range(self.layers) for j in range(self.heads)]
        if "" not in rows or not all(patch in rows for patch in places):
            return None
        effects = np.stack([view.effect(rows[patch], rows[""]) for patch in places])
        return effects.reshape(self.layers, self.heads, -1)

    def head_cells(self, role: str = "demonstrations", metric: str | None = None) -> list[Cell]:
        """The map of a ranking, by default in the metric that ranks; without a control."""
        metric = metric or self.request.ranking
        effects = self.indirect(role, metric)
        if effects is None:
            return []
        flat, view = effects.reshape(-1, effects.shape[-1]), find(metric)
        groups = self.samples.groups[halves(len(self.samples.rows))[0]]
        found = verdicts(flat, None, floor=view.floor, shares=view.shares, groups=groups, seed=self.request.seed)
        places = [Head(layer, head) for layer in range(self.layers) for head in range(self.heads)]
        return [
            Cell.of("z", *place, patch_of(place), verdict, n=flat.shape[1])
            for place, verdict in zip(places, found, strict=True)
        ]

    def ranked(self, role: str = "demonstrations") -> list[Head]:
        """All heads, the one that carries most first; empty until they are ranked."""
        effects = self.indirect(role)
        return [] if effects is None else order(average(effects))

    def top(self, role: str = "demonstrations") -> list[Head]:
        """The heads whose sum is the function vector."""
        return self.ranked(role)[: self.request.heads]

    def overlap(self) -> Overlap | None:
        """How alike the heads of demonstrations and of the instruction are; None without an instruction."""
        one, other = (self.indirect(role) for role in ("demonstrations", "instruction"))
        return None if one is None or other is None else overlap(one, other, top=self.request.heads)

    def cells(self, metric: str = "contrast") -> list[FunctionCell]:
        """The finished layers of the measured half, lowest first."""
        rows, view = self._measured, find(metric)
        base = rows["effect"].get("")
        done = [patch for patch in map(written, range(self.layers)) if all(patch in found for found in rows.values())]
        if base is None or not done:
            return []
        values = {role: np.stack([view.effect(found[p], base) for p in done]) for role, found in rows.items()}
        asked: dict[str, Any] = {
            "floor": view.floor,
            "shares": view.shares,
            "groups": self.samples.groups[halves(len(self.samples.rows))[1]],
            "seed": self.request.seed,
        }
        others = {name: values[name] for name in ("random", "heads")}
        effect = verdicts(values["effect"], values["control"], others=others, **asked)
        state = verdicts(values["state"], values["state control"], **asked)
        return [
            FunctionCell(
                layer_of(patch), patch, own, plain, _followed(rows["effect"][patch]), _followed(rows["state"][patch]), n
            )
            for n in [values["effect"].shape[1]]
            for patch, own, plain in zip(done, effect, state, strict=True)
        ]

    def vector(self, layer: int, *, operation: str = ADD) -> Vector:
        """The function vector of the task, to be added in one layer: saved, or tried.

        Raises:
            IvxError: there is no such layer, heads are not ranked yet, or it is to overwrite.
        """
        if operation != ADD:
            raise IvxError("a function vector is added, it is no state that could stand in place of another")
        if not 0 <= layer < self.layers or not self.vectors:
            raise IvxError(f"layer {layer}: {self.request.checkpoint} has layers 0 to {self.layers - 1}")
        heads = [[head.layer, head.head] for head in self.top()]
        about = {**taken_from(self), "token": "last of the demonstrations", "less": None, "of": "function vector"}
        values = np.array(self.vectors["task"], np.float32)
        return Vector(STREAM, layer, ADD, values, {**about, "heads": heads})

    def levels(self) -> dict[str, tuple[float, float, float] | None]:
        """Shares of the measured half that follow, with Wilson's interval: told by demonstrations, and not at all."""
        n = len(self.samples.rows)
        told = by_patch(self.table, role="told", site="", samples=n).get("")
        bare = self._measured["effect"].get("")
        chosen = halves(n)[1]
        own = None if told is None else {name: column[chosen] for name, column in told.items()}
        return {
            "told": None if own is None else _followed(own),
            "unpatched": None if bare is None else _followed(bare),
        }

    @property
    def figure_names(self) -> tuple[str, ...]:
        """The heads' maps, the effects by layer, and the cosines; without an instruction neither its map nor these."""
        return ("heads", "instruction", "layers", "cosines") if self.alike else ("heads", "layers")

    def figures(self, metric: str = "contrast") -> dict[str, dict[str, Any]]:
        """The figures as they would be printed, Vega-Lite specs by name; the heads' maps show what ranks them."""
        drawn = {
            "heads": lambda: self._map("demonstrations", "mean over demonstrations, answers shuffled"),
            "instruction": lambda: self._map("instruction", "mean over told prompts, untold"),
            "layers": lambda: self._layers(metric),
            "cosines": self._cosines,
        }
        return {name: drawn[name]() for name in self.figure_names}

    def drawn(self, metric: str = "contrast") -> Iterator[Plotted]:
        """What the figures show, a number at a time (`ivx.formats.plotted`)."""
        ranking = self.request.ranking
        for name, role in (("heads", "demonstrations"), ("instruction", "instruction")):
            for cell in self.head_cells(role) if name in self.figure_names else ():
                label = f"L{cell.layer} head {cell.column}"
                yield judged(cell, name, cell.patch, label=label, layer=cell.layer, n=cell.n, metric=ranking)
        for one in self.cells(metric):
            about: dict[str, Any] = {"layer": one.layer, "n": one.n, "metric": metric}
            for name, verdict in (("function vector", one.effect), ("task vector", one.state)):
                yield judged(verdict, "layers", one.patch, label=f"L{one.layer} {name}", **about)
        for name, layers in self.alike.items():
            for of in layers:
                own = (of.whole, of.low, of.high)
                yield Plotted(
                    "cosines", f"{name} {of.layer}", f"L{of.layer} {name}", of.layer, *own,
                    control=of.control, n=of.n, what="cosine", unit="cosine",
                )  # fmt: skip

    def summary(self, metric: str = "contrast") -> dict[str, Any]:
        """The receipt, the first heads of each ranking, their overlap, every finished layer, and the cosines."""
        found = self.overlap()
        return {
            **self.receipt,
            "metric": metric,
            "normed": self.normed,
            "ranking_samples": halves(len(self.samples.rows))[0].stop,
            "heads": {role: list(self._first(role)) for role in RANKED if self.ranked(role)},
            "overlap": None if found is None else asdict(found),
            "levels": self.levels(),
            "norm": float(np.linalg.norm(self.vectors["task"])) if self.vectors else None,
            "cells": [{**asdict(c), "effect": _plain(c.effect), "state": _plain(c.state)} for c in self.cells(metric)],
            "cosines": {name: [asdict(layer) for layer in layers] for name, layers in self.alike.items()},
        }

    def _first(self, role: str) -> Iterator[dict[str, Any]]:
        cells = {(cell.layer, cell.column): cell for cell in self.head_cells(role)}
        for head in self.top(role):
            cell = cells[head]
            yield {"layer": head.layer, "head": head.head, "value": cell.value, "low": cell.low, "high": cell.high}

    @cached_property
    def _known(self) -> dict[str, dict[str, Columns]]:
        n = halves(len(self.samples.rows))[0].stop
        return {role: by_patch(self.table, role=role, site="z", samples=n) for role in RANKED}

    @cached_property
    def _measured(self) -> dict[str, dict[str, Columns]]:
        """The rows of the measured half by role, then by patch; of one layer the same patch in every role."""
        chosen = halves(len(self.samples.rows))[1]
        n = chosen.stop - chosen.start
        found = {role: by_patch(self.table, role=role, site=STREAM, samples=n) for role in (*ADDED, *STATES)}
        return {role: {patch.partition("~")[0]: rows for patch, rows in of.items()} for role, of in found.items()}

    def _map(self, role: str, what: str) -> dict[str, Any]:
        view = find(self.request.ranking)
        labels = [f"h{head}" for head in range(self.heads)]
        return figure(
            self.head_cells(role), labels, layers=self.layers, site="z", what=f"{what}: {view.label}", unit=view.unit
        )

    def _layers(self, metric: str) -> dict[str, Any]:
        view, cells = find(metric), self.cells(metric)

        def dots(name: str) -> tuple[Dot, ...]:
            beside = ((c.layer, c.effect.against[name]) for c in cells)
            return tuple(Dot(layer, told.mean, told.low, told.high) for layer, told in beside)

        found = [
            Line("the function vector", LIGHT.orange, tuple(Dot(c.layer, *c.effect[:3]) for c in cells)),
            Line("the task vector", LIGHT.ink, tuple(Dot(c.layer, *c.state[:3]) for c in cells)),
            Line("the contrast task's function vector", LIGHT.blue, dots("task"), thin=True),
            Line("a random vector of equal norm", LIGHT.faint, dots("random"), thin=True),
            Line("as many random heads", LIGHT.muted, dots("heads"), thin=True),
        ]
        title = f"{self.request.checkpoint}, {self.request.task}: {view.label}, {view.unit}"
        subtitle = (
            "orange: function vector, added; black: task vector, put in place; dashed: contrast task's (blue), "
            "random (light grey), random heads (grey)"
        )
        return {**lines_figure(found, layers=self.layers, title=title, subtitle=subtitle)}

    def _cosines(self) -> dict[str, Any]:
        found = []
        for name, colour in zip(COMPARED, (LIGHT.orange, LIGHT.ink), strict=True):
            layers = self.alike[name]
            own = tuple(
                Dot(a.layer, a.own, a.own_low, a.own_high)
                for a in layers
                if a.own is not None and a.own_low is not None and a.own_high is not None
            )
            found.append(Line(f"{name}, own", colour, own))
            found.append(
                Line(f"{name}, whole", colour, tuple(Dot(a.layer, a.whole, a.low, a.high) for a in layers), thin=True)
            )
        title = f"{self.request.checkpoint}, {self.request.task}: cosine with the instruction's vector"
        subtitle = "orange: function vector; black: task vector; dashed: whole; solid: less the contrast task's mean"
        return lines_figure(found, layers=self.layers, title=title, subtitle=subtitle)


def patch_of(head: Head) -> str:
    """The address of a head's mean at the last token."""
    return f"z.{head.layer}.{head.head}@-1=mean"


def written(layer: int) -> str:
    """The address that a vector is added at."""
    return f"{STREAM}.{layer}@-1"


def layer_of(patch: str) -> int:
    """The layer that an address of one site names."""
    return int(patch.split("@")[0].split(".")[1])


def _followed(rows: Columns) -> tuple[float, float, float] | None:
    hits = find("followed").measure(rows)
    hits = hits[np.isfinite(hits)]
    return (float(hits.mean()), *share_interval(float(hits.sum()), len(hits))) if len(hits) else None


def _plain(verdict: Verdict) -> dict[str, Any]:
    """A verdict with all its controls, ready for JSON."""
    return {**verdict.plain(), "others": {name: told._asdict() for name, told in verdict.others.items()}}
