"""The vectors of several checkpoints in each of them, at one place: whose vector moves whom, and what of it was taught.

Nothing here runs a model: it reads transplants, a checkpoint's own vectors in itself among them, so that all cells of a
2 × 2 are made alike, of the same queries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from ivx.analyses.compare.text import says, short
from ivx.analyses.transplant.result import ROLES, Transplant, layer_of
from ivx.charts.exchange import Square, exchange_chart, printed_exchange
from ivx.charts.numbers import scale_of
from ivx.charts.palette import LIGHT
from ivx.errors import IvxError
from ivx.formats.plotted import Plotted, judged
from ivx.formats.plotted import table as plotted_table
from ivx.models.registry import steps
from ivx.patching import gate
from ivx.patching.table import by_patch
from ivx.request import WAY
from ivx.stats.following import Share
from ivx.stats.intervals import Array, Ints
from ivx.stats.metrics import find
from ivx.stats.two_by_two import PARTS, TwoByTwo, two_by_twos
from ivx.stats.verdict import Verdict, verdicts

if TYPE_CHECKING:
    import altair as alt

Key = tuple[str, str, str]
"""A task, whose vector, and in which checkpoint."""
TABLE = pa.schema(
    [
        ("task", pa.string()),
        ("what", pa.string()),
        ("vector_of", pa.string()),
        ("checkpoint", pa.string()),
        ("metric", pa.string()),
        ("layers", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("p", pa.float64()),
        ("control", pa.float64()),
        ("p_control", pa.float64()),
        ("state", pa.string()),
        ("followed", pa.float64()),
        ("followed_low", pa.float64()),
        ("followed_high", pa.float64()),
        ("n", pa.int32()),
    ]
)
"""One row per number. `what` is effect, or a part of the 2 × 2 of two checkpoints, the earlier in `vector_of`."""


class Crossed(NamedTuple):
    """The effect of one checkpoint's vector in another, and the share that follows with it; p is adjusted over all
    cells that are shown."""

    task: str
    donor: str
    receiver: str
    effect: Verdict
    followed: Share
    n: int


class Change(NamedTuple):
    """What changed from one checkpoint to a later one; each part's p is adjusted over all changes that are shown."""

    task: str
    before: str
    after: str
    parts: TwoByTwo
    n: int


