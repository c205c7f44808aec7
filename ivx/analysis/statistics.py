"""Intervals of means over samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RESAMPLES = 2_000


def mean_interval(
    values: NDArray[np.float64], *, level: float = 0.95, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Percentile bootstrap interval of the mean, samples resampled.

    Args:
        values: `[cells, samples]`; every cell is resampled with the same draws, so maps keep their structure.

    Returns:
        Lower and upper bound, each `[cells]`; equal to the mean where there is one sample or no spread.
    """
    mean = values.mean(axis=1)
    if values.shape[1] < 2:
        return mean, mean
    found = stats.bootstrap(
        (values,),
        np.mean,
        axis=1,
        n_resamples=RESAMPLES,
        batch=200,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return found.low, found.high
