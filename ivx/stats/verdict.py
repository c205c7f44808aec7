"""The verdicts on a measured effect: not different from 0, no better than its control, a finding, or undefined."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ivx.stats.intervals import ALPHA, Array, Ints, adjusted, means

EXCESS = 0.1
"""Least excess of a finding over its control, as a share of the effect; the excess must be significant, too."""


class Against(NamedTuple):
    """One control of a cell: its mean with a 95 % interval, and one-sided p of the effect's excess over it."""

    mean: float
    low: float
    high: float
    p: float

    def is_beaten(self, value: float, *, floor: float) -> bool:
        """Whether an effect of this mean beats the control, as a finding must."""
        return bool(_better((value - self.mean) * np.sign(value), abs(value), self.p, floor=floor))


class Verdict(NamedTuple):
    """The verdict on one cell.

    `value` is the mean with its 95 % interval, `p` that of `ivx.stats.intervals.Means`, `same_sign` the share of
    samples with the mean's sign; `control` is the control's mean with its interval, and `p_control` that of the excess
    over it, one-sided: None where there is no control. `others` holds the same of further controls.

    `state` is `zero` (p is .05 or more, or the mean is smaller than the floor), `control` (different from 0 but no
    better than a control, sample by sample: by `p_control`, or by less than the floor or a tenth of itself),
    `ok`, a finding, or `undefined`: no sample has a finite value. Every p is adjusted over the cells that were judged
    together: over those alone that are different from 0, the best of many cells of skewed noise would be called a
    finding too often.

    `undefined` counts the samples that were left out, since their value, or a control's, is not finite.
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
    undefined: int = 0
    others: Mapping[str, Against] = MappingProxyType({})

    def plain(self) -> dict[str, Any]:
        """All but the further controls, by name; ready for JSON."""
        return {name: value for name, value in self._asdict().items() if name != "others"}

    @property
    def against(self) -> dict[str, Against]:
        """Every control by its name, the first as `task`."""
        own = (self.control, self.control_low, self.control_high, self.p_control)
        return ({} if self.control is None else {"task": Against(*own)}) | dict(self.others)  # type: ignore[arg-type]


def verdicts(
    values: Array,
    control: Array | None,
    *,
    floor: float,
    seed: int = 0,
    groups: Ints | None = None,
    shares: bool = False,
    error: tuple[Array, Array] | None = None,
    others: Mapping[str, Array] = MappingProxyType({}),
    beside: Collection[str] = (),
) -> list[Verdict]:
    """Judge the cells of one map.

    Args:
        values, control: `[cells, samples]`, paired; a value that is not finite is left out of its cell.
        floor: the least that counts, in the metric's unit.
        groups, shares: as in `ivx.stats.intervals.means`; `error` is its `beside`, of the values.
        others: further controls, by name; those named in `beside` are compared, and need not be beaten.
    """
    controls = ({} if control is None else {"": control}) | dict(others)
    defined = np.isfinite(values)
    for theirs in controls.values():
        defined &= np.isfinite(theirs)
    values = np.where(defined, values, np.nan)
    own = means(values, seed=seed, groups=groups, shares=shares, beside=error)
    sign, size = np.sign(own.mean), np.abs(own.mean)
    p = adjusted(own.p)
    state = np.where(own.n == 0, "undefined", np.where((p < ALPHA) & (size >= floor), "ok", "zero"))
    against: dict[str, list[Against]] = {}
    for name, theirs in controls.items():
        theirs = np.where(defined, theirs, np.nan)
        # The excess is taken in the effect's own direction, sample by sample, and must be large enough to matter.
        over = means((values - theirs) * sign[:, None], seed=seed, groups=groups, shares=shares)
        p_excess = adjusted(over.p_above)
        better = _better(over.mean, size, p_excess, floor=floor)
        if name not in beside:
            state = np.where((state == "ok") & ~better, "control", state)
        there = means(theirs, seed=seed, groups=groups, shares=shares)
        columns = [there.mean, there.low, there.high, p_excess]
        against[name] = [Against(*cell) for cell in zip(*(column.tolist() for column in columns), strict=True)]
    same = np.divide((np.sign(values) == sign[:, None]).sum(axis=1), own.n, out=np.zeros(len(p)), where=own.n > 0)
    mine = [own.mean, own.low, own.high, p, same, state]
    lacking = (values.shape[1] - own.n).tolist()
    found = []
    for k, cell in enumerate(zip(*(column.tolist() for column in mine), strict=True)):
        of = {name: told[k] for name, told in against.items()}
        own_control = of.pop("", (None,) * 4)
        found.append(Verdict(*cell, *own_control, undefined=lacking[k], others=of))  # type: ignore[misc]
    return found


def _better(excess: Any, size: Any, p: Any, *, floor: float) -> Any:
    """Whether a mean excess over a control is significant, and large enough beside the effect's own size."""
    return (p < ALPHA) & (excess >= np.maximum(floor, EXCESS * size))
