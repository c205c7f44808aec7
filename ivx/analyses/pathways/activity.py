"""Activity: which heads are among the k strongest of their layer, sample by sample, for two instructions.

Strong is a large part of the logit, either way. A head's rate is the share of samples in which it is among the k; two
instructions are asked of the same queries, so that what they share, and how they differ, is drawn anew by query.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.stats import rankdata

from ivx.stats.intervals import Array, share_difference, share_interval

KS = (1, 2)
DRAWS = 500


@dataclass(frozen=True)
class Rate:
    """One head: the share of samples in which it is among the k strongest of its layer, for either instruction, with
    Wilson's 95 % interval, and `difference`, here less there, with Newcombe's."""

    layer: int
    head: int
    here: float
    here_low: float
    here_high: float
    there: float
    there_low: float
    there_high: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Activity:
    """Both instructions' rates for one k, and how alike they are over all heads, each with its 95 % bootstrap interval
    over queries: weighted Jaccard Σmin / Σmax, and Spearman's rank correlation (None where all rates are equal)."""

    k: int
    samples: int
    rates: tuple[Rate, ...]
    jaccard: float
    jaccard_low: float
    jaccard_high: float
    spearman: float | None
    spearman_low: float | None
    spearman_high: float | None

    @property
    def apart(self) -> tuple[Rate, ...]:
        """The heads whose difference is not 0, the largest first."""
        found = [rate for rate in self.rates if rate.low > 0 or rate.high < 0]
        return tuple(sorted(found, key=lambda rate: -abs(rate.difference)))


def activity(own: Array, other: Array, *, k: int, seed: int) -> Activity:
    """The rates of all heads, `k` strongest a layer, from their parts of the logit in the runs of either instruction
    (`scores_of`)."""
    here, there = among(own, k), among(other, k)
    n = len(here)
    one, two = here.mean(axis=0), there.mean(axis=0)
    rates = []
    for layer, head in np.ndindex(*one.shape):
        a, b = float(one[layer, head]), float(two[layer, head])
        bounds = (*share_interval(a * n, n), b, *share_interval(b * n, n), a - b, *share_difference(a, b, n))
        rates.append(Rate(layer, head, a, *bounds))
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=DRAWS) / n
    drawn = [(weights @ some.reshape(n, -1)) for some in (here, there)]
    shared = [_jaccard(a, b) for a, b in zip(*drawn, strict=True)]
    ranked = [rank for a, b in zip(*drawn, strict=True) if (rank := _spearman(a, b)) is not None]
    jaccard, spearman = _jaccard(one.ravel(), two.ravel()), _spearman(one.ravel(), two.ravel())
    low, high = _around(jaccard, shared)
    under, over = (None, None) if spearman is None else _around(spearman, ranked)
    return Activity(k, n, tuple(rates), jaccard, low, high, spearman, under, over)


def scores_of(table: pa.Table, run: str, shape: tuple[int, int, int]) -> Array:
    """Each head's part of the logit in each sample of a run, from the rows of a result, `[samples, layers, heads]`."""
    each = (pc.field("run") == run) & (pc.field("kind") == "head") & pc.field("item").is_valid()
    rows = table.filter(each)
    scores = np.zeros(shape)
    np.add.at(scores, tuple(rows[name].to_numpy() for name in ("item", "layer", "head")), rows["value"].to_numpy())
    return scores


def among(scores: Array, k: int) -> NDArray[np.float64]:
    """1 for the k largest of each layer by size, else 0; of equal ones the first."""
    order = np.argsort(-np.abs(scores), axis=-1, kind="stable")[..., :k]
    found = np.zeros(scores.shape)
    np.put_along_axis(found, order, 1.0, axis=-1)
    return found


def _jaccard(one: Array, two: Array) -> float:
    return float(np.minimum(one, two).sum() / np.maximum(one, two).sum())


def _spearman(one: Array, two: Array) -> float | None:
    if np.ptp(one) == 0 or np.ptp(two) == 0:
        return None
    return float(np.corrcoef(rankdata(one), rankdata(two))[0, 1])


def _around(value: float, drawn: list[float]) -> tuple[float, float]:
    low, high = np.quantile([*drawn, value], (0.025, 0.975)).tolist()
    return min(low, value), max(high, value)
