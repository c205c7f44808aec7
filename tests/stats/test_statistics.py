"""Intervals and tests against other ways to the same number; how often they are right is in `test_calibration`."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from ivx.stats.intervals import EXACT, FLIPS, adjusted, mean_interval, sign_flip, signed_rank, split_half

DRAW = np.random.default_rng(0)


def test_a_small_sign_flip_is_the_enumeration() -> None:
    for n in (1, 2, 5, 9, EXACT):
        values = DRAW.normal(0.4, 1, size=(6, n)).round(1)  # rounded, so that flips tie
        signs = np.array(list(product([-1, 1], repeat=n)))
        by_hand = [np.mean(np.abs(signs @ v) >= abs(v.sum()) - 1e-12) for v in values]
        assert sign_flip(values) == pytest.approx(by_hand)
    assert sign_flip(np.array([[1.0, 1, 1, 1, 1], [0, 0, 0, 0, 0]])).tolist() == [2 / 32, 1.0]


def test_a_sampled_sign_flip_agrees_with_scipy_and_is_never_0() -> None:
    values = DRAW.normal(0.25, 1, size=(3, 30))
    ours = sign_flip(values, seed=1)
    for p, v in zip(ours, values, strict=True):
        theirs = stats.permutation_test((v,), np.mean, permutation_type="samples", n_resamples=20_000, rng=2).pvalue
        assert p == pytest.approx(theirs, abs=0.012)
    assert sign_flip(np.full((1, 40), 3.0)) == pytest.approx(1 / (FLIPS + 1))
    assert np.array_equal(ours, sign_flip(values, seed=1)) and sign_flip(np.zeros((0, 5))).shape == (0,)


def test_signed_ranks_are_scipys_and_zeros_are_no_evidence() -> None:
    values = np.stack([DRAW.normal(size=15), np.zeros(15), DRAW.normal(1, 1, size=15)])
    assert signed_rank(values)[[0, 2]] == pytest.approx([stats.wilcoxon(v).pvalue for v in values[[0, 2]]])
    assert signed_rank(values)[1] == 1


def test_adjusting_is_benjamini_and_hochbergs() -> None:
    assert adjusted(np.array([0.01, 0.04, 0.03, 0.8])) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.8])
    assert adjusted(np.array([])).size == 0


def test_an_interval_moves_with_its_data_and_leans_with_its_tail() -> None:
    values = DRAW.exponential(size=(5, 20))
    low, high = mean_interval(values, seed=3)
    moved = mean_interval(-2 * values + 1, seed=3)
    assert np.allclose(moved[0], 1 - 2 * high) and np.allclose(moved[1], 1 - 2 * low)
    mean = values.mean(axis=1)
    assert (low < mean).all() and (high > mean).all() and np.mean((high - mean) / (mean - low)) > 1.2
    wider = mean_interval(values, level=0.99, seed=3)
    assert (wider[0] < low).all() and (wider[1] > high).all()


def test_an_interval_without_spread_is_the_mean() -> None:
    for values in (np.full((2, 7), 1.5), np.array([[1.5]])):
        assert all((end == 1.5).all() for end in mean_interval(values))


def test_halves_are_apart() -> None:
    values = DRAW.normal(size=(50, 40))
    values[7] += 2
    found = split_half(values, keep=3, seed=4)
    assert found.cells[0] == 7 and found.p[0] < 0.01 and found.low[0] > 1 and len(found.cells) == 3
    order = np.random.default_rng(4).permutation(40)
    assert found.mean == pytest.approx(values[found.cells][:, order[20:]].mean(axis=1))
