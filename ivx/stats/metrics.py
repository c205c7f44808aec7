"""Metrics: views of a sweep's sufficient numbers. Switching between them never reruns the model.

Each compares a patched row (PT) with the unpatched run of the same sample (TO); positive is toward the answer,
except for the divergence, which has no direction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ivx.errors import IvxError

Columns = dict[str, NDArray[np.float64]]
"""Sufficient numbers by name (`logit`, `contrast`, `logsumexp`, `rank`, `kl_target`, …), arrays of one shape; those of
an undefined row are NaN, and so is every metric of it."""


@dataclass(frozen=True)
class Metric:
    """One way to read a row; `measure` gives the level m, and the effect is m(PT) − m(TO).

    `shares` says that m lies between 0 and 1, and of many samples may move in few; `linear`, that it is linear in
    logits, so that an interaction in it is none of its own bend. `ends` say what less and more of it mean. `needs` are
    numbers beyond those of a row, which effects alone have: of the told run of the same sample, and whether the top
    token is an option. `change` stands in place of m(PT) − m(TO). With `against` another run is what 0 means, and
    controls are shown beside it, not to be beaten.
    """

    name: str
    label: str
    unit: str
    about: str
    floor: float
    measure: Callable[[Columns], NDArray[np.float64]]
    shares: bool = False
    linear: bool = False
    ends: tuple[str, str] = ("away", "toward the answer")
    needs: tuple[str, ...] = ()
    change: Callable[[Columns, Columns], NDArray[np.float64]] | None = None
    against: str = ""

    def effect(self, patched: Columns, unpatched: Columns) -> NDArray[np.float64]:
        """Effect of each row; the divergence is already relative to the unpatched run.

        Raises:
            IvxError: the rows lack what the metric needs.
        """
        if lacking := [name for name in self.needs if name not in patched]:
            raise IvxError(
                f"the metric {self.name} needs {lacking[0].replace('_', ' ')} beside a row, as only effects and scans "
                "have: choose another"
            )
        if self.change is not None:
            return self.change(patched, unpatched)
        return self.measure(patched) - self.measure(unpatched)


FALLEN = 1_000
"""The rank past which the paper's code counts −1."""


def _contrast(columns: Columns) -> NDArray[np.float64]:
    return columns["logit"] - columns["contrast"]


def _recovered(patched: Columns, unpatched: Columns) -> NDArray[np.float64]:
    """How each sample moves the ratio of the means, which is their mean.

    With moved `n`, to be recovered `d` and ratio R it is R + (n − R d) / mean(d): a sum whose spread is that of the
    ratio, the denominator's part in it too. Undefined where the mean of `d` is not told from 0.
    """
    moved = _contrast(patched) - _contrast(unpatched)
    whole = patched["told_logit"] - patched["told_contrast"] - _contrast(unpatched)
    there = np.isfinite(moved) & np.isfinite(whole)
    if not there.any():
        return np.full_like(moved, np.nan)
    n, d = moved[there], whole[there]
    spread = 1.96 * d.std(ddof=1) / np.sqrt(len(d)) if len(d) > 1 else 0.0
    if abs(d.mean()) <= max(spread, METRICS["contrast"].floor):
        return np.full_like(moved, np.nan)
    ratio = n.mean() / d.mean()
    found: NDArray[np.float64] = np.where(there, ratio + (moved - ratio * whole) / d.mean(), np.nan)
    return found


PRIMARY = "contrast"
"""The metric that pages open with. Whoever looks through all of them finds something by chance in some."""
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "contrast",
            "contrast",
            "logits",
            "change of the answer's logit minus the contrast answer's",
            0.05,
            _contrast,
            linear=True,
        ),
        Metric("logit", "logit", "logits", "change of the answer's logit", 0.05, lambda c: c["logit"], linear=True),
        Metric(
            "logprob",
            "log-prob",
            "nats",
            "change of the answer's log-probability, immune to a uniform shift of all logits",
            0.05,
            lambda c: c["logit"] - c["logsumexp"],
        ),
        Metric(
            "probability",
            "probability",
            "share",
            "change of the answer's probability",
            0.01,
            lambda c: np.exp(c["logit"] - c["logsumexp"]),
        ),
        Metric(
            "rank",
            "rank",
            "ranks",
            "how many ranks the answer rises in the whole vocabulary",
            1.0,
            lambda c: -c["rank"],
        ),
        Metric(
            "reciprocal_rank",
            "reciprocal rank",
            "1/rank",
            "change of one over the answer's rank in the whole vocabulary",
            0.01,
            lambda c: 1.0 / c["rank"],
            shares=True,
        ),
        Metric(
            "published_rank",
            "reciprocal rank, as published",
            "1/rank",
            f"change of one over the answer's rank, and −1 past rank {FALLEN:,}, as the paper's code has it",
            0.01,
            lambda c: np.where(c["rank"] > FALLEN, -1.0, 1.0 / c["rank"]),
        ),
        Metric(
            "top2",
            "top 2",
            "share",
            "change of the share of samples whose answer is one of the two likeliest tokens",
            0.01,
            lambda c: np.where(np.isnan(c["rank"]), np.nan, c["rank"] <= 2),
            shares=True,
        ),
        Metric(
            "followed",
            "followed",
            "share",
            "change of the share of samples whose top token is the answer",
            0.01,
            lambda c: np.where(np.isnan(c["rank"]), np.nan, c["rank"] == 1),
            shares=True,
        ),
        Metric(
            "preference",
            "preference",
            "share",
            "change of the share of samples that put the answer above the contrast answer",
            0.01,
            lambda c: np.where(np.isnan(c["logit"] - c["contrast"]), np.nan, c["logit"] > c["contrast"]),
            shares=True,
        ),
        Metric(
            "option",
            "an option",
            "share",
            "change of the share of samples whose top token begins the answer of any of these samples",
            0.01,
            lambda c: c["option"],
            shares=True,
            needs=("option",),
        ),
        Metric(
            "against_told",
            "PT − IT",
            "logits",
            "the answer's logit less that of the told run: 0 is as if told",
            0.05,
            lambda c: c["logit"] - c["told_logit"],
            linear=True,
            ends=("below the told run", "above it"),
            needs=("told_logit",),
            change=lambda patched, unpatched: patched["logit"] - patched["told_logit"],
            against="the told run",
        ),
        Metric(
            "recovery",
            "recovery",
            "share",
            "how much of what the instruction moves is moved (contrast): 0 as untold, 1 as told",
            0.02,
            lambda c: _contrast(c) / (c["told_logit"] - c["told_contrast"]),
            needs=("told_logit", "told_contrast"),
            change=_recovered,
        ),
        Metric(
            "kl",
            "KL",
            "nats",
            "divergence of the patched distribution from the unpatched one; it has no direction",
            0.01,
            lambda c: c["kl_target"],
            ends=("less", "more change"),
        ),
    )
}


def find(name: str) -> Metric:
    """The metric of that name; raises `IvxError` with the names there are."""
    if name not in METRICS:
        raise IvxError(f"there is no metric {name!r}: use one of {', '.join(METRICS)}")
    return METRICS[name]
