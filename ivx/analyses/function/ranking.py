"""Rankings of heads: which carry most, and how many two rankings share, beside what chance gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats

from ivx.stats.intervals import Array

LEVEL = 0.95


class Head(NamedTuple):
    """One head."""

    layer: int
    head: int

    def __str__(self) -> str:
        return f"L{self.layer} H{self.head}"


@dataclass(frozen=True)
class Overlap:
    """How far two rankings of the same heads have the same heads at their top.

    Attributes:
        shared: heads among the first `top` of both.
        of: how many heads there are.
        expected, low, high: what two rankings by chance share: the mean, and the bounds of 95 % (hypergeometric).
        p: the probability that chance gives as many or more.
        correlation: Spearman's, over all heads.
        alike: heads that each ranking shares with itself, of one half of its samples with the other: as much as can be
            expected of two rankings of so few samples each.
    """

    shared: int
    top: int
    of: int
    expected: float
    low: int
    high: int
    p: float
    correlation: float
    alike: tuple[int, int]


def order(means: Array) -> list[Head]:
    """All heads, the one of the largest mean effect first, of means `[layers, heads]`; undefined ones last."""
    return [Head(*divmod(int(k), means.shape[1])) for k in np.argsort(-means.ravel(), kind="stable")]


def overlap(one: Array, other: Array, *, top: int) -> Overlap:
    """How alike two rankings are.

    Args:
        one, other: effects `[layers, heads, samples]`.
        top: how many heads count as the top of a ranking.
    """
    means = [average(effects) for effects in (one, other)]
    of = means[0].size
    shared = len(_top(means[0], top) & _top(means[1], top))
    chance = stats.hypergeom(of, top, top)
    low, high = chance.interval(LEVEL)
    correlation = float(stats.spearmanr(means[0].ravel(), means[1].ravel(), nan_policy="omit").statistic)
    return Overlap(
        shared,
        top,
        of,
        top * top / of,
        int(low),
        int(high),
        float(chance.sf(shared - 1)),
        correlation if np.isfinite(correlation) else 0.0,
        (_itself(one, top), _itself(other, top)),
    )


def average(effects: Array) -> Array:
    """Means over the samples that are defined, the last axis; NaN where none is."""
    there = np.isfinite(effects)
    total, n = np.where(there, effects, 0).sum(axis=-1), there.sum(axis=-1)
    return np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0)


def _itself(effects: Array, top: int) -> int:
    halves: Sequence[Array] = [effects[..., k::2] for k in (0, 1)]
    first, second = (_top(average(half), top) for half in halves)
    return len(first & second)


def _top(means: Array, count: int) -> set[Head]:
    return set(order(means)[:count])
