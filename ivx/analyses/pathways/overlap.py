"""Overlap: whether two kinds of runs take the same edges, layer by layer, against how alike one kind is to itself.

Maps are compared by shares: a layer's absolute mean contributions, divided by their sum, so that a larger answer
does not count as another route. Means over few samples differ by chance, so both overlaps are taken between means over
halves of the samples: *between* the two kinds, each on its own half, and the *reference*, one kind on both halves.
The test exchanges the two runs of a query at random: if the kinds are alike, that changes nothing. They are unlike in
their means, or in their spread about equal means, which lowers the overlap of the noisier kind as well; so a second
test, of means alone, stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ivx.stats.intervals import ALPHA, Array, adjusted

SPLITS = 40
"""Random splits into halves."""
RANKED = 8
"""Pairs of maps whose ranks and top edges are compared; their mean varies little."""
EXCHANGES = 999
TESTED = 2
"""Splits that are compared at every exchange."""
TOPS = (1, 2, 5, 10, 20, 30, 50, 100, 200, 500)
BLOCK = 2_000_000
"""Most numbers in memory at once."""


@dataclass(frozen=True)
class LayerOverlap:
    """One layer: weighted Jaccard Σmin / Σmax between the kinds, with its 95 % range over random halves; the reference,
    of one kind with itself; Spearman's rank correlation for both; p that the kinds are alike, and `p_means` that their
    means are, whatever their spread, each adjusted over the layers. `p_means` is None in runs made before it was."""

    layer: int
    jaccard: float
    low: float
    high: float
    reference: float
    spearman: float | None
    spearman_reference: float | None
    p: float | None
    p_means: float | None = None

    @property
    def apart(self) -> str:
        """`means` where the kinds take other routes, `either` where they differ in these or in spread, or empty."""
        if self.p is None or self.p >= ALPHA:
            return ""
        return "means" if self.p_means is not None and self.p_means < ALPHA else "either"


@dataclass(frozen=True)
class Top:
    """The share of the n strongest edges, all layers together, that both kinds have, and the reference."""

    n: int
    shared: float
    reference: float


@dataclass(frozen=True)
class Overlap:
    """Two kinds of runs compared: `one` and `other` say which."""

    one: str
    other: str
    samples: int
    layers: tuple[LayerOverlap, ...]
    tops: tuple[Top, ...]


def overlap(one: Array, other: Array, *, names: tuple[str, str], seed: int = 0) -> Overlap:
    """Compare two kinds of runs of the same queries.

    Args:
        one, other: signed contributions `[samples, layers, edges]`; a sample is the same query in both.
    """
    n, layers, _ = one.shape
    splits = list(_halves(n, seed))
    between, reference = [], []
    for first, second in splits:
        a, b, c, d = (values[half].mean(axis=0) for values in (one, other) for half in (first, second))
        between += [(a, d), (c, b)]
        reference += [(a, b), (c, d)]
    p: Sequence[float | None] = _exchanged(one, other, seed) if n > 1 else [None] * layers
    found = _layers(between, reference, p)
    if n > 1:
        tested = zip(found, _flipped(one, other, seed), strict=True)
        found = tuple(replace(layer, p_means=of_means) for layer, of_means in tested)
    return Overlap(*names, n, found, _tops(between, reference))


def compared(one: tuple[Array, Array], other: tuple[Array, Array], *, names: tuple[str, str], samples: int) -> Overlap:
    """Compare mean maps `[layers, edges]` of one fixed split, such as two checkpoints' of the same samples: no test."""
    between, reference = [(one[0], other[1]), (other[0], one[1])], [one, other]
    return Overlap(*names, samples, _layers(between, reference, [None] * len(one[0])), _tops(between, reference))


Pairs = Sequence[tuple[Array, Array]]
"""Pairs of mean maps `[layers, edges]` to compare; the two pairs of a split are one draw."""


def _layers(between: Pairs, reference: Pairs, p: Sequence[float | None]) -> tuple[LayerOverlap, ...]:
    here, own = (np.array([jaccard(*pair) for pair in pairs]) for pairs in (between, reference))
    ranks, own_ranks = (_mean([spearman(*pair) for pair in pairs[:RANKED]]) for pairs in (between, reference))
    low, high = np.quantile(here.reshape(-1, 2, here.shape[1]).mean(axis=1), (0.025, 0.975), axis=0).tolist()
    return tuple(
        LayerOverlap(
            layer, float(value), low[layer], high[layer], float(same), ranks[layer], own_ranks[layer], p[layer]
        )
        for layer, (value, same) in enumerate(zip(here.mean(0), own.mean(0), strict=True))
    )


def jaccard(one: Array, other: Array) -> Array:
    """Σmin / Σmax of shares, over the last axis; 1 where both are all 0."""
    a, b = _shares(one), _shares(other)
    most = np.maximum(a, b).sum(-1)
    return np.divide(np.minimum(a, b).sum(-1), most, out=np.ones_like(most), where=most > 0)


