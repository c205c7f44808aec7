"""The paper's own test of super-additivity, as its public script runs it: for comparison, never for a finding.

Per sample it notes whether the pair exceeds the sum, True or False, and t-tests these 0s and 1s against 50.0, as if
they were per cents. No mean of 0s and 1s is near 50, so it passes whatever the data are.
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy import stats

from ivx.stats.intervals import Array

LABEL = "the paper's script (t-test of booleans against 50.0): passes at any data"


def published_p(both: Array, parts: Array) -> float:
    """p of that script for one pair: effects `[samples]` of both, and the sum of the effects of each alone."""
    exceeds = (both > parts).astype(np.float64)
    with warnings.catch_warnings():
        # All True or all False: no spread, of which scipy warns, and p is 0.
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(stats.ttest_1samp(exceeds, 50.0).pvalue)
