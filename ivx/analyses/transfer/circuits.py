"""Circuits of tasks: the strongest heads, how alike two tasks' are, and random sets of the same layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ivx.stats.intervals import Array

Head = tuple[int, int]
"""Layer and number."""
RESAMPLES = 400
NOTHING = 1e-6
"""Heads below this share of the strongest do nothing, and belong to no circuit."""


@dataclass(frozen=True)
class Circuit:
    """A task's circuit: `found` on one half of its samples, strongest first; `other`, on the half that is measured."""

    task: str
    found: tuple[Head, ...]
    other: tuple[Head, ...]


@dataclass(frozen=True)
class Alike:
    """The overlap of two circuits (Jaccard) with its 95 % bootstrap interval over samples; of a task with itself, of
    both its halves."""

    one: str
    two: str
    jaccard: float
    low: float
    high: float


def strongest(scores: Array, n: int) -> tuple[Head, ...]:
    """The n heads of largest absolute mean of `scores` `[samples, layers, heads]`, strongest first."""
    heads = scores.shape[2]
    return tuple(divmod(int(i), heads) for i in _top(scores.mean(axis=0).ravel()[None], n)[0] if i >= 0)


def alike(one: tuple[str, Array], two: tuple[str, Array], n: int, *, seed: int) -> Alike:
    """The overlap of two tasks' circuits, of names and scores `[samples, layers, heads]`."""
    rng = np.random.default_rng(seed)
    own = jaccard(*(strongest(scores, n) for _, scores in (one, two)))
    drawn = []
    for _, scores in (one, two):
        count = len(scores)
        weights = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES) / count
        drawn.append(_top(weights @ scores.reshape(count, -1), n))
    found = [jaccard(set(a[a >= 0].tolist()), set(b[b >= 0].tolist())) for a, b in zip(*drawn, strict=True)]
    low, high = np.quantile(found, (0.025, 0.975))
    return Alike(one[0], two[0], own, min(float(low), own), max(float(high), own))


def jaccard(one: Sequence[Head] | set[int], two: Sequence[Head] | set[int]) -> float:
    """The share of two sets' members that both have; 1 where both are empty."""
    a, b = set(one), set(two)
    return len(a & b) / len(a | b) if a | b else 1.0


def like(circuit: Sequence[Head], heads: int, *, draws: int, seed: int) -> list[tuple[Head, ...]]:
    """Random sets with as many heads in each layer as a circuit has."""
    rng = np.random.default_rng(seed)
    layers, counts = np.unique([layer for layer, _ in circuit], return_counts=True)
    return [
        tuple(
            (int(layer), int(head))
            for layer, count in zip(layers, counts, strict=True)
            for head in np.sort(rng.permutation(heads)[:count])
        )
        for _ in range(draws)
    ]


def mask(circuit: Sequence[Head], layers: int, heads: int) -> NDArray[np.bool_]:
    """A circuit as which heads are kept `[layers × heads]`."""
    found = np.zeros((layers, heads), bool)
    for layer, head in circuit:
        found[layer, head] = True
    return found.ravel()


def _top(means: Array, n: int) -> NDArray[np.intp]:
    """Of each row, the numbers of the n values of largest size; −1 in the place of those that are nothing."""
    sizes = np.abs(means)
    order = np.argsort(-sizes, axis=1, kind="stable")[:, :n]
    there = np.take_along_axis(sizes, order, 1) > NOTHING * sizes.max(axis=1, keepdims=True)
    return np.where(there, order, -1)
