"""Set functions whose answers are known: a linear game and a planted AND; and sampling against the exact."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from ivx.stats import coalitions as c

N = 6
SETS = np.arange(2**N)
BITS = (SETS[:, None] >> np.arange(N) & 1).astype(float)
DRAW = np.random.default_rng(0)


def test_a_linear_game_has_no_interaction() -> None:
    weights = DRAW.normal(size=(3, N))
    values = weights @ BITS.T + 0.7
    assert np.abs(c.pair_map(values)).max() < 1e-12 and np.abs(c.shapley_interaction(values)).max() < 1e-12
    assert c.shapley(values) == pytest.approx(weights)
    assert np.abs(c.dividends(values)[:, c.sizes(N) > 1]).max() < 1e-12
    assert c.additivity(c.members_of(SETS, players=N), values, players=N) == pytest.approx(1, abs=1e-12)


def test_a_planted_and_is_found_and_nothing_else() -> None:
    i, j = 1, 4
    values = (BITS[:, i] * BITS[:, j])[None] + DRAW.normal(size=(2, N)) @ BITS.T
    planted = np.zeros((N, N))
    planted[i, j] = planted[j, i] = 1
    for found in (c.pair_map(values), c.shapley_interaction(values)):
        assert np.abs(found - planted).max() < 1e-12
    many = c.dividends(values)[:, c.sizes(N) > 1]
    assert np.abs(many - (SETS[c.sizes(N) > 1] == (1 << i | 1 << j))).max() < 1e-12
    alone = (BITS[:, i] * BITS[:, j])[None]
    assert c.shapley(alone)[0] == pytest.approx([0, 0.5, 0, 0, 0.5, 0])
    # Of a lone AND the best additive model, p + q over four equal cells, explains two thirds.
    assert c.additivity(c.members_of(SETS, players=N), alone, players=N) == pytest.approx(2 / 3)


def test_indices_of_any_game_are_what_their_definitions_say() -> None:
    n = 4
    v = DRAW.normal(size=2**n)
    by_order = np.zeros(n)
    pairs = np.zeros((n, n))
    for order in permutations(range(n)):
        for k, player in enumerate(order):
            before = sum(1 << q for q in order[:k])
            by_order[player] += (v[before | 1 << player] - v[before]) / 24
            if k + 1 < n:
                a, b = 1 << player, 1 << order[k + 1]
                second = v[before | a | b] - v[before | a] - v[before | b] + v[before]
                pairs[player, order[k + 1]] += second / 6 / 2
    assert c.shapley(v) == pytest.approx(by_order)
    # Each unordered pair stands adjacent in 12 of 24 orders.
    assert c.shapley_interaction(v) == pytest.approx(pairs + pairs.T)
    d = c.dividends(v)
    for s in range(2**n):
        assert v[s] == pytest.approx(sum(d[t] for t in range(2**n) if t & s == t))


def test_samples_of_orders_come_to_the_exact_indices() -> None:
    values = DRAW.normal(size=(2, 2**N)).cumsum(axis=1) / 8
    orders = c.orders(N, 6_000, seed=1)
    assert (np.sort(orders, axis=1) == np.arange(N)).all()
    assert c.sampled_shapley(lambda s: values[..., s], orders) == pytest.approx(c.shapley(values), abs=0.05)
    found, exact = c.sampled_interaction(lambda s: values[..., s], orders), c.shapley_interaction(values)
    off = ~np.eye(N, dtype=bool)
    assert np.abs(found - exact)[:, off].max() < 0.1 and np.isnan(found[:, ~off]).all()
    few = c.orders(N, 3, seed=2)
    asked: list[np.ndarray] = []

    def noted(s: np.ndarray) -> np.ndarray:
        asked.append(s)
        return values[..., s]

    for index in (c.sampled_shapley, c.sampled_interaction):
        index(noted, few)
    assert set(np.concatenate(asked)) == set(c.sets_along(few)), "the sets to run are the sets that are asked for"
    total = c.sampled_shapley(lambda s: values[..., s], few).sum(axis=1)
    assert total == pytest.approx(values[:, -1] - values[:, 0]), "every order's contributions sum to the whole"
