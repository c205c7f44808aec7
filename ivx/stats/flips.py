"""The sign-flip test: is the mean of a symmetric quantity 0? Whole maps at once, every array is `[cells, samples]`.

Up to 12 samples every flip is tried. Beyond, the tail is that of a sum of ± the values seen, which a saddlepoint
approximation gives to about a tenth of itself however far out it lies (Barndorff-Nielsen 1986; for permutation tests
Robinson 1982). So p is not bounded by a number of draws, and one true cell is found among thousands; a bound remains
that no test of signs can pass: two of the 2ⁿ flips are as extreme as n values of one sign.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]

EXACT = 12
"""Up to this many samples every sign flip is tried."""
BLOCK = 2_000_000
"""Numbers alive at once in a table of flips."""
ALONE = 0.3
"""A value whose square is more than this share of all squares is taken apart."""
STEPS = 60
"""Halvings of an interval that holds the saddlepoint: more than a double resolves."""


def sign_flip(values: Array, *, greater: bool = False) -> Array:
    """p of the sign-flip test of symmetry about 0: `[cells]`; NaN marks samples that a cell lacks.

    Args:
        greater: the one-sided p against "not above 0", instead of the two-sided one.
    """
    if not values.size:
        return np.ones(len(values))
    held = np.nan_to_num(values)  # a value of 0 is no evidence either way
    size, total = np.abs(held), held.sum(axis=1)
    if values.shape[1] <= EXACT:
        return _tried(held, total if greater else np.abs(total), both=not greater)
    upper = _tail(size, np.abs(total))
    if not greater:
        return np.minimum(1, 2 * upper)
    # P(S ≥ −s) is 1 − P(S ≥ s), but for the flips whose sum is s, which count on both sides.
    return np.where(total > 0, upper, 1 - upper * (size.sum(axis=1) > 0))


def least_p(samples: Any) -> Any:
    """The least two-sided p that so many samples can have, all of one sign: with five or fewer it is above .05."""
    return np.minimum(1.0, 2.0 ** (1 - np.asarray(samples, dtype=np.float64)))


def _tried(values: Array, total: Array, *, both: bool) -> Array:
    """The share of all flips that reach the total, in size where both sides count."""
    n = values.shape[1]
    bits = np.arange(2 ** (n - both)) >> np.arange(n)[:, None] & 1  # mirror images give the same size
    signs = (1 - 2 * bits).astype(np.float64)
    # Flips whose sum equals the observed one but for rounding count as equal.
    least = total - 1e-12 * np.abs(values).sum(axis=1)
    reached, step = np.zeros(len(values)), max(1, BLOCK // signs.shape[1])
    for start in range(0, len(values), step):
        part = slice(start, start + step)
        sums = values[part] @ signs
        reached[part] = ((np.abs(sums) if both else sums) >= least[part, None]).mean(axis=1)
    return reached


def _tail(size: Array, total: Array) -> Array:
    """P(Σ ± size ≥ total) for totals from 0; exact where the sizes are alike, and where few flips reach the total."""
    size = np.sort(size, axis=1)
    largest, count = size[:, -1], (size > 0).sum(axis=1)
    found = np.full(len(size), 0.5)
    alike = ((size == 0) | (size >= (1 - 1e-9) * largest[:, None])).all(axis=1)
    if alike.any():
        up = (count[alike] + np.rint(total[alike] / np.where(largest[alike] > 0, largest[alike], 1))) / 2
        found[alike] = stats.binom.sf(np.ceil(up) - 1, count[alike], 0.5)
    # A flip reaches the total if the values it turns down sum to no more than this.
    spare = (size.sum(axis=1) - total) / 2 + 1e-12 * size.sum(axis=1)
    counted = ~alike & (((size > 0) & (size <= spare[:, None])).sum(axis=1) <= EXACT)
    if counted.any():
        found[counted] = _counted(size[counted], spare[counted], count[counted])
    rest = ~alike & ~counted & (total > 0)
    # One value that outweighs the others makes two humps, which no saddlepoint sees: its two signs are taken apart.
    alone = rest & (largest**2 > ALONE * np.square(size).sum(axis=1))
    rest &= ~alone
    if rest.any():
        found[rest] = _saddlepoint(size[rest], np.maximum(total[rest] - _half_step(size[rest]), 1e-12 * total[rest]))
    if alone.any():
        others, gap = size[alone, :-1], total[alone] - largest[alone]
        under = _tail(others, np.abs(gap))
        found[alone] = (np.where(gap > 0, under, 1 - under) + _tail(others, total[alone] + largest[alone])) / 2
    return found


def _counted(size: Array, spare: Array, count: Array) -> Array:
    """The share of the 2^count flips that turn down values of a sum within `spare`; at most 12 sizes are as small."""
    width = size.shape[1]
    few = np.where((size > 0) & (size <= spare[:, None]), size, 0)
    some = np.sort(few, axis=1)[:, max(0, width - EXACT) :]
    chosen = (np.arange(2 ** some.shape[1]) >> np.arange(some.shape[1])[:, None] & 1).astype(np.float64)
    idle = 2.0 ** (some == 0).sum(axis=1)  # a size of 0 stands for none: its two choices are one
    step = max(1, BLOCK // chosen.shape[1])
    reached = [
        (some[start : start + step] @ chosen <= spare[start : start + step, None]).sum(axis=1)
        for start in range(0, len(some), step)
    ]
    return np.asarray(np.concatenate(reached) / idle * 0.5**count, dtype=np.float64)


def _half_step(size: Array) -> Array:
    """Half the step between sums of ± sizes that are multiples of one unit, for which a smooth tail is corrected."""
    unit = np.where(size > 0, size, np.inf).min(axis=1)
    times = size / unit[:, None]
    return np.where((np.abs(times - np.rint(times)) < 1e-9).all(axis=1), unit, 0.0)


def _saddlepoint(size: Array, total: Array) -> Array:
    """The tail by the modified root r* = w + log(u / w) / w, from K(θ) = Σ log cosh(θ size) at K′(θ) = total."""
    unit = size.max(axis=1)
    size, total = size / unit[:, None], total / unit
    low, high = np.zeros(len(size)), np.ones(len(size))
    while high.max() < 1e9 and (short := (size * np.tanh(high[:, None] * size)).sum(axis=1) < total).any():
        high[short] *= 2
    for _ in range(STEPS):
        middle = (low + high) / 2
        short = (size * np.tanh(middle[:, None] * size)).sum(axis=1) < total
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    theta = (low + high) / 2
    scaled = theta[:, None] * size
    # log cosh x = |x| + log(1 + exp(−2|x|)) − log 2, which no x overflows.
    cumulant = (scaled + np.log1p(np.exp(-2 * scaled)) - np.log(2)).sum(axis=1)
    curved = np.square(size / np.cosh(np.minimum(scaled, 300))).sum(axis=1)
    w = np.sqrt(np.maximum(2 * (theta * total - cumulant), 0))
    u = theta * np.sqrt(curved)
    near = (w < 1e-3) | (u <= 0)  # the two roots coincide at the centre
    w, u = np.where(near, 1.0, w), np.where(near, 1.0, u)
    root = w + np.log(u / w) / w
    centre = total / np.sqrt(np.square(size).sum(axis=1))
    return np.asarray(stats.norm.sf(np.where(near, centre, root)), dtype=np.float64)
