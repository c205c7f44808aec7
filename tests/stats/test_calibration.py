"""How often the statistics are right, by simulation: `pytest -m calibration -s` prints every rate.

Each band is what the simulation itself may be off by, or, for coverage, the 2 % that are claimed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from ivx.stats.intervals import EXACT, adjusted, mean_interval, sign_flip, signed_rank, split_half

pytestmark = pytest.mark.calibration

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
SYMMETRIC: dict[str, Draw] = {
    "normal": lambda rng, size: rng.normal(size=size),
    "heavy-tailed": lambda rng, size: rng.standard_t(3, size=size),
}
"""Of mean 0; Student's t with 3 degrees has no fourth moment."""
SKEWED: dict[str, Draw] = {
    "skewed": lambda rng, size: rng.chisquare(4, size=size) - 4,
    "more skewed": lambda rng, size: rng.exponential(size=size) - 1,
}
"""Of mean 0 and skewness 1.4 and 2."""
SIZES = (5, 10, 20, 40)
MAPS = 8_000


def told(what: str, n: int, name: str, rates: dict[str, float]) -> None:
    print(f"{what:20} n = {n:3} {name:14}" + "".join(f"{key} {rate:6.1%}   " for key, rate in rates.items()))


@pytest.mark.parametrize("n", SIZES)
def test_an_interval_of_95_holds_the_mean_95_times_in_100(n: int) -> None:
    for name, draw in {**SYMMETRIC, **SKEWED}.items():
        # Several seeds: one map shares its draws among its cells.
        held = []
        for seed in range(40):
            values = draw(np.random.default_rng([n, seed]), (500, n))
            low, high = mean_interval(values, seed=seed)
            held.append((low <= 0) & (high >= 0))
        coverage = float(np.mean(held))
        told("coverage of 95 %", n, name, {"": coverage, "percentile": _percentile(draw, n)})
        assert 0.93 <= coverage <= 0.97, (n, name)


def _percentile(draw: Draw, n: int) -> float:
    """What the usual bootstrap would cover, for comparison."""
    values = draw(np.random.default_rng([n, 9]), (1_000, n))
    found = stats.bootstrap((values,), np.mean, axis=1, n_resamples=500, batch=100, method="percentile", rng=0)
    interval = found.confidence_interval
    return float(np.mean((interval.low <= 0) & (interval.high >= 0)))


@pytest.mark.parametrize("n", [6, 8, EXACT, 20, 40])
def test_a_null_cell_is_called_different_5_times_in_100(n: int) -> None:
    for name, draw in SYMMETRIC.items():
        values = draw(np.random.default_rng(n), (MAPS, n))
        for test, p in (("sign flip", sign_flip(values)), ("signed rank", signed_rank(values))):
            rate, level = float(np.mean(p <= 0.05)), _attainable(test, n)
            told("false positives", n, name, {test: rate, "of": level})
            # Sampled flips are shared by the map's cells, which adds their own error to the binomial one.
            slack = 4 * np.sqrt(level * (1 - level) / MAPS) + (0.004 if test == "sign flip" and n > EXACT else 0)
            assert abs(rate - level) < slack, (test, n, name)


def _attainable(test: str, n: int) -> float:
    """The largest level up to .05 that the exact test has: p takes few values at small n."""
    if n > EXACT:
        return 0.05
    if test == "sign flip":
        return np.floor(0.05 * 2 ** (n - 1)) / 2 ** (n - 1)
    ranks = np.arange(1, n + 1)
    signs = np.arange(2**n)[:, None] >> np.arange(n) & 1
    sums = signs @ ranks
    p = np.minimum(1, 2 * np.minimum(_share(sums, sums), _share(-sums, -sums)))
    return float(np.mean(p <= 0.05))


def _share(sums: np.ndarray, seen: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.sort(sums), seen, side="right") / len(sums)


@pytest.mark.parametrize("n", [10, 40])
def test_of_the_cells_called_different_at_most_5_in_100_are_not(n: int) -> None:
    rng = np.random.default_rng(n)
    shares: dict[str, list[float]] = {"sign flip": [], "signed rank": []}
    found = 0
    for seed in range(300):
        values = SYMMETRIC["heavy-tailed" if seed % 2 else "normal"](rng, (64, n))
        values[:16] += 1.5
        for test, p in (("sign flip", sign_flip(values, seed=seed)), ("signed rank", signed_rank(values))):
            called = adjusted(p) < 0.05
            shares[test].append(called[16:].sum() / max(1, called.sum()))
            found += called[:16].sum()
    for test, wrong in shares.items():
        rate, error = float(np.mean(wrong)), float(np.std(wrong) / np.sqrt(len(wrong)))
        told("false discoveries", n, "64 cells", {test: rate, "power of both": found / (16 * 2 * 300)})
        assert rate < 0.05 + 3 * error
    assert found / (16 * 2 * 300) > 0.5


def test_choosing_on_one_half_and_testing_on_the_other_is_valid() -> None:
    rng = np.random.default_rng(0)
    naive, split, covered = [], [], []
    for seed in range(1_500):
        values = SYMMETRIC["normal"](rng, (64, 30))
        naive.append(sign_flip(values[np.abs(values.mean(axis=1)).argmax()][None], seed=seed)[0] <= 0.05)
        found = split_half(values, keep=1, seed=seed)
        split.append(found.p[0] <= 0.05)
        covered.append(found.low[0] <= 0 <= found.high[0])
    rates = {"same samples": np.mean(naive), "split": np.mean(split), "coverage": np.mean(covered)}
    told("strongest of 64 null", 30, "normal", {k: float(v) for k, v in rates.items()})
    assert rates["same samples"] > 0.8
    assert abs(rates["split"] - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 1_500)
    assert abs(rates["coverage"] - 0.95) < 0.02 + 2 * np.sqrt(0.05 * 0.95 / 1_500)
