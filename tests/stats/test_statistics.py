"""Intervals and tests against other ways to the same number; how often they are right is in `test_calibration`."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from ivx.stats.flips import EXACT, least_p, sign_flip
from ivx.stats.intervals import adjusted, clusters, mean_interval, means, split_half
from ivx.stats.verdict import verdicts

DRAW = np.random.default_rng(0)


def test_a_small_sign_flip_is_the_enumeration() -> None:
    for n in (1, 2, 5, 9, EXACT):
        values = DRAW.normal(0.4, 1, size=(6, n)).round(1)  # rounded, so that flips tie
        signs = np.array(list(product([-1, 1], repeat=n)))
        by_hand = [np.mean(np.abs(signs @ v) >= abs(v.sum()) - 1e-12) for v in values]
        assert sign_flip(values) == pytest.approx(by_hand)
    assert sign_flip(np.array([[1.0, 1, 1, 1, 1], [0, 0, 0, 0, 0]])).tolist() == [2 / 32, 1.0]


def all_flips(size: np.ndarray, total: float) -> float:
    """P(Σ ± size ≥ total), by both halves' sums: every flip is counted, though not one by one."""
    half = len(size) // 2
    one, two = (np.array(list(product([-1, 1], repeat=len(part)))) @ part for part in (size[:half], size[half:]))
    reached = len(two) - np.searchsorted(np.sort(two), total - one - 1e-9)
    return float(reached.sum() / (len(one) * len(two)))


@pytest.mark.parametrize("n", [13, 20])
def test_a_tail_is_that_of_every_flip_however_far_out_and_whatever_the_values(n: int) -> None:
    kinds = {
        "normal": DRAW.normal(size=(30, n)) + DRAW.uniform(0, 2, size=(30, 1)),
        "one outweighs": DRAW.standard_t(2, size=(30, n)) + 1,
        "skewed": DRAW.lognormal(size=(30, n)) * DRAW.choice([1, -1], p=[0.8, 0.2], size=(30, n)),
        "steps": DRAW.choice([1.0, 0.0, -1.0], p=[0.5, 0.3, 0.2], size=(30, n)),
        "rounded": DRAW.normal(1, 1, size=(30, n)).round(),
    }
    for name, values in kinds.items():
        exact = np.array([all_flips(np.abs(v), abs(v.sum())) for v in values])
        two, one = sign_flip(values), sign_flip(values, greater=True)
        small = exact < 0.05
        assert small.sum() > 3 and np.abs(two[small] / (2 * exact[small]) - 1).max() < 0.13, name
        above = np.array([all_flips(np.abs(v), v.sum()) for v in values])
        assert np.abs(one - above)[values.sum(axis=1) > 0] == pytest.approx(0, abs=0.01)
    assert sign_flip(np.full((1, 40), 3.0)) == pytest.approx(least_p(40)) and sign_flip(np.zeros((0, 5))).shape == (0,)
    assert sign_flip(np.zeros((1, 40))).tolist() == [1.0]


def test_one_true_cell_among_thousands_is_found_and_five_samples_find_nothing() -> None:
    values = DRAW.normal(size=(2_016, 40))
    values[7] += 20
    states = [found.state for found in verdicts(values, DRAW.normal(size=values.shape), floor=0.05)]
    assert states[7] == "ok" and states.count("ok") == 1
    assert verdicts(np.full((1, 5), 4.0) + DRAW.normal(0, 0.1, (1, 5)), None, floor=0.05)[0].state == "zero"
    assert least_p(5) > 0.05 > least_p(6)


def test_p_and_interval_agree() -> None:
    for n in (6, 10, 40):
        found = means(DRAW.lognormal(size=(400, n)) - 1.3)
        assert not ((found.p < 0.05) & (found.low <= 0) & (found.high >= 0)).any()


def test_a_stronger_control_is_never_beaten_and_an_equal_one_rarely() -> None:
    values = 1 + DRAW.normal(size=(48, 20))
    stronger = verdicts(values, values + 1.5 + DRAW.normal(size=values.shape), floor=0.05)
    assert {found.state for found in stronger} <= {"control", "zero"}
    assert min(found.p_control or 0 for found in stronger) > 0.5
    assert all(found.state == "ok" for found in verdicts(values + 3, values, floor=0.05))


def test_an_interval_of_shares_has_a_width_and_follows_its_steps() -> None:
    for hits, n in ((0, 10), (10, 10), (1, 40)):
        values = np.zeros((1, n))
        values[0, :hits] = 1
        found = means(values, shares=True)
        assert found.high[0] - found.low[0] > 0.05 and found.low[0] <= hits / n <= found.high[0] <= 1
    few = np.array([[1.0] * 5 + [-1] + [0] * 34])
    # Bonett and Price's adjusted Wald interval of a paired difference, by hand.
    one, other, n = 6 / 42, 2 / 42, 42
    reach = 1.96 * np.sqrt((one + other - (one - other) ** 2) / n)
    found = means(few, shares=True)
    assert found.low[0] == pytest.approx(one - other - reach, abs=1e-4)
    assert found.p[0] >= stats.binomtest(5, 6).pvalue - 1e-12


def test_answers_that_repeat_are_what_is_counted() -> None:
    groups = np.repeat(np.arange(8), 5)
    values = DRAW.normal(size=(300, 8))[:, groups] + 0.3 * DRAW.normal(size=(300, 40))
    assert clusters(groups) is not None
    narrow, wide = (np.subtract(*mean_interval(values, groups=g)[::-1]).mean() for g in (None, groups))
    assert wide > 1.8 * narrow
    # Equal answers: as if each answer's mean were one sample.
    low, _ = mean_interval(values, groups=groups)
    answers = values.reshape(300, 8, 5).mean(axis=2)
    error = answers.std(axis=1, ddof=1) / np.sqrt(8)
    assert low == pytest.approx(values.mean(axis=1) - stats.t.ppf(0.975, 7) * error)
    # Two answers are taken as given: they are no sample of answers.
    two = np.repeat([0, 1], 20)
    assert clusters(two) is None
    assert np.array_equal(mean_interval(values, groups=two)[0], mean_interval(values)[0])
    assert clusters(np.arange(40)) is None


def test_samples_that_are_not_finite_are_left_out_and_counted() -> None:
    values, control = DRAW.normal(2, 1, size=(4, 20)), DRAW.normal(size=(4, 20))
    holed = values.copy()
    holed[1, :3], holed[2], holed[3, 0] = np.nan, np.inf, -np.inf
    found = verdicts(holed, control, floor=0.05)
    assert [v.undefined for v in found] == [0, 3, 20, 1] and [v.state for v in found][2] == "undefined"
    kept = verdicts(values[1:2, 3:], control[1:2, 3:], floor=0.05)[0]
    assert found[1].value == pytest.approx(kept.value) and found[1].low == pytest.approx(kept.low)
    assert found[1].control == pytest.approx(kept.control) and found[1].state == "ok"


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
