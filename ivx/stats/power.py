"""Power: what a "no" is worth. A test that could not have said yes says nothing by saying no."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from scipy import stats

from ivx.stats.flips import least_p
from ivx.stats.intervals import ALPHA, Array


def unable(samples: int, *, cells: int) -> str:
    """Why no test could tell a lone cell of so many from 0, as half a sentence; empty where one could.

    All samples of one sign have p = 2 / 2ⁿ, and of so many cells the best one's p is multiplied by their number.
    """
    if least_p(samples) * cells < ALPHA:
        return ""
    needed = 1 + math.floor(math.log2(cells / ALPHA)) + 1
    if least_p(samples) >= ALPHA:
        return f"with n = {samples} no test can tell anything from 0: ask for {needed} samples"
    return f"with n = {samples} no test can tell one cell alone, of {cells:,}, from 0: ask for {needed} samples"


def room(bounds: Iterable[float]) -> float:
    """The largest effect, either way, that these cells' 95 % intervals leave room for; 0 without cells.

    Args:
        bounds: lower and upper ends.
    """
    return max((abs(end) for end in bounds if math.isfinite(end)), default=0.0)


def least_effect(values: Array) -> float:
    """The smallest mean that samples which spread like these would have told from 0 in one cell of so many; NaN where
    nothing is known of their spread.

    Args:
        values: `[cells, samples]`; of the cells' spreads the median counts.
    """
    cells, n = values.shape
    if n < 2:
        return math.nan
    error = float(np.nanmedian(np.nanstd(values, axis=1, ddof=1))) / math.sqrt(n)
    return error * float(stats.t.ppf(1 - ALPHA / (2 * cells), n - 1))