@dataclass(frozen=True)
class Exchange:
    """Checkpoints in their order, and what each one's vectors do in each, task by task.

    Attributes:
        layers: those whose effects are averaged, query by query; all that were patched where none is named.
    """

    names: tuple[str, ...]
    tasks: tuple[str, ...]
    transplants: Mapping[Key, Transplant]
    layers: tuple[int, ...] = ()

    @cached_property
    def averaged(self) -> tuple[int, ...]:
        """The layers that are averaged; raises `IvxError` where one was not patched everywhere."""
        there = set.intersection(*(set(found.effects()) for found in self.transplants.values()))
        if lacking := [layer for layer in self.layers if layer not in there]:
            known = ", ".join(map(str, sorted(there)))
            raise IvxError(f"layer {lacking[0]} was not patched in every checkpoint: choose of {known}")
        return self.layers or tuple(sorted(there))

    def cells(self, metric: str = "contrast") -> list[Crossed]:
        """Every vector in every checkpoint, task by task and row by row."""
        keys = [(task, donor, receiver) for task in self.tasks for donor in self.names for receiver in self.names]
        values, control = (self._stacked(keys, metric, role) for role in ROLES)
        assert values is not None, "every transplant has the donor's own vector"
        view = find(metric)
        judged = verdicts(
            values, control, floor=view.floor, shares=view.shares, groups=self._groups, seed=self._first.request.seed
        )
        return [
            Crossed(*key, self._counted(verdict, key[0]), self._followed(key), len(self._queries[key[0]]))
            for key, verdict in zip(keys, judged, strict=True)
        ]

    def changes(self, metric: str = "contrast") -> list[Change]:
        """The 2 × 2 of every step of the family, task by task."""
        keys = [(task, *step) for task in self.tasks for step in steps(self.names)]
        values, control = (self._crossed(keys, metric, role) for role in ROLES)
        if values is None:
            return []
        view = find(metric)
        judged = two_by_twos(
            values, control, floor=view.floor, shares=view.shares, groups=self._groups, seed=self._first.request.seed
        )
        return [
            Change(*key, TwoByTwo(*(self._counted(part, key[0]) for part in parts)), len(self._queries[key[0]]))
            for key, parts in zip(keys, judged, strict=True)
        ]

    @property
    def receipt(self) -> dict[str, Any]:
        """What was asked, and the run of every transplant."""
        request = self._first.request
        asked = ("source_token", "position", "samples", "against", *WAY, "seed", "matched", "layers")
        gates = [said for found in self.transplants.values() if (said := gate.sentence(found.receipt))]
        return {
            "kind": "exchange",
            "request": {
                "checkpoints": list(self.names),
                "tasks": list(self.tasks),
                **{name: getattr(request, name) for name in asked},
            },
            "layers": list(self.averaged),
            "runs": [
                {"task": task, "vector_of": donor, "checkpoint": receiver, "run": found.run_id}
                for (task, donor, receiver), found in self.transplants.items()
            ],
            "gates": list(dict.fromkeys(gates)),
            "warnings": sorted({told for found in self.transplants.values() for told in found.receipt["warnings"]}),
        }

    @property
    def table(self) -> pa.Table:
        """Every number in the contrast metric."""
        return self.tidy()

    def tidy(self, metric: str = "contrast") -> pa.Table:
        """Every number, one a row (`TABLE`)."""
        return pa.Table.from_pylist(list(self._rows(metric)), schema=TABLE)

    def summary(self, metric: str = "contrast") -> dict[str, Any]:
        """What was asked, every cell and every change, ready for JSON."""
        cells = [
            {
                **{"task": cell.task, "vector_of": cell.donor, "checkpoint": cell.receiver},
                **cell.effect.plain(),
                **{"followed": list(cell.followed), "n": cell.n},
            }
            for cell in self.cells(metric)
        ]
        changes = [
            {
                **{"task": change.task, "before": change.before, "after": change.after},
                **{"taught": change.parts.taught, "says": says(change.parts, metric)},
                **{name: getattr(change.parts, name).plain() for name in PARTS},
                "n": change.n,
            }
            for change in self.changes(metric)
        ]
        return {**self.receipt, "metric": metric, "cells": cells, "changes": changes}

    def plotted(self, metric: str = "contrast") -> pa.Table:
        """The cells of every matrix as a table (`ivx.formats.plotted.ROWS`): the effect, and the share that follows."""
        found = []
        for cell in self.cells(metric):
            key = (cell.task, cell.donor, cell.receiver)
            name, label = f"{cell.donor} in {cell.receiver}", f"{short(cell.donor)}’s vector in {short(cell.receiver)}"
            effect = judged(cell.effect, cell.task, name, label=label, layer=None, n=cell.n, metric=metric)
            share = Plotted(cell.task, name, label, None, *cell.followed, n=cell.n, what="follows", unit="share")
            run = self.transplants[key].run_id
            found.append(plotted_table([effect, share], checkpoint=cell.receiver, task=cell.task, run=run))
        return pa.concat_tables(found)

    def figures(self, metric: str = "contrast") -> dict[str, dict[str, Any]]:
        """The matrix of every task as it would be printed, on one scale: Vega-Lite specs by task."""
        view, cells = find(metric), self.cells(metric)
        scale = scale_of([cell.effect.value for cell in cells])
        found = {}
        for task in self.tasks:
            names = tuple(map(short, self.names))
            spec = exchange_chart(self.squares(task, cells), names=names, scale=scale, palette=LIGHT)
            found[task] = printed_exchange(spec, title=f"{task}: {view.label}", unit=view.unit, names=len(names))
        return found

    def squares(self, task: str, cells: Sequence[Crossed]) -> list[Square]:
        """One task's cells, as they are drawn."""
        return [
            Square(
                self.names.index(cell.donor),
                self.names.index(cell.receiver),
                *cell.effect[:3],
                cell.effect.state,
                cell.effect.control,
                cell.followed,
            )
            for cell in cells
            if cell.task == task
        ]

    def chart(self, metric: str = "contrast") -> alt.HConcatChart:
        """The matrices of all tasks side by side."""
        from ivx.charts.figure import beside, noted

        said = gate.sentence(self.receipt)
        return beside([noted(spec, said) for spec in self.figures(metric).values()])

    def _rows(self, metric: str) -> Iterator[dict[str, Any]]:
        layers = ",".join(map(str, self.averaged))
        for cell in self.cells(metric):
            about = {"task": cell.task, "vector_of": cell.donor, "checkpoint": cell.receiver, "n": cell.n}
            shares = dict(zip(("followed", "followed_low", "followed_high"), cell.followed, strict=True))
            yield {**about, **shares, "what": "effect", "metric": metric, "layers": layers, **_kept(cell.effect)}
        for change in self.changes(metric):
            about = {"task": change.task, "vector_of": change.before, "checkpoint": change.after, "n": change.n}
            for name in PARTS:
                part = _kept(getattr(change.parts, name))
                yield {**about, "what": name, "metric": metric, "layers": layers, **part}

    @property
    def _first(self) -> Transplant:
        return next(iter(self.transplants.values()))

    @cached_property
    def _queries(self) -> dict[str, tuple[str, ...]]:
        """The queries of each task that every checkpoint was asked, with every vector.

        Raises:
            IvxError: there is none; the answer of one is another token in another checkpoint.
        """
        found = {}
        for task in self.tasks:
            every = [t for (named, *_), t in self.transplants.items() if named == task]
            answers = [{s.query: (s.answer_id, s.contrast_id) for s in t.samples.rows} for t in every]
            shared = tuple(query for query in answers[0] if all(query in theirs for theirs in answers))
            if not shared:
                raise IvxError(f"{task}: these checkpoints were asked no query in common, so they cannot be compared")
            for theirs, found_in in zip(answers, every, strict=True):
                if any(theirs[query] != answers[0][query] for query in shared):
                    names = f"{every[0].request.checkpoint} and {found_in.request.checkpoint}"
                    raise IvxError(
                        f"{task}: the answers of {names} are other tokens, so their logits do not compare: choose one "
                        "spelling for both, such as space"
                    )
            found[task] = shared
        return found

    @cached_property
    def _groups(self) -> Ints:
        """The answer of each query, as a number, the tasks one behind the other; their answers are not shared."""
        named = []
        for task in self.tasks:
            rows = next(t for (named_, *_), t in self.transplants.items() if named_ == task).samples.rows
            answers = {sample.query: sample.answer for sample in rows}
            named += [f"{task} {answers[query]}" for query in self._queries[task]]
        return np.unique(named, return_inverse=True)[1].astype(np.int64)

    def _stacked(self, keys: list[Key], metric: str, role: str) -> Array | None:
        """`[cells, queries of all tasks]`: the effects, averaged over layers; NaN at other tasks' queries. None where
        a transplant lacks the role."""
        counts = [len(self._queries[task]) for task in self.tasks]
        starts = dict(zip(self.tasks, np.cumsum([0, *counts]).tolist(), strict=False))
        found = np.full((len(keys), sum(counts)), np.nan)
        for row, key in zip(found, keys, strict=True):
            by_layer = self.transplants[key].effects(metric, role=role)
            if not by_layer:
                return None
            mean = np.mean([by_layer[layer] for layer in self.averaged], axis=0)
            start, queries = starts[key[0]], self._queries[key[0]]
            row[start : start + len(queries)] = mean[self._order(key)]
        return found

    def _crossed(self, keys: list[Key], metric: str, role: str) -> Array | None:
        """`[2, 2, changes, queries of all tasks]`: row r whose vector, column c in which checkpoint."""
        if not keys:
            return None
        found = []
        for r in (1, 2):
            for c in (1, 2):
                part = self._stacked([(key[0], key[r], key[c]) for key in keys], metric, role)
                if part is None:
                    return None
                found.append(part)
        return np.stack(found).reshape(2, 2, *found[0].shape)

    def _order(self, key: Key) -> list[int]:
        where = {sample.query: k for k, sample in enumerate(self.transplants[key].samples.rows)}
        return [where[query] for query in self._queries[key[0]]]

    def _followed(self, key: Key) -> Share:
        """The share of queries whose likeliest token is the answer, in the mean of the layers."""
        found, order = self.transplants[key], self._order(key)
        rows = by_patch(found.table, role="effect", site=found.component, samples=len(found.samples.rows))
        layers = [rows[patch]["rank"][order] for patch in rows if patch and layer_of(patch) in self.averaged]
        hits = np.stack(layers) == 1.0
        return Share.of(float(hits.mean(axis=0).sum()), hits.shape[1])

    def _counted(self, verdict: Verdict, task: str) -> Verdict:
        """The verdict with the queries of its own task alone counted as undefined."""
        others = sum(len(queries) for name, queries in self._queries.items() if name != task)
        return verdict._replace(undefined=verdict.undefined - others)


def _kept(verdict: Verdict) -> dict[str, Any]:
    return {name: value for name, value in verdict.plain().items() if name in TABLE.names}
