"""Geometry: how alike the states of one task are, beside those of two, without any probe.

Cosines are of states as they are, over pairs of wordings of different families: copies of one wording are alike
whatever its task. The silhouette (Rousseeuw 1987) is of standardised features, which probes and planes see, too; what
it is where there is nothing to tell apart, labels shuffled by family say. All are drawn anew by family for their
intervals, since wordings of one family are one example.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ivx.stats.intervals import Array

if TYPE_CHECKING:
    from ivx.analyses.separability.splits import Examples
    from ivx.engine.hooks.capture import Matrix

NAMES = ("cosine_within", "cosine_between", "silhouette", "silhouette_shuffled", "norm")
"""Measures of a place, each with its interval."""
MOST = 1_000
"""Wordings that are compared with one another; of more, so many are drawn."""
DRAWS = 500
Bounds = tuple[float, float, float]
"""A value and its 95 % interval."""


@dataclass(frozen=True)
class Geometry:
    """One place: each a value with its 95 % bootstrap interval over families.

    `within` and `between` are mean cosines of states of one task and of two; silhouettes lie between −1 and 1; `norm`
    is a state's mean length.
    """

    component: str
    layer: int
    within: Bounds
    between: Bounds
    silhouette: Bounds
    shuffled: Bounds
    norm: Bounds


def geometry(states: Matrix, examples: Examples, *, seed: int = 0) -> dict[str, Bounds]:
    """The measures of one place, by name; those that are not defined are left out.

    Args:
        states: `[wordings, width]`.
    """
    from sklearn.metrics import silhouette_samples
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng([seed, len(states)])
    chosen = np.arange(len(states))
    if len(chosen) > MOST:
        chosen = np.sort(rng.choice(chosen, MOST, replace=False))
    labels = examples.labels[chosen]
    names, family = np.unique([examples.families[i] for i in chosen], return_inverse=True)
    rows = states[chosen].astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1)
    weights = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=DRAWS).astype(np.float64)
    weights = np.concatenate([np.ones((1, len(names))), weights])
    member = np.zeros((len(names), len(chosen)))
    member[family, np.arange(len(chosen))] = 1

    unit = rows / np.maximum(lengths, np.finfo(float).tiny)[:, None]
    cosines, alike = unit @ unit.T, labels[:, None] == labels
    found = {
        name: _of_pairs(cosines, kept & (family[:, None] != family), member, weights)
        for name, kept in (("cosine_within", alike), ("cosine_between", ~alike))
    }
    found["norm"] = _of_each(lengths, member, weights)
    scaled = StandardScaler().fit_transform(rows)
    own = {"silhouette": labels, "silhouette_shuffled": examples.shuffled(np.arange(len(states)), seed=[seed])[chosen]}
    for name, told in own.items():
        if 1 < len(np.unique(told)) < len(told):
            found[name] = _of_each(silhouette_samples(scaled, told), member, weights)
    return {name: bounds for name, bounds in found.items() if bounds is not None and np.isfinite(bounds).all()}


def read(component: str, rows: Iterable[Mapping[str, Any]]) -> list[Geometry]:
    """The layers of a component of which all is told, lowest first."""
    layers: dict[int, dict[str, Bounds]] = {}
    for row in rows:
        layers.setdefault(row["layer"], {})[row["measure"]] = (row["value"], row["low"], row["high"])
    whole = ((layer, told) for layer, told in sorted(layers.items()) if layer >= 0 and set(NAMES) <= told.keys())
    return [Geometry(component, layer, *(told[name] for name in NAMES)) for layer, told in whole]


def _of_pairs(values: Array, kept: NDArray[np.bool_], member: Array, weights: Array) -> Bounds | None:
    """The mean over the pairs that are kept, each family so often as it is drawn."""
    sums, counts = member @ (values * kept) @ member.T, member @ kept.astype(np.float64) @ member.T
    return _bounds(np.einsum("bf,fg,bg->b", weights, sums, weights), np.einsum("bf,fg,bg->b", weights, counts, weights))


def _of_each(values: Array, member: Array, weights: Array) -> Bounds | None:
    return _bounds(weights @ (member @ values), weights @ member.sum(axis=1))


def _bounds(sums: Array, counts: Array) -> Bounds | None:
    """The first draw's mean, that of all as they are, and the interval of the others'."""
    if counts[0] <= 0:
        return None
    means = sums[counts > 0] / counts[counts > 0]
    low, high = np.quantile(means[1:], (0.025, 0.975)).tolist()
    return float(means[0]), min(low, float(means[0])), max(high, float(means[0]))
