"""Faithfulness: whether the parts that the surrogate names carry the real model's answer.

A circuit C is the n strongest heads, or edges. All others are ablated in the real model, at every token, and the answer
is read again: `(m(C) − m(∅)) / (m(M) − m(∅))`, with m the mean difference of the two logits, M the whole model and ∅
everything ablated. So 0 is no better than nothing, 1 is the whole model; beyond 1, what was left out had worked against
the answer. *Removed* is the same with C itself ablated. Sets of equal size, drawn at random, are the baseline. Parts
are ranked on one half of the samples and tried on the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ivx.analyses.pathways.parts import LEAST
from ivx.stats.intervals import Array, ratio_interval

DRAWS = 8
"""Random sets of each size."""
STEP = 2
"""Factor from one size to the next."""


@dataclass(frozen=True)
class CurvePoint:
    """Faithfulness of the n strongest parts: `kept` alone, with its 95 % bootstrap interval over samples; the mean and
    range of random sets of n; and `removed`, the n strongest ablated."""

    n: int
    kept: float
    low: float
    high: float
    random: float
    random_low: float
    random_high: float
    removed: float


@dataclass(frozen=True)
class Curve:
    """Faithfulness by number of heads or edges (`unit`), `total` in all; m of the whole model and of nothing.

    `area` is the mean of `kept` over the share of parts from 0 to 1, `random_area` the baseline's.
    """

    unit: str
    ablation: str
    samples: int
    total: int
    whole: float
    nothing: float
    points: tuple[CurvePoint, ...]
    area: float
    random_area: float


Measure = Callable[[Sequence[NDArray[np.bool_]]], Array]
"""Takes sets of parts that are kept; returns the logit difference `[sets, samples]`."""


def curve(unit: str, ablation: str, scores: Array, measure: Measure, *, seed: int) -> Curve | None:
    """The curve of parts ranked by absolute `scores`; None where the whole model and nothing hardly differ."""
    total = len(scores)
    sizes = sizes_of(total)
    order = np.argsort(-np.abs(scores), kind="stable")
    rng = np.random.default_rng(seed)
    sets = [np.ones(total, bool), np.zeros(total, bool)]
    for n in sizes:
        top = _set(order[:n], total)
        sets += [top, ~top, *(_set(rng.permutation(total)[:n], total) for _ in range(DRAWS))]
    found = measure(sets)
    whole, nothing = found[0], found[1]
    apart = whole - nothing
    if abs(apart.mean()) < LEAST:
        return None
    tried = [found[2 + i * (2 + DRAWS) : 2 + (i + 1) * (2 + DRAWS)] for i in range(len(sizes))]
    kept = np.stack([part[0] for part in tried])
    bounds = zip(*(ends.tolist() for ends in ratio_interval(kept - nothing, apart, rng=rng)), strict=True)
    points = []
    for n, (alone, removed, *drawn), (low, high) in zip(sizes, tried, bounds, strict=True):
        shares = [_share(m, whole, nothing) for m in drawn]
        points.append(
            CurvePoint(
                n,
                _share(alone, whole, nothing),
                low,
                high,
                float(np.mean(shares)),
                min(shares),
                max(shares),
                _share(removed, whole, nothing),
            )
        )
    areas = [
        _area([0, *sizes], [0.0, *values], total) for values in zip(*((p.kept, p.random) for p in points), strict=True)
    ]
    mean = (float(whole.mean()), float(nothing.mean()))
    return Curve(unit, ablation, found.shape[1], total, *mean, tuple(points), *areas)


def sizes_of(total: int) -> list[int]:
    """The sizes of circuits that are tried, of so many parts."""
    sizes, n = [], 1
    while n < total:
        sizes.append(n)
        n *= STEP
    return [*sizes, total]


def _set(members: NDArray[np.intp], total: int) -> NDArray[np.bool_]:
    found = np.zeros(total, bool)
    found[members] = True
    return found


def _share(m: Array, whole: Array, nothing: Array) -> float:
    return float((m.mean() - nothing.mean()) / (whole.mean() - nothing.mean()))


def _area(sizes: Sequence[int], values: Sequence[float], total: int) -> float:
    return float(np.trapezoid(values, np.array(sizes) / total))


SIZES = (5, 10, 15, 20, 30, 45, 70, 100, 150, 250, 400)
"""Numbers of edges in a drawing."""


@dataclass(frozen=True)
class Explained:
    """The share of the logit that the `edges` strongest edges explain, a ratio of means over samples, with its 95 %
    bootstrap interval; None where the logit is next to nothing."""

    edges: int
    share: float | None
    low: float | None
    high: float | None


def ranked(edges: Array, between: Sequence[bool]) -> NDArray[np.intp]:
    """Flat indices of the edges `[layers, heads, pairs]` between tokens, strongest first."""
    sizes = np.where(np.array(between), np.abs(edges), -1.0).ravel()
    order = np.argsort(-sizes, kind="stable")
    return order[: int((sizes >= 0).sum())]
