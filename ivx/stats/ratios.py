"""Ratios of two means over the same samples, with their intervals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ivx.stats.intervals import Array, Ints, mean_interval


class Ratio(NamedTuple):
    """Mean over mean, with its 95 % interval."""

    value: float
    low: float
    high: float


def ratios(values: Array, whole: Array, *, seed: int = 0, groups: Ints | None = None) -> list[Ratio | None]:
    """The mean of each row of `values` `[cells, samples]` over the mean of `whole` `[samples]`, paired.

    The interval is that of the mean of `(value − ratio · whole) / mean(whole)`, by `mean_interval`. None where the
    interval of `whole` holds 0: a share of what may be nothing is none.
    """
    there = np.isfinite(whole) & np.isfinite(values).all(axis=0)
    if there.sum() < 2:
        return [None] * len(values)
    values, whole = values[:, there], whole[there]
    within = None if groups is None else groups[there]
    (low,), (high,) = mean_interval(whole[None], seed=seed, groups=within)
    if low <= 0 <= high:
        return [None] * len(values)
    mean = whole.mean()
    found = values.mean(axis=1) / mean
    rest = (values - found[:, None] * whole) / mean
    lows, highs = mean_interval(rest, seed=seed, groups=within)
    return [Ratio(*map(float, (r, r + a, r + b))) for r, a, b in zip(found, lows, highs, strict=True)]