def spearman(one: Array, other: Array) -> list[float | None]:
    """Rank correlation of absolute contributions, by layer, over edges that either has; None where one is constant."""
    found: list[float | None] = []
    for a, b in zip(np.abs(one), np.abs(other), strict=True):
        there = (a > 0) | (b > 0)
        varies = there.sum() > 2 and np.ptp(a[there]) > 0 and np.ptp(b[there]) > 0
        found.append(float(stats.spearmanr(a[there], b[there]).statistic) if varies else None)
    return found


def _shares(values: Array) -> Array:
    size = np.abs(values)
    whole = size.sum(-1, keepdims=True)
    return np.divide(size, whole, out=np.zeros_like(size), where=whole > 0)


def _mean(rows: Sequence[Sequence[float | None]]) -> list[float | None]:
    columns = zip(*rows, strict=True)
    return [None if None in column else float(np.mean(np.array(column, dtype=float))) for column in columns]


def _halves(n: int, seed: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    rng = np.random.default_rng(seed)
    for _ in range(SPLITS):
        order = rng.permutation(n)
        yield (order[: n // 2], order[n // 2 :]) if n > 1 else (order, order)


def _tops(between: Pairs, reference: Pairs) -> tuple[Top, ...]:
    edges = between[0][0].size
    return tuple(
        Top(n, *(float(np.mean([_shared(*pair, n) for pair in pairs[:RANKED]])) for pairs in (between, reference)))
        for n in TOPS
        if n <= edges
    )


def _shared(one: Array, other: Array, n: int) -> float:
    tops = [set(np.argpartition(-np.abs(values).ravel(), n - 1)[:n].tolist()) for values in (one, other)]
    return len(tops[0] & tops[1]) / n


def _exchanged(one: Array, other: Array, seed: int) -> list[float]:
    """p of each layer: how often overlap falls as far below the reference with runs exchanged at random.

    The test is of this difference, not of the overlap itself: where two kinds pull an edge in opposite ways, exchanged
    means are near 0 and overlap by chance alone.
    """
    n, layers, edges = one.shape
    signs = np.random.default_rng(seed).integers(2, size=(EXCHANGES, n)).astype(np.float64)
    signs = np.vstack([np.zeros(n), signs])  # the first is what was seen
    splits = list(_halves(n, seed))[:TESTED]
    behind = np.zeros((layers, len(signs)))
    for layer in range(layers):
        for start in range(0, len(signs), step := max(1, BLOCK // edges)):
            drawn = signs[start : start + step]
            for halves in splits:
                (a, b), (c, d) = (_means(one[half, layer], other[half, layer], drawn[:, half]) for half in halves)
                apart = jaccard(a, c) + jaccard(b, d) - jaccard(a, d) - jaccard(b, c)
                behind[layer, start : start + step] += apart
    reached = (behind[:, 1:] >= behind[:, :1] - 1e-12).sum(axis=1)
    return [float(p) for p in adjusted((reached + 1) / (EXCHANGES + 1))]


def _flipped(one: Array, other: Array, seed: int) -> list[float]:
    """p of each layer that both kinds have the same mean map but for a factor: differences of the two runs of a query
    are flipped in sign, which unequal spread leaves as they are.

    A map is divided by its length without its noise, from products of different samples: the length of a mean grows
    with its noise, so that of two equal routes the noisier would seem another.
    """
    lengths = [_length(values) for values in (one, other)]
    apart = one / lengths[0][:, None] - other / lengths[1][:, None]
    signs = 1 - 2 * np.random.default_rng(seed).integers(2, size=(EXCHANGES, len(one))).astype(np.float64)
    signs = np.vstack([np.ones(len(one)), signs])  # the first is what was seen
    found = []
    for layer in np.moveaxis(apart, 1, 0):
        square = np.square(layer).sum(axis=0)
        weight = np.divide(1, square, out=np.zeros_like(square), where=square > 0)
        reach = np.concatenate(
            [
                np.square(part @ layer) @ weight
                for part in np.array_split(signs, 1 + signs.shape[0] * layer.shape[1] // BLOCK)
            ]
        )
        found.append(((reach[1:] >= reach[0] * (1 - 1e-12)).sum() + 1) / (EXCHANGES + 1))
    return [float(p) for p in adjusted(np.array(found))]


def _length(values: Array) -> Array:
    """The length of each layer's mean map `[layers]`, without the part that is noise."""
    n = len(values)
    crossed = np.square(values.sum(axis=0)) - np.square(values).sum(axis=0)
    return np.sqrt(np.maximum(crossed.sum(axis=-1) / (n * (n - 1)), 1e-30))


def _means(one: Array, other: Array, signs: Array) -> tuple[Array, Array]:
    """Means of both kinds `[draws, edges]` with some runs exchanged."""
    change = signs @ (other - one) / len(one)
    return one.mean(axis=0) + change, other.mean(axis=0) - change
