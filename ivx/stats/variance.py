"""Variance components of effects that were measured crosswise: every wording with every query.

`f = μ + wording + query + answer + rest`, each drawn at random. Restricted maximum likelihood (Patterson and Thompson,
Biometrika 1971); with as many queries for every wording the likelihood falls into three parts that know nothing of each
other: the means of wordings, the means of queries, and what is left of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize, stats

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

PARTS = ("wording", "query", "answer", "rest")
"""What an effect varies by. `answer` is what queries of one answer have in common; `rest` is how wordings differ by
query, and nothing else, since a model says the same each time."""
POPULATIONS = ("queries", "wordings", "both")
"""What is new to a claim: other queries told in these wordings, these told in others, or both."""
LEVEL = 0.95
DRAWS = 200
"""Data that are drawn from what was found, for the intervals of shares."""
_LEAST = 1e-9
"""Least share of the variance that is called some: a likelihood has no value at none."""


class Interval(NamedTuple):
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float


class Share(NamedTuple):
    """A part of the variance, from 0 to 1, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Components:
    """What effects vary by.

    Attributes:
        mean: of all.
        variance: by part, in squared units; no `answer` where every query has its own, or all have one.
        wordings, queries, answers: how many there are.
        evenness: the sum of squared shares of queries by answer: 1 ⁄ answers where these have as many queries each.
    """

    mean: float
    variance: Mapping[str, float]
    wordings: int
    queries: int
    answers: int
    evenness: float

    @property
    def total(self) -> float:
        """The variance of one effect, of a new wording and a new query."""
        return sum(self.variance.values())

    def error(self, new: str, *, wordings: int | None = None, queries: int | None = None) -> tuple[float, float]:
        """The mean's variance and its degrees of freedom (Satterthwaite), as measured or with other numbers of wordings
        and of queries with these answers."""
        w, q = wordings or self.wordings, queries or self.queries
        rest = self.variance["rest"] / (w * q)
        answer = self.variance.get("answer", 0.0) * self.evenness
        free = (self.answers if "answer" in self.variance and answer > 0 else q) - 1
        parts = {
            "queries": (self.variance["query"] / q + answer + rest, free),
            "wordings": (self.variance["wording"] / w + rest, w - 1),
        }
        if new != "both":
            return parts[new]
        found = sum(variance for variance, _ in parts.values()) - rest
        doubt = sum(variance**2 / freedom for variance, freedom in parts.values())
        return found, found**2 / doubt if doubt else float(w - 1)

    def half(self, new: str, *, wordings: int | None = None, queries: int | None = None) -> float:
        """Half the width of the mean's 95 % interval."""
        variance, freedom = self.error(new, wordings=wordings, queries=queries)
        return float(stats.t.ppf(0.5 + LEVEL / 2, freedom) * np.sqrt(variance))

    def interval(self, new: str) -> Interval:
        """The mean of a population, of which these are drawn: `queries`, `wordings` or `both` are new."""
        half = self.half(new)
        return Interval(self.mean, self.mean - half, self.mean + half)


def components(values: Array, answers: Ints) -> Components:
    """What effects `[wordings, queries]` vary by, two of each at least; `answers` numbers each query's."""
    wordings, queries = values.shape
    kinds, counts = np.unique(answers, return_counts=True)
    grouped = 1 < len(kinds) < queries
    mean = float(values.mean())
    by_wording, by_query = values.mean(axis=1), values.mean(axis=0)
    rest = values - by_wording[:, None] - by_query + mean
    scale = float(values.var()) or 1.0
    common, turn = _contrasts(tuple(answers.tolist()))
    contrasts = (turn @ by_query) ** 2
    squares = queries * float(((by_wording - mean) ** 2).sum()), float((rest**2).sum())
    free = (wordings - 1, (wordings - 1) * (queries - 1))

    def loss(asked: Array) -> tuple[float, Array]:
        """Minus twice the restricted log-likelihood, but for a constant, and its slope; variances as shares of the
        data's."""
        wording, query, answer, left = asked * scale
        told = (queries * wording + left, left)
        spread = query + left / wordings + answer * common
        found = sum(f * np.log(v) + s / v for f, v, s in zip(free, told, squares, strict=True))
        found += float((np.log(spread) + contrasts / spread).sum())
        first, second = (f / v - s / v**2 for f, v, s in zip(free, told, squares, strict=True))
        each = (1 - contrasts / spread) / spread
        by_query = float(each.sum())
        slope = (queries * first, by_query, float((each * common).sum()), first + second + by_query / wordings)
        return float(found), np.array(slope) * scale

    bounds = [(0, None), (0, None), (0, None if grouped else 0), (_LEAST, None)]
    start = np.array([0.25, 0.25, 0.25 if grouped else 0.0, 0.25])
    found = optimize.minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-13, "maxiter": 500}
    )
    variance = {part: float(share * scale) for part, share in zip(PARTS, found.x, strict=True)}
    if not grouped:
        del variance["answer"]
    return Components(mean, variance, wordings, queries, len(kinds), float(((counts / queries) ** 2).sum()))


@lru_cache(maxsize=64)
def _contrasts(answers: tuple[int, ...]) -> tuple[Array, Array]:
    """Orthonormal contrasts of queries `[queries − 1, queries]`, in which answers vary independently, and by how much
    each of them does."""
    numbers = np.array(answers)
    alike = (numbers[:, None] == numbers).astype(np.float64)
    basis = linalg.null_space(np.ones((1, len(numbers))))
    common, turn = linalg.eigh(basis.T @ alike @ basis)
    return common, (basis @ turn).T


def shares(found: Components, answers: Ints, *, seed: int = 0) -> dict[str, Share]:
    """Each part's share of the variance, with intervals from data that are drawn from what was found and measured
    anew."""
    rng, drawn = np.random.default_rng(seed), []
    spread = {part: np.sqrt(found.variance.get(part, 0.0)) for part in PARTS}
    shape = found.wordings, found.queries
    for _ in range(DRAWS):
        values = spread["wording"] * rng.normal(size=(shape[0], 1)) + spread["query"] * rng.normal(size=shape[1])
        values = values + spread["answer"] * rng.normal(size=int(answers.max()) + 1)[answers]
        drawn.append(_shares(components(values + spread["rest"] * rng.normal(size=shape), answers)))
    ends = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    own = _shares(found)
    return {part: Share(own[k], *map(float, ends[:, k])) for k, part in enumerate(PARTS) if part in found.variance}


def _shares(found: Components) -> list[float]:
    return [found.variance.get(part, 0.0) / (found.total or 1.0) for part in PARTS]
