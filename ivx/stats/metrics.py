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
    logits, so that an interaction in it is none of its own bend. `ends` say what less and more of it mean.
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

    def effect(self, patched: Columns, unpatched: Columns) -> NDArray[np.float64]:
        """Effect of each row; the divergence is already relative to the unpatched run."""
        return self.measure(patched) - self.measure(unpatched)


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
            lambda c: c["logit"] - c["contrast"],
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
            "reciprocal_rank",
            "reciprocal rank",
            "1/rank",
            "change of one over the answer's rank in the whole vocabulary",
            0.01,
            lambda c: 1.0 / c["rank"],
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
