"""The three states of a number that was measured: not different from 0, no better than its control, or a finding."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ivx.analysis.statistics import ALPHA, Array, adjusted, mean_interval, sign_flip

EXCESS = 0.1
"""Share of an effect that it must have over its control to be a finding, beside the test's word."""


class Verdicts(NamedTuple):
    """Of each cell: mean with a 95 % bootstrap interval, p (sign flips, adjusted over these cells), share of samples
    with the mean's sign, state, and the same of its control: None throughout where there is none.

    `state` is `zero` (p is .05 or more, or the mean is smaller than the floor), `control` (different from 0 but no
    better than the control: by `p_control`, the adjusted p of the excess over it sample by sample, or by less than the
    floor or a tenth of itself), or `ok`, a finding.
    """

    mean: Array
    low: Array
    high: Array
    p: Array
    same_sign: Array
    state: NDArray[np.str_]
    control: Array | None
    control_low: Array | None
    control_high: Array | None
    p_control: Array | None


def verdicts(values: Array, control: Array | None, *, floor: float, seed: int = 0) -> Verdicts:
    """Judge the cells of one map.

    Args:
        values, control: `[cells, samples]`, paired.
        floor: the least that counts, in the metric's unit.
    """
    mean = values.mean(axis=1)
    low, high = mean_interval(values, seed=seed)
    p = adjusted(sign_flip(values, seed=seed))
    same = (np.sign(values) == np.sign(mean)[:, None]).mean(axis=1)
    nothing = (p >= ALPHA) | (np.abs(mean) < floor)
    if control is None:
        return Verdicts(mean, low, high, p, same, np.where(nothing, "zero", "ok"), None, None, None, None)
    # Compared along the effect's own direction, sample by sample; and by enough to speak of.
    excess = (values - control) * np.sign(mean)[:, None]
    p_control = adjusted(sign_flip(excess, seed=seed))
    better = (p_control < ALPHA) & (excess.mean(axis=1) >= np.maximum(floor, EXCESS * np.abs(mean)))
    state = np.where(nothing, "zero", np.where(better, "ok", "control"))
    return Verdicts(
        mean, low, high, p, same, state, control.mean(axis=1), *mean_interval(control, seed=seed), p_control
    )
