"""The three verdicts on a measured effect: not different from 0, no better than its control, or a finding."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ivx.stats.intervals import ALPHA, Array, adjusted, mean_interval, sign_flip

EXCESS = 0.1
"""Least excess of a finding over its control, as a share of the effect; the excess must be significant, too."""


class Against(NamedTuple):
    """One control of a cell: its mean with a 95 % bootstrap interval, and p of the effect's excess over it."""

    mean: float
    low: float
    high: float
    p: float

    def is_beaten(self, value: float, *, floor: float) -> bool:
        """Whether an effect of this mean beats the control, as a finding must."""
        return bool(_better((value - self.mean) * np.sign(value), abs(value), self.p, floor=floor))


class Verdict(NamedTuple):
    """The verdict on one cell.

    `value` is the mean with its 95 % bootstrap interval, `p` of sign flips, `same_sign` the share of samples with the
    mean's sign; `control` is the control's mean with its interval, and `p_control` of the excess over it: None where
    there is no control. `others` holds the same of further controls.

    `state` is `zero` (p is .05 or more, or the mean is smaller than the floor), `control` (different from 0 but no
    better than a control, sample by sample: by `p_control`, or by less than the floor or a tenth of itself), or
    `ok`, a finding. Every p is adjusted over the cells that were judged together.
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
    others: Mapping[str, Array] = MappingProxyType({}),
    beside: Collection[str] = (),
) -> list[Verdict]:
    """Judge the cells of one map.

    Args:
        values, control: `[cells, samples]`, paired.
        floor: the least that counts, in the metric's unit.
        others: further controls, by name; those named in `beside` are compared, and need not be beaten.
    """
    mean = values.mean(axis=1)
    p = adjusted(sign_flip(values, seed=seed))
    same = (np.sign(values) == np.sign(mean)[:, None]).mean(axis=1)
    state = np.where((p >= ALPHA) | (np.abs(mean) < floor), "zero", "ok")
    against: dict[str, list[Against]] = {}
    for name, theirs in (({} if control is None else {"": control}) | dict(others)).items():
        # The excess is taken in the effect's own direction, sample by sample, and must be large enough to matter.
        excess = (values - theirs) * np.sign(mean)[:, None]
        p_excess = adjusted(sign_flip(excess, seed=seed))
        better = _better(excess.mean(axis=1), np.abs(mean), p_excess, floor=floor)
        if name not in beside:
            state = np.where((state == "ok") & ~better, "control", state)
        columns = [theirs.mean(axis=1), *mean_interval(theirs, seed=seed), p_excess]
        against[name] = [Against(*cell) for cell in zip(*(column.tolist() for column in columns), strict=True)]
    own = [mean, *mean_interval(values, seed=seed), p, same, state]
    found = []
    for k, cell in enumerate(zip(*(column.tolist() for column in own), strict=True)):
        of = {name: told[k] for name, told in against.items()}
        found.append(Verdict(*cell, *of.pop("", (None,) * 4))._replace(others=of))
    return found


def _better(excess: Any, size: Any, p: Any, *, floor: float) -> Any:
    """Whether a mean excess over a control is significant, and large enough beside the effect's own size."""
    return (p < ALPHA) & (excess >= np.maximum(floor, EXCESS * size))
