"""The result of a clean game: every coalition's effect, blocks' Shapley values, and pairs' interactions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from ivx.analyses.base import Result
from ivx.analyses.game.players import EXACT, Blocks, Players, name, partitions, told
from ivx.analyses.game.request import GameRequest
from ivx.charts.numbers import signed
from ivx.charts.pairs import Laid, Pair, pair_figure
from ivx.engine.address import KEYS_VALUES, coalition
from ivx.errors import IvxError
from ivx.formats.plotted import Plotted, judged
from ivx.patching.table import by_patch
from ivx.stats import coalitions
from ivx.stats.intervals import Array
from ivx.stats.metrics import find
from ivx.stats.verdict import Verdict, verdicts
from ivx.tasks.samples import Samples

DOUBLINGS = 3
"""How often the number of orders is doubled at most, until their halves agree."""
SETTLED = 0.7
"""Correlation of the maps from two halves of the orders from which on no more are drawn."""


def played(
    request: GameRequest, *, players: Players, doublings: int = 0
) -> tuple[coalitions.Sets, coalitions.Sets | None]:
    """The coalitions that are run, and the sampled orders they come from; None where every one is run.

    Orders that were drawn stay the first ones when their number is doubled.
    """
    if len(players) <= EXACT:
        return np.arange(2 ** len(players)), None
    orders = coalitions.orders(len(players), request.permutations * 2**doublings, seed=request.seed)
    return coalitions.sets_along(orders), orders


def blocks_of(sets: coalitions.Sets, players: Players) -> list[Blocks]:
    """The blocks of each coalition."""
    chosen = coalitions.members_of(sets, players=len(players))
    return [tuple(i for k in members for i in players[k]) for members in chosen]


@dataclass(frozen=True, kw_only=True)
class Game(Result[GameRequest]):
    """A result: one row per sample × coalition × role. Players are numbered from 0, the earliest blocks first.

    `players` are the blocks; beyond `EXACT` of them groups of adjacent ones and the blocks of opened groups, none
    before the first partition is played. `sets` holds the coalitions as bit masks of players; `orders`, the sampled
    orders, is None where every one is run.
    """

    samples: Samples
    players: Players
    sets: coalitions.Sets
    orders: coalitions.Sets | None
    position: int

    def values(self, metric: str = "contrast", *, role: str = "effect") -> Array:
        """Effect of every coalition, `[samples, coalitions]` in the order of `sets`; needs a finished game."""
        view = find(metric)
        found = by_patch(self.table, role=role, site=KEYS_VALUES, samples=len(self.samples.rows))
        names = [coalition(blocks, self.position) for blocks in blocks_of(self.sets, self.players)]
        return np.stack([view.effect(found[name], found[""]) for name in names], axis=1)

    def shapley(self, metric: str = "contrast") -> list[Verdict]:
        """The Shapley value of each player, judged against the control's."""
        return self._judged(metric, self._shapley, lambda orders: orders[0])

    def interactions(self, metric: str = "contrast") -> dict[tuple[int, int], Verdict]:
        """The Shapley interaction index of each pair of players (earlier, later), judged against the control's.

        Where orders are sampled, an interval is for new samples and new orders; pairs that are neighbours in fewer than
        two of them have none, and are left out.
        """
        pairs = [(i, j) for j in range(len(self.players)) for i in range(j)]
        if self.orders is not None:
            met = Counter(frozenset(pair) for order in self.orders[::2].tolist() for pair in pairwise(order))
            pairs = [pair for pair in pairs if met[frozenset(pair)] > 1]
            if not pairs:
                return {}
        first, second = np.array(pairs).T
        judged = self._judged(
            metric,
            lambda values: self._interactions(values)[:, first, second],
            lambda orders: coalitions.Orders(*(part[first, second] for part in orders[1])),
        )
        return dict(zip(pairs, judged, strict=True))

    def halves(self, metric: str = "contrast") -> tuple[float, float] | None:
        """How settled the sampled map of pairs is (`ivx.stats.coalitions.halves`); None where no order was sampled."""
        if self.orders is None:
            return None
        return coalitions.halves(self._mean(metric), self.orders)

    def _mean(self, metric: str) -> Callable[[coalitions.Sets], Array]:
        """The mean game over the samples that are defined, as a function of sets."""
        values = self.values(metric)
        return partial(self._at, values[np.isfinite(values).all(axis=1)].mean(axis=0))

    def pair_map(self, metric: str = "contrast") -> dict[tuple[int, int], Verdict]:
        """J = f(ij) − f(i) − f(j) of each pair of players, judged against the control's. Needs every coalition."""
        first, second = np.array([(i, j) for j in range(len(self.players)) for i in range(j)]).T
        judged = self._judged(metric, lambda values: coalitions.pair_map(self._whole(values))[:, first, second])
        return dict(zip(zip(first.tolist(), second.tolist(), strict=True), judged, strict=True))

    @property
    def names(self) -> tuple[str, ...]:
        """What the players are called."""
        return tuple(map(name, self.players))

    def laid(self, metric: str = "contrast") -> Laid:
        """The pairs of players with their Shapley interaction, on a map."""
        names, found = self.names, []
        for (low, high), v in self.interactions(metric).items():
            told = f"{names[low]}, {names[high]}: {signed(v.value, 2)} [{signed(v.low, 2)}, {signed(v.high, 2)}]"
            pair = f"{names[low]} with {names[high]}"
            found.append(Pair(low, high, f"{low},{high}", v.value, v.state, "", told, pair, high, low))
        return Laid(tuple(found), names, names[:-1], layers=len(names) == self.layers)

    def note(self) -> str:
        """What the players are where some are groups, and why some of these were opened; else empty."""
        said = told(self.players)
        *_, groups = partitions(self.layers)
        inside = [name(group) for group in groups if len(group) > 1 and group not in self.players]
        if not said or len(self.players) < len(groups):
            return said
        if not inside:
            return said
        return f"{said}, since {', '.join(inside)} did most; they were chosen on these samples"

    @property
    def figure_names(self) -> tuple[str, ...]:
        """The pair map."""
        return ("pairs",)

    def figures(self, metric: str = "contrast") -> dict[str, dict[str, Any]]:
        """The pair map as it would be printed, a Vega-Lite spec by name."""
        view = find(metric)
        title = f"Shapley interaction, keys and values: {view.label}"
        return {"pairs": pair_figure(self.laid(metric), title=title, unit=view.unit)}

    def drawn(self, metric: str = "contrast") -> Iterator[Plotted]:
        """What the figures show, a number at a time (`ivx.formats.plotted`)."""
        n = len(self.samples.rows)
        for pair, verdict in self.interactions(metric).items():
            low, high = (self.names[k] for k in pair)
            label, layer = f"{low} with {high}", self.players[pair[1]][0]
            yield judged(verdict, "pairs", ",".join(map(str, pair)), label=label, layer=layer, n=n, metric=metric)

    def summary(self, metric: str = "contrast") -> dict[str, Any]:
        """The receipt, how additive the game is, and every block's and pair's verdict."""
        return {
            **self.receipt,
            "metric": metric,
            "additivity": self.additivity(metric),
            "orders": self._told_orders(metric),
            "players": self.note(),
            "blocks": [
                {"layer": player[0], "name": name(player), **verdict.plain()}
                for player, verdict in zip(self.players, self.shapley(metric), strict=True)
            ],
            "pairs": [
                {
                    "first": self.players[first][0],
                    "second": self.players[second][0],
                    "names": [self.names[first], self.names[second]],
                    **verdict.plain(),
                }
                for (first, second), verdict in self.interactions(metric).items()
            ],
        }

    def _told_orders(self, metric: str) -> dict[str, float] | None:
        found = self.halves(metric)
        if found is None or self.orders is None:
            return None
        return {"count": len(self.orders), "halves": found[0], "doubled": found[1]}

    def dividends(self, metric: str = "contrast") -> dict[tuple[int, ...], float]:
        """Harsanyi dividend of each coalition, mean over samples. Needs every coalition."""
        found = coalitions.dividends(self._whole(np.nanmean(self.values(metric), axis=0)))
        return dict(zip(self._members, found.tolist(), strict=True))

    def additivity(self, metric: str = "contrast") -> float:
        """R² of each sample's best additive model over the coalitions that were run; 1 is linear."""
        return coalitions.additivity(self._members, self.values(metric), players=len(self.players))

    @property
    def _members(self) -> list[tuple[int, ...]]:
        return coalitions.members_of(self.sets, players=len(self.players))

    def _whole(self, values: Array) -> Array:
        if self.orders is not None:
            raise IvxError(
                f"with {len(self.players)} players coalitions are sampled, up to {EXACT} all are run: use shapley or "
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

    def _judged(
        self,
        metric: str,
        index: Callable[[Array], Array],
        drawn: Callable[[tuple[coalitions.Orders, coalitions.Orders]], coalitions.Orders] | None = None,
    ) -> list[Verdict]:
        """Verdicts on an index of the game, `[samples, cells]` for values `[samples, coalitions]`; where orders are
        sampled, `drawn` picks what their draw leaves open."""
        error = None
        if self.orders is not None and drawn is not None:
            found = drawn(coalitions.orders_error(self._mean(metric), self.orders))
            error = found.error, found.freedom
        mine = index(self.values(metric)).T
        theirs = index(self.values(metric, role="control")).T if self.samples.control else None
        view = find(metric)
        return verdicts(
            mine,
            theirs,
            floor=view.floor,
            shares=view.shares,
            groups=self.samples.groups,
            error=error,
            seed=self.request.seed,
        )
