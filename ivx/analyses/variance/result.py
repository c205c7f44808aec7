"""The result of a variance: effects by wording and query, what they vary by, and for what their mean holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ivx.analyses.base import Result
from ivx.analyses.variance import drawing
from ivx.analyses.variance.request import VarianceRequest
from ivx.engine.address import STREAM as STREAM
from ivx.formats.plotted import Plotted
from ivx.patching.roles import controls_there, role_of, variant
from ivx.patching.table import by_patch, detail
from ivx.stats import variance
from ivx.stats.intervals import Array, Ints, means
from ivx.stats.metrics import PRIMARY, find
from ivx.stats.variance import POPULATIONS, Components, Interval, Share
from ivx.tasks.samples import Samples

LEAST_BY = 2
"""Fewest queries of an answer that has an interval."""
MORE = ((1, 1), (2, 1), (1, 2), (2, 2), (4, 4))
"""How many times the wordings and the queries an interval is foreseen for."""


class Margin(NamedTuple):
    """The mean effect of one wording, or of one answer's queries, with its interval over `n` queries; NaN ends where
    these are too few."""

    name: str
    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Held:
    """What a vector's effect is over wordings and queries; numbers in the metric's unit.

    Attributes:
        components: what effects vary by.
        shares: each part's share of their variance.
        mean: the mean effect with its interval, where `queries`, `wordings` or `both` are new.
        beyond: the effect less the first control's, likewise; empty without one.
        state: `ok` where effect and excess hold for new wordings and queries, `control` where the excess does not,
            `zero` where the effect does not, or is too small to matter.
        undefined: queries that are left out, since a logit of theirs is not finite.
    """

    components: Components
    shares: dict[str, Share]
    mean: dict[str, Interval]
    beyond: dict[str, Interval]
    state: str
    undefined: int

    @property
    def foreseen(self) -> list[tuple[int, int, float]]:
        """(wordings, queries, half of the interval's width for new ones of both), with more of either."""
        told = self.components
        return [
            (
                w * told.wordings,
                q * told.queries,
                told.half("both", wordings=w * told.wordings, queries=q * told.queries),
            )
            for w, q in MORE
        ]


@dataclass(frozen=True, kw_only=True)
class Variance(Result[VarianceRequest]):
    """A result: one row per sample × role, samples wording by wording, and everything needed to read it.

    Attributes:
        patch: the address of the vector.
    """

    samples: Samples
    patch: str

    @property
    def shape(self) -> tuple[int, int]:
        """How many wordings and queries there are."""
        queries = len(dict.fromkeys(row.query for row in self.samples.rows))
        return len(self.samples.rows) // queries, queries

    @property
    def wordings(self) -> list[str]:
        """The wordings, in the order of the samples."""
        return [row.instruction.text for row in self.samples.rows[:: self.shape[1]]]

    @property
    def queries(self) -> list[str]:
        """The queries, in the order of the samples."""
        return [row.query for row in self.samples.rows[: self.shape[1]]]

    @property
    def answers(self) -> list[str]:
        """Each query's answer."""
        return [row.answer for row in self.samples.rows[: self.shape[1]]]

    @property
    def controls(self) -> list[str]:
        """The controls that were run."""
        return controls_there(self.request.controls, self.samples)

    def effects(self, metric: str = PRIMARY, *, control: str = "") -> Array | None:
        """`[wordings, queries]`, of the vector or of a control; None until all are done."""
        role, view, n = role_of(control) if control else "effect", find(metric), len(self.samples.rows)
        bare = by_patch(self.table, role="effect", site=STREAM, samples=n).get("")
        found = by_patch(self.table, role=role, site=STREAM, samples=n).get(variant(role, self.patch))
        rows = n * (1 + 2 * (1 + len(self.controls)))  # told; then bare and patched, for the vector and each control
        if bare is None or found is None or self.table.num_rows < rows:
            return None
        return view.effect(found, bare).reshape(self.shape)

    def held(self, metric: str = PRIMARY) -> Held | None:
        """What the effect is, by what it varies, and for what it holds; None until all are done."""
        if metric not in self._held:
            self._held[metric] = self._judged(metric)
        return self._held[metric]

    @cached_property
    def _held(self) -> dict[str, Held | None]:
        """Cache by metric."""
        return {}

    def _judged(self, metric: str) -> Held | None:
        own = self.effects(metric)
        controls = [self.effects(metric, control=name) for name in self.controls]
        theirs = [one for one in controls if one is not None]
        if own is None or len(theirs) < len(controls):
            return None
        defined = np.isfinite(own).all(axis=0)
        for one in theirs:
            defined &= np.isfinite(one).all(axis=0)
        lost = int((~defined).sum())
        if defined.sum() < LEAST_BY:
            return None
        groups = self._groups[defined]
        found = variance.components(own[:, defined], groups)
        excess = variance.components((own - theirs[0])[:, defined], groups) if theirs else None
        mean = {new: found.interval(new) for new in POPULATIONS}
        beyond = {} if excess is None else {new: excess.interval(new) for new in POPULATIONS}
        shares = variance.shares(found, groups, seed=self.request.seed)
        return Held(found, shares, mean, beyond, _state(mean["both"], beyond.get("both"), find(metric).floor), lost)

    @cached_property
    def _groups(self) -> Ints:
        known: dict[str, int] = {}
        return np.array([known.setdefault(answer, len(known)) for answer in self.answers], dtype=np.int64)

    def by_wording(self, metric: str = PRIMARY) -> list[Margin]:
        """The mean of each wording, over queries."""
        own = self.effects(metric)
        if own is None:
            return []
        found = means(own, seed=self.request.seed, groups=self._groups, shares=find(metric).shares)
        told = zip(self.wordings, found.mean, found.low, found.high, found.n, strict=True)
        return [Margin(name, float(mean), float(low), float(high), int(n)) for name, mean, low, high, n in told]

    def by_answer(self, metric: str = PRIMARY) -> list[Margin]:
        """The mean of each answer's queries, the largest first; a query counts once, by its mean over wordings."""
        own = self.effects(metric)
        if own is None:
            return []
        each = np.nanmean(own, axis=0) if np.isfinite(own).any() else own[0]
        found = []
        for number, answer in enumerate(dict.fromkeys(self.answers)):
            mine = each[self._groups == number]
            mine = mine[np.isfinite(mine)]
            if not len(mine):
                continue
            ends = (np.nan, np.nan)
            if len(mine) >= LEAST_BY:
                told = means(mine[None], seed=self.request.seed)
                ends = (float(told.low[0]), float(told.high[0]))
            found.append(Margin(answer, float(mine.mean()), *ends, len(mine)))
        return sorted(found, key=lambda one: -one.mean)

    def detail(self, patch: str, metric: str = PRIMARY) -> list[dict[str, Any]]:
        """Each sample under the vector: effect, and the top tokens before and after as (token, share) pairs."""
        return detail(self.table, self.samples, site=STREAM, patch=patch, metric=metric)

    @property
    def figure_names(self) -> tuple[str, ...]:
        """Every wording with every query, and for what the mean holds."""
        return ("grid", "means")

    def figures(self, metric: str = PRIMARY) -> dict[str, dict[str, Any]]:
        """Both as they would be printed, a Vega-Lite spec by name."""
        return drawing.figures(self, metric)

    def drawn(self, metric: str = PRIMARY) -> Iterator[Plotted]:
        """What they show, a number at a time."""
        return drawing.drawn(self, metric)

    def summary(self, metric: str = PRIMARY) -> dict[str, Any]:
        """The receipt, what the effect varies by, for what its mean holds, and the means of wordings and answers."""
        held = self.held(metric)
        told: dict[str, Any] = {"held": None}
        if held is not None:
            told["held"] = {
                "wordings": held.components.wordings,
                "queries": held.components.queries,
                "answers": held.components.answers,
                "variance": dict(held.components.variance),
                "shares": {part: share._asdict() for part, share in held.shares.items()},
                "mean": {new: one._asdict() for new, one in held.mean.items()},
                "beyond": {new: one._asdict() for new, one in held.beyond.items()},
                "state": held.state,
                "undefined": held.undefined,
                "foreseen": [list(one) for one in held.foreseen],
            }
        margins = {"by_wording": self.by_wording(metric), "by_answer": self.by_answer(metric)}
        return {
            **self.receipt,
            "metric": metric,
            **told,
            **{name: [_plain(one) for one in found] for name, found in margins.items()},
        }


def _plain(one: Margin) -> dict[str, Any]:
    return {name: None if value != value else value for name, value in one._asdict().items()}


def _state(mean: Interval, beyond: Interval | None, floor: float) -> str:
    if not (mean.low > 0 or mean.high < 0) or abs(mean.mean) < floor:
        return "zero"
    if beyond is None:
        return "ok"
    sign = np.sign(mean.mean)
    least = min(sign * beyond.low, sign * beyond.high)
    return "ok" if least > 0 and sign * beyond.mean >= floor else "control"
