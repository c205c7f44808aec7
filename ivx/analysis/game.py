"""The clean game: which blocks' readings of one token carry the instruction, and how far they add up.

A player is a block at which later tokens read the position's keys and values from the instructed run
(`ivx.engine.reading`). Every coalition of blocks is defined and none overwrites another, so the game has Shapley
values, interactions and dividends. Up to ten blocks all coalitions are run; beyond, those of random orders.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from ivx.analysis import coalitions
from ivx.analysis.maps import column_at, columns_of
from ivx.analysis.metrics import find
from ivx.analysis.rows import by_patch, instruction_of, labelled, opened, prepared, told
from ivx.analysis.statistics import Array
from ivx.analysis.verdict import Verdict, verdicts
from ivx.charts.heatmap import signed
from ivx.charts.pairs import Pair, pair_figure
from ivx.engine.reading import SITE, name_of, read_runs
from ivx.errors import IvxError
from ivx.models.model import Model
from ivx.runs.patching import GameRequest
from ivx.tasks.samples import Samples

EXACT = 10
"""Up to so many blocks every coalition is run."""
Progress = Callable[["Game", int, int], None]
"""Called with the result so far, and how many of how many rows are done; what it raises ends the work."""


def game(model: Model | str, task: str, *, on_progress: Progress | None = None, **asked: Any) -> Game:
    """The clean game of one instruction on one checkpoint.

    Args:
        model: a loaded model, or a name to load.
        task: `animal/colour`, or a user's file.
        on_progress: called with the result so far; what it raises ends the work.
        asked: the other fields of `GameRequest`.
    """
    return compute(*opened(GameRequest, model, task, asked), on_progress=on_progress)


def compute(
    model: Model, request: GameRequest, *, on_progress: Progress | None = None, known: pa.Table | None = None
) -> Game:
    """Run a request on a loaded model; a game is played again from its first row, whatever is `known`."""
    began = time.perf_counter()
    samples, receipt = prepared(model, request)
    rows, n = samples.rows, len(samples.rows)
    position = int(column_at(columns_of(model, rows), request.position, rows).position)
    sets, orders = played(request, layers=model.layers)
    members = coalitions.members_of(sets, players=model.layers)
    instructed, _ = told(model, samples)
    finished = [instructed]
    receipt["how"] = "hooks: keys and values of one token"
    total = len(sets) * (n + len(samples.control))
    done = 0

    def result() -> Game:
        table = pa.concat_tables(finished)
        known = {**receipt, "rows": table.num_rows, "seconds": round(time.perf_counter() - began, 3)}
        return Game(request, table, samples, sets, orders, position, model.layers, known)

    for role, sources in (("effect", rows), ("control", samples.control)):
        if not sources:
            continue

        for batch in read_runs(
            model,
            source=[instruction_of(request, s) for s in sources],
            target=[s.target for s in rows],
            answer=[s.answer_id for s in rows],
            contrast=[s.contrast_id for s in rows],
            position=position,
            coalitions=members,
        ):
            finished.append(labelled(pa.Table.from_batches([batch]), role, SITE))
            done += batch.num_rows
            if on_progress is not None:
                on_progress(result(), done, total)
    return result()


def played(request: GameRequest, *, layers: int) -> tuple[coalitions.Sets, coalitions.Sets | None]:
    """The coalitions that are run, and the sampled orders they come from; None where every one is run."""
    if layers <= EXACT:
        return np.arange(2**layers), None
    orders = coalitions.orders(layers, request.permutations, seed=request.seed)
    return coalitions.sets_along(orders), orders


@dataclass(frozen=True)
class Game:
    """A result: one row per sample × coalition × role. Players are blocks, numbered from 0.

    `sets` numbers the coalitions by bits; `orders` are the sampled orders, None where every coalition is run.
    """

    request: GameRequest
    table: pa.Table
    samples: Samples
    sets: coalitions.Sets
    orders: coalitions.Sets | None
    position: int
    layers: int
    receipt: dict[str, Any]

    @property
    def run_id(self) -> str:
        """Address of this result."""
        return str(self.receipt["run"])

    def values(self, metric: str = "contrast", *, role: str = "effect") -> Array:
        """Effect of every coalition, `[samples, coalitions]` in the order of `sets`; of a finished game."""
        view = find(metric)
        found = by_patch(self.table, role=role, site=SITE, samples=len(self.samples.rows))
        names = [name_of(blocks, self.position) for blocks in self._members]
        return np.stack([view.effect(found[name], found[""]) for name in names], axis=1)

    def shapley(self, metric: str = "contrast") -> list[Verdict]:
        """Of each block: its Shapley value, judged against the control's."""
        return self._judged(metric, self._shapley)

    def interactions(self, metric: str = "contrast") -> dict[tuple[int, int], Verdict]:
        """Of each pair of blocks (earlier, later): its Shapley interaction index, judged against the control's.

        Pairs that are neighbours in none of the sampled orders are left out.
        """
        pairs = [(i, j) for j in range(self.layers) for i in range(j)]
        if self.orders is not None:
            met = {tuple(sorted(pair)) for order in self.orders.tolist() for pair in pairwise(order)}
            pairs = [pair for pair in pairs if pair in met]
        first, second = np.array(pairs).T
        judged = self._judged(metric, lambda values: self._interactions(values)[:, first, second])
        return dict(zip(pairs, judged, strict=True))

    def pair_map(self, metric: str = "contrast") -> dict[tuple[int, int], Verdict]:
        """Of each pair of blocks: J = f(ij) − f(i) − f(j), judged against the control's. Needs every coalition."""
        first, second = np.array([(i, j) for j in range(self.layers) for i in range(j)]).T
        judged = self._judged(metric, lambda values: coalitions.pair_map(self._whole(values))[:, first, second])
        return dict(zip(zip(first.tolist(), second.tolist(), strict=True), judged, strict=True))

    def pairs(self, metric: str = "contrast") -> list[Pair]:
        """The pairs of blocks with their Shapley interaction, as a map shows them."""
        return [
            Pair(low, high, f"{low},{high}", v.value, v.state, "", f"L{low}, L{high}: {signed(v.value, 2)} "
                 f"[{signed(v.low, 2)}, {signed(v.high, 2)}]")
            for (low, high), v in self.interactions(metric).items()
        ]  # fmt: skip

    def figures(self, metric: str = "contrast") -> dict[str, dict[str, Any]]:
        """The pair map as it would be printed, a Vega-Lite spec by name."""
        view = find(metric)
        title = f"Shapley interaction, keys and values: {view.label}, {view.unit}"
        return {"pairs": pair_figure(self.pairs(metric), layers=self.layers, title=title)}

    def chart(self, metric: str = "contrast") -> Any:
        """The pair map as an Altair chart."""
        from ivx.charts.figure import beside

        return beside(list(self.figures(metric).values()))

    def dividends(self, metric: str = "contrast") -> dict[tuple[int, ...], float]:
        """Harsanyi dividend of each coalition, mean over samples. Needs every coalition."""
        found = coalitions.dividends(self._whole(self.values(metric).mean(axis=0)))
        return dict(zip(self._members, found.tolist(), strict=True))

    def additivity(self, metric: str = "contrast") -> float:
        """R² of each sample's best additive model over the coalitions that were run; 1 is linear."""
        return coalitions.additivity(self._members, self.values(metric), players=self.layers)

    @property
    def _members(self) -> list[tuple[int, ...]]:
        return coalitions.members_of(self.sets, players=self.layers)

    def _whole(self, values: Array) -> Array:
        if self.orders is not None:
            raise IvxError(
                f"with {self.layers} blocks coalitions are sampled, up to {EXACT} all are run: use shapley or "
                "interactions, which hold of samples"
            )
        return values

    def _shapley(self, values: Array) -> Array:
        if self.orders is None:
            return coalitions.shapley(values)
        return coalitions.sampled_shapley(partial(self._at, values), self.orders)

    def _interactions(self, values: Array) -> Array:
        if self.orders is None:
            return coalitions.shapley_interaction(values)
        return coalitions.sampled_interaction(partial(self._at, values), self.orders)

    def _at(self, values: Array, sets: coalitions.Sets) -> Array:
        return values[..., np.searchsorted(self.sets, sets)]

    def _judged(self, metric: str, index: Callable[[Array], Array]) -> list[Verdict]:
        """Verdicts on an index of the game, `[samples, cells]` for values `[samples, coalitions]`."""
        mine = index(self.values(metric)).T
        theirs = index(self.values(metric, role="control")).T if self.samples.control else None
        return verdicts(mine, theirs, floor=find(metric).floor, seed=self.request.seed)
