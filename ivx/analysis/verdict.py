"""The three states of a number that was measured: not different from 0, no better than its control, or a finding."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ivx.analysis.statistics import ALPHA, Array, adjusted, mean_interval, sign_flip

EXCESS = 0.1
"""Share of an effect that it must have over its control to be a finding, beside the test's word."""


class Verdict(NamedTuple):
    """Of one cell: mean with a 95 % bootstrap interval, p of sign flips, share of samples with the mean's sign, state,
    and the control's mean with its interval, and p of the excess over it: None where there is no control.

    `state` is `zero` (p is .05 or more, or the mean is smaller than the floor), `control` (different from 0 but no
    better than the control, sample by sample: by `p_control`, or by less than the floor or a tenth of itself), or
    `ok`, a finding. Both p are adjusted over the cells that were judged together.
    """

    value: float
    low: float
    high: float
    p: float
    same_sign: float
    state: str
    control: float | None = None
    control_low: float | None = None
    control_high: float | None = None
    p_control: float | None = None


def verdicts(values: Array, control: Array | None, *, floor: float, seed: int = 0) -> list[Verdict]:
    """Judge the cells of one map.

    Args:
        values, control: `[cells, samples]`, paired.
        floor: the least that counts, in the metric's unit.
    """
    mean = values.mean(axis=1)
    p = adjusted(sign_flip(values, seed=seed))
    same = (np.sign(values) == np.sign(mean)[:, None]).mean(axis=1)
    state = np.where((p >= ALPHA) | (np.abs(mean) < floor), "zero", "ok")
    against: list[Array] = []
    if control is not None:
        # Compared along the effect's own direction, sample by sample; and by enough to speak of.
        excess = (values - control) * np.sign(mean)[:, None]
        p_control = adjusted(sign_flip(excess, seed=seed))
        better = (p_control < ALPHA) & (excess.mean(axis=1) >= np.maximum(floor, EXCESS * np.abs(mean)))
        state = np.where((state == "ok") & ~better, "control", state)
        against = [control.mean(axis=1), *mean_interval(control, seed=seed), p_control]
    columns = [mean, *mean_interval(values, seed=seed), p, same, state, *against]
    return [Verdict(*cell) for cell in zip(*(column.tolist() for column in columns), strict=True)]
