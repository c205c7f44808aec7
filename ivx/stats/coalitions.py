"""Coalitions: dividends, Shapley values and interaction indices of games, exact and sampled. Numbers only, no model.

A game gives every set of players a value. Its values are an array whose last axis runs over all sets, numbered by bits:
player i is in set k where bit i of k is 1. Other axes hold separate games, such as samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import factorial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Sets = NDArray[np.int64]
PRIOR = 2
"""Draws of orders that the spread of all indices counts for, beside those of one."""


def players_in(values: Array) -> int:
    """How many players a game has, from the number of its values."""
    return int(values.shape[-1]).bit_length() - 1


def sizes(players: int) -> Sets:
    """Number of members of every set: `[2^players]`."""
    return np.bitwise_count(np.arange(2**players)).astype(np.int64)


def dividends(values: Array) -> Array:
    """Harsanyi dividends: what each set adds beyond all its subsets, `d(S) = Σ_{T ⊆ S} (−1)^{|S|−|T|} v(T)`."""
    found = values.copy()
    for i in range(players_in(values)):
        paired = found.reshape(*found.shape[:-1], -1, 2, 2**i)
        paired[..., 1, :] -= paired[..., 0, :]
    return found


def pair_map(values: Array) -> Array:
    """Interaction J of every pair by itself: `v(ij) − v(i) − v(j) + v(∅)`, `[..., players, players]`, diagonal 0."""
    n = players_in(values)
    one = 2 ** np.arange(n)
    j = values[..., one[:, None] | one] - values[..., one][..., :, None] - values[..., one][..., None, :]
    return (j + values[..., :1, None]) * (1 - np.eye(n))


def shapley(values: Array) -> Array:
    """Shapley values `[..., players]`: mean contribution of each player over all orders; they sum to v(all) − v(∅)."""
    n = players_in(values)
    weight = np.array([factorial(s) * factorial(n - s - 1) / factorial(n) for s in range(n)])
    every, size = np.arange(2**n), sizes(n)
    found = []
    for i in range(n):
        without = every[every >> i & 1 == 0]
        found.append((values[..., without | 1 << i] - values[..., without]) @ weight[size[without]])
    return np.stack(found, axis=-1)


def shapley_interaction(values: Array) -> Array:
    """Shapley interaction index of every pair, `[..., players, players]`, diagonal 0.

    The mean of `v(S ∪ ij) − v(S ∪ i) − v(S ∪ j) + v(S)` over the sets S that stand before an adjacent pair in all
    orders.
    """
    n = players_in(values)
    found = np.zeros((*values.shape[:-1], n, n))
    weight = np.array([factorial(s) * factorial(n - s - 2) / factorial(n - 1) for s in range(n - 1)])
    every, size = np.arange(2**n), sizes(n)
    for i in range(n):
        for j in range(i):
            a, b = 1 << i, 1 << j
            s = every[every & (a | b) == 0]
            second = values[..., s | a | b] - values[..., s | a] - values[..., s | b] + values[..., s]
            found[..., i, j] = found[..., j, i] = second @ weight[size[s]]
    return found


def additivity(members: Sequence[Sequence[int]], values: Array, *, players: int) -> float:
    """R² of the best additive model `c + Σ_{i ∈ S} φ_i` over the sets that were measured, 1 where nothing varies.

    Args:
        members: players of each measured set.
        values: `[..., sets]`; every game has a model of its own, and their sums of squares are added up. A game with
            a value that is not finite is left out; without any game the result is 1.
    """
    design = np.zeros((len(members), players + 1))
    design[:, players] = 1
    for row, chosen in enumerate(members):
        design[row, list(chosen)] = 1
    games = values.reshape(-1, len(members)).T
    games = games[:, np.isfinite(games).all(axis=0)]
    fitted = design @ np.linalg.lstsq(design, games, rcond=None)[0]
    spread = np.square(games - games.mean(axis=0)).sum()
    return 1.0 if spread == 0 else float(1 - np.square(games - fitted).sum() / spread)


def members_of(sets: Sets, *, players: int) -> list[tuple[int, ...]]:
    """The players of each set."""
    return [tuple(i for i in range(players) if k >> i & 1) for k in sets.tolist()]


def orders(players: int, count: int, *, seed: int) -> Sets:
    """Random orders of the players, each followed by its reverse, which halves the noise: `[count, players]`."""
    rng = np.random.default_rng(seed)
    half = [rng.permutation(players) for _ in range(-(-count // 2))]
    return np.array([order for drawn in half for order in (drawn, drawn[::-1])][:count])


def sets_along(found: Sets) -> Sets:
    """Every set that the sampled indices of these orders need: all prefixes, and each plus the player after next."""
    before = _before(found)
    swapped = before[:, :-2] | 1 << found[:, 1:]
    return np.unique(np.concatenate([before.ravel(), swapped.ravel()]))


def sampled_shapley(value: Callable[[Sets], Array], found: Sets) -> Array:
    """Shapley values from sampled orders; `value` gives `[..., sets]` of the sets it is handed."""
    before = _before(found)
    gained = value(before[:, 1:].ravel()) - value(before[:, :-1].ravel())
    count, n = found.shape
    total = np.zeros((*gained.shape[:-1], n))
    for k, player in enumerate(found.ravel().tolist()):
        total[..., player] += gained[..., k] / count
    return total


def sampled_interaction(value: Callable[[Sets], Array], found: Sets) -> Array:
    """Shapley interaction indices from sampled orders: two neighbours are a pair, and S is what precedes them.

    NaN for a pair that are neighbours in none of the orders, and on the diagonal.
    """
    before = _before(found)
    n = found.shape[1]
    s, one, both = (before[:, k : n - 1 + k].ravel() for k in range(3))
    second = value(both) - value(one) - value(s | 1 << found[:, 1:].ravel()) + value(s)
    total, count = np.zeros((*second.shape[:-1], n, n)), np.zeros((n, n))
    for k, (i, j) in enumerate(zip(found[:, :-1].ravel().tolist(), found[:, 1:].ravel().tolist(), strict=True)):
        for pair in ((i, j), (j, i)):
            total[..., *pair] += second[..., k]
            count[pair] += 1
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


class Orders(NamedTuple):
    """What the draw of orders leaves open of an index: its standard error, and degrees of freedom, `[...]` each.

    The spread of an index is moderated by that of all (Smyth 2004). An order and its reverse are one draw. NaN where an
    index stands on fewer than two.
    """

    error: Array
    freedom: Array


def orders_error(value: Callable[[Sets], Array], found: Sets) -> tuple[Orders, Orders]:
    """How far another draw of orders would move the sampled Shapley values `[players]` and indices of pairs
    `[players, players]`; `value` gives `[sets]` of one game, mostly the mean one over samples."""
    n = found.shape[1]
    singles: list[Array] = []
    pairs: list[Array] = []
    for start in range(0, len(found), 2):
        drawn = found[start : start + 2]
        singles.append(sampled_shapley(value, drawn))
        pairs.append(sampled_interaction(value, drawn))
    one, two = (_of_draws(np.array(draws)) for draws in (singles, pairs))
    assert one.error.shape == (n,)
    return one, two


def _of_draws(draws: Array) -> Orders:
    """The error of the mean over draws `[draws, ...]`, NaN where a draw has no value."""
    there = np.isfinite(draws)
    count = there.sum(axis=0)
    mean = np.divide(np.where(there, draws, 0).sum(axis=0), count, out=np.zeros(count.shape), where=count > 0)
    square = np.where(there, (draws - mean) ** 2, 0).sum(axis=0)
    enough = count > 1
    freedom = np.where(enough, count - 1.0, np.nan)
    # Two or three draws tell little of their own spread: that of all indices counts as so many draws more.
    pooled = square[enough].sum() / max(1.0, float(np.nansum(freedom)))
    variance = (square + PRIOR * pooled) / (freedom + PRIOR) / np.maximum(count, 1)
    return Orders(np.sqrt(variance), freedom + PRIOR)


def halves(value: Callable[[Sets], Array], found: Sets) -> tuple[float, float]:
    """How settled a sampled map of pairs is: the correlation of the maps from the two halves of the orders, and that of
    the first half's map with the one from twice as many, which are all. 0 where too few pairs are in both."""
    half = len(found) // 4 * 2  # an order and its reverse stay together
    if not half:
        return 0.0, 0.0
    one, two, whole = (sampled_interaction(value, some) for some in (found[:half], found[half:], found))
    return _alike(one, two), _alike(one, whole)


def _alike(one: Array, other: Array) -> float:
    both = np.isfinite(one) & np.isfinite(other) & np.tri(len(one), k=-1, dtype=bool)
    if both.sum() < 3 or not one[both].std() or not other[both].std():
        return 0.0
    return float(np.corrcoef(one[both], other[both])[0, 1])


def _before(found: Sets) -> Sets:
    """The set of the first k players of each order, k from 0 to all: `[orders, players + 1]`."""
    start = np.zeros((len(found), 1), dtype=np.int64)
    return np.concatenate([start, np.cumsum(1 << found, axis=1)], axis=1)
