"""How often the statistics are right, by simulation: `pytest -m calibration -s` prints every rate.

Each band is what the simulation itself may be off by, or, for coverage, the 2 % that are claimed. Where a rate lies
below what is promised the test says why that is so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

import ivx
from ivx.stats import coalitions
from ivx.stats.flips import EXACT, sign_flip
from ivx.stats.intervals import adjusted, mean_interval, means, split_half
from ivx.stats.verdict import verdicts

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
LOGNORMAL: Draw = lambda rng, size: rng.lognormal(size=size) - np.exp(0.5)  # noqa: E731
"""Of mean 0 and skewness 6: a few samples seldom hold its tail, and no method knows of what it has not seen."""


def those(*numbers: float, fast: tuple[float, ...]) -> list[Any]:
    """What to test at; those that are not `fast` are slow tests."""
    return [pytest.param(n, marks=() if n in fast else pytest.mark.slow) for n in numbers]


SIZES = those(5, 10, 20, 50, 200, fast=(5, 20))
ANSWERS = {
    "even": [5] * 8,
    "colours": [12, 7, 6, 3, 3, 2, 2, 2, 2, 1],
    "pairs": [2] * 10 + [1] * 20,
}
"""How many of 40 samples have each answer."""


def told(what: str, n: int, name: str, rates: dict[str, float]) -> None:
    print(f"{what:20} n = {n:3} {name:14}" + "".join(f"{key} {rate:6.1%}   " for key, rate in rates.items()))


def band(rate: float, count: int) -> float:
    """Four standard errors of a rate that was counted so often."""
    return 4 * float(np.sqrt(rate * (1 - rate) / count))


@pytest.mark.parametrize("n", SIZES)
def test_an_interval_of_95_holds_the_mean_95_times_in_100(n: int) -> None:
    for name, draw in {**SYMMETRIC, **SKEWED, "lognormal": LOGNORMAL}.items():
        # Several seeds: one map shares its draws among its cells.
        held, sure = [], []
        for seed in range(40):
            values = draw(np.random.default_rng([n, seed]), (500, n))
            found = means(values, seed=seed)
            held.append((found.low <= 0) & (found.high >= 0))
            sure.append(found.p < 0.05)
        coverage, size = float(np.mean(held)), float(np.mean(sure))
        told("coverage of 95 %", n, name, {"": coverage, "p < .05": size})
        if name == "lognormal":
            assert coverage > 0.88 and size < 0.12
            continue
        assert 0.93 <= coverage <= 0.97, (n, name)
        # Below 5 % where few samples have few flips, and since p is the larger of two.
        assert size <= 0.06, (n, name)
        assert n < 20 or size >= 0.035, (n, name)


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 10, 20])
def test_the_usual_bootstrap_would_hold_it_less_often(n: int) -> None:
    """Why intervals are not percentiles of means drawn anew."""
    for name, draw in {**SYMMETRIC, **SKEWED, "lognormal": LOGNORMAL}.items():
        values = draw(np.random.default_rng([n, 9]), (1_000, n))
        found = stats.bootstrap((values,), np.mean, axis=1, n_resamples=500, batch=100, method="percentile", rng=0)
        interval, own = found.confidence_interval, means(values, seed=0)
        coverage = [float(np.mean((one.low <= 0) & (one.high >= 0))) for one in (interval, own)]
        told("coverage of 95 %", n, name, {"percentile": coverage[0], "ours": coverage[1]})
        assert coverage[0] < coverage[1]


@pytest.mark.parametrize("n", those(6, 8, EXACT, 20, 40, 200, fast=(6, EXACT, 20)))
def test_a_flip_of_signs_is_wrong_as_often_as_it_says(n: int) -> None:
    for name, draw in SYMMETRIC.items():
        values = draw(np.random.default_rng(n), (8_000, n))
        # The largest level up to .05 that the test has: p takes few values at small n.
        level = np.floor(0.05 * 2 ** (n - 1)) / 2 ** (n - 1) if n <= EXACT else 0.05
        one = np.floor(0.05 * 2**n) / 2**n if n <= EXACT else 0.05
        rates = float(np.mean(sign_flip(values) <= 0.05)), float(np.mean(sign_flip(values, greater=True) <= 0.05))
        told("false positives", n, name, {"two-sided": rates[0], "of": level, "one-sided": rates[1]})
        assert abs(rates[0] - level) < band(level, 8_000) and abs(rates[1] - one) < band(one, 8_000), (n, name)


@pytest.mark.parametrize("n", those(5, 10, 20, 50, 200, fast=(20,)))
@pytest.mark.parametrize("stronger", those(0.0, 0.25, 0.5, 0.75, fast=(0.0,)))
def test_where_nothing_beats_its_control_a_map_has_a_false_finding_in_5_of_100(n: int, stronger: float) -> None:
    """Every cell acts, none more than its control; in a share of the cells the control acts more."""
    rng, wrong, count = np.random.default_rng([n, int(stronger * 4)]), 0, 400
    for seed in range(count):
        values, control = 1 + rng.normal(size=(48, n)), 1 + rng.normal(size=(48, n))
        control[: int(48 * stronger)] += 1.5
        wrong += any(found.state == "ok" for found in verdicts(values, control, floor=0.05, seed=seed))
    told("any false finding", n, f"{stronger:.0%} stronger", {"": wrong / count})
    assert wrong / count <= 0.05 + band(0.05, count) / 2


@pytest.mark.slow
@pytest.mark.parametrize("n", [10, 40])
def test_of_the_findings_at_most_5_in_100_are_none(n: int) -> None:
    """A quarter of the cells act, in each kind of noise; nothing acts in the control."""
    for name, draw in {**SYMMETRIC, **SKEWED}.items():
        rng, shares, found, nothing = np.random.default_rng(n), [], 0, 0
        for seed in range(150):
            values, control = draw(rng, (64, n)), draw(rng, (64, n))
            nothing += any(v.state == "ok" for v in verdicts(values, control, floor=0.05, seed=seed))
            values[:16] += 2.5 * values.std()
            ok = np.array([v.state == "ok" for v in verdicts(values, control, floor=0.05, seed=seed)])
            shares.append(ok[16:].sum() / max(1, ok.sum()))
            found += int(ok[:16].sum())
        rate, error = float(np.mean(shares)), float(np.std(shares) / np.sqrt(len(shares)))
        told("false discoveries", n, name, {"": rate, "power": found / (16 * 150), "any in noise": nothing / 150})
        assert rate < 0.05 + 3 * error and nothing / 150 < 0.05 + band(0.05, 150) and found / (16 * 150) > 0.5


@pytest.mark.parametrize("n", SIZES)
def test_an_interval_of_rare_steps_holds_their_share(n: int) -> None:
    """Samples that follow after a patch and did not before, and the reverse: −1, 0 and 1."""
    for up, down in ((0.02, 0.0), (0.1, 0.02), (0.3, 0.05), (0.9, 0.0), (0.98, 0.0), (0.2, 0.2)):
        values = np.random.default_rng(n).choice([1.0, -1.0, 0.0], p=[up, down, 1 - up - down], size=(8_000, n))
        found = means(values, shares=True)
        coverage = float(np.mean((found.low <= up - down) & (found.high >= up - down)))
        size = float(np.mean(found.p < 0.05))
        told("steps of a share", n, f"+{up:g} −{down:g}", {"coverage": coverage, "p < .05": size})
        # Above 95 % where steps are rare: the interval leaves room for those that were not seen.
        assert coverage >= 0.93 and (found.high > found.low).all()
        assert up != down or size <= 0.06


@pytest.mark.parametrize("name", ANSWERS)
def test_where_answers_repeat_the_interval_is_for_new_answers(name: str) -> None:
    groups = np.repeat(np.arange(len(ANSWERS[name])), ANSWERS[name])
    for within in (0.0, 0.3, 0.8):
        held, plain, sure = [], [], []
        for seed in range(20):
            rng = np.random.default_rng([int(within * 10), seed])
            values = np.sqrt(within) * rng.normal(size=(300, groups[-1] + 1))[:, groups]
            values += np.sqrt(1 - within) * rng.normal(size=(300, len(groups)))
            found, (low, high) = means(values, seed=seed, groups=groups), mean_interval(values, seed=seed)
            held.append((found.low <= 0) & (found.high >= 0))
            plain.append((low <= 0) & (high >= 0))
            sure.append(found.p < 0.05)
        coverage, size, alone = (float(np.mean(rates)) for rates in (held, sure, plain))
        rates = {"": coverage, "p < .05": size, "each sample for itself": alone}
        told("answers repeat", len(groups), f"{name}, {within:g}", rates)
        assert 0.93 <= coverage <= 0.97 and size <= 0.06


@pytest.mark.parametrize("n", those(17, 20, 40, 200, fast=(20,)))
def test_one_true_cell_among_2016_is_found(n: int) -> None:
    """At 20 standard deviations; with 16 samples or fewer no test of signs can find it, as 2 ⁄ 2ⁿ × 2,016 > .05."""
    found, wrong = 0, 0
    for seed in range(10):
        rng = np.random.default_rng([n, seed])
        values, control = rng.normal(size=(2_016, n)), rng.normal(size=(2_016, n))
        values[7] += 20
        states = [v.state for v in verdicts(values, control, floor=0.05, seed=seed)]
        found, wrong = found + (states[7] == "ok"), wrong + (states.count("ok") > (states[7] == "ok"))
    told("one among 2,016", n, "normal", {"found": found / 10, "others": wrong / 10})
    assert found == 10 and wrong <= 2


def test_choosing_on_one_half_and_testing_on_the_other_is_valid() -> None:
    rng = np.random.default_rng(0)
    naive, split, covered = [], [], []
    for seed in range(1_500):
        values = SYMMETRIC["normal"](rng, (64, 30))
        naive.append(sign_flip(values[np.abs(values.mean(axis=1)).argmax()][None])[0] <= 0.05)
        found = split_half(values, keep=1, seed=seed)
        split.append(found.p[0] <= 0.05)
        covered.append(found.low[0] <= 0 <= found.high[0])
    rates = {"same samples": np.mean(naive), "split": np.mean(split), "coverage": np.mean(covered)}
    told("strongest of 64 null", 30, "normal", {k: float(v) for k, v in rates.items()})
    assert rates["same samples"] > 0.8
    assert abs(rates["split"] - 0.05) < band(0.05, 1_500)
    assert abs(rates["coverage"] - 0.95) < 0.02 + band(0.05, 1_500) / 2


def test_adjusted_p_are_under_the_false_discovery_rate() -> None:
    rng, shares = np.random.default_rng(3), []
    for _ in range(300):
        values = rng.normal(size=(64, 40))
        values[:16] += 1.5
        called = adjusted(sign_flip(values)) < 0.05
        shares.append(called[16:].sum() / max(1, called.sum()))
    assert np.mean(shares) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("count", [32, 128])
def test_intervals_of_a_sampled_game_hold_the_index_they_name(count: int) -> None:
    """Twelve players; every sample plays the same game but for its own noise, so that the orders are what varies."""
    n, players = 20, 12
    held: list[bool] = []
    plain: list[bool] = []
    wide = []
    for seed in range(12):
        rng = np.random.default_rng([count, seed])
        size = coalitions.sizes(players)
        strength = rng.normal(size=2**players) * np.array([0, 1, 0.5, 0.2, *[0.02] * 9])[size]
        mean = _whole(strength)
        values = mean + _whole(0.3 * rng.normal(size=(n, 2**players)) * (np.abs(strength) > 0) * (size < 3))
        truth = coalitions.shapley_interaction(mean)
        orders = coalitions.orders(players, count, seed=seed)
        found = coalitions.sampled_interaction(partial(_of, values), orders)
        _, pairs = coalitions.orders_error(partial(_of, values.mean(axis=0)), orders)
        there = np.isfinite(pairs.error) & np.tri(players, k=-1, dtype=bool)
        cells = found[:, there].T
        beside = (pairs.error[there], pairs.freedom[there])
        both, alone = means(cells, seed=seed, beside=beside), means(cells, seed=seed)
        held += list((both.low <= truth[there]) & (both.high >= truth[there]))
        plain += list((alone.low <= truth[there]) & (alone.high >= truth[there]))
        wide.append(np.median(both.high - both.low))
    told("sampled game", n, f"{count} orders", {"": float(np.mean(held)), "samples alone": float(np.mean(plain))})
    assert 0.93 <= np.mean(held) <= 0.97
    assert np.mean(plain) < np.mean(held)


def _of(values: np.ndarray, sets: np.ndarray) -> np.ndarray:
    return np.asarray(values[..., sets])


def _whole(dividends: np.ndarray) -> np.ndarray:
    """The values of a game from its dividends: the sum over all subsets."""
    found = dividends.copy()
    for i in range(coalitions.players_in(found)):
        paired = found.reshape(*found.shape[:-1], -1, 2, 2**i)
        paired[..., 1, :] += paired[..., 0, :]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("n", "stronger"), [(20, 0.0), (20, 0.5), (40, None)])
def test_a_map_that_is_read_from_rows_has_a_false_finding_in_5_of_100(n: int, stronger: float | None) -> None:
    """The same through a whole result: rows of a table, from which `cells` reads a map. None: nothing acts at all."""
    asked: dict[str, Any] = {"sites": ("resid_post",), "samples": n, "controls": ("task", "random")}
    found = ivx.effects("tiny-sft", "adjective/comparative", **asked)
    patches = [patch for _, _, patch in found.places("resid_post")]
    keys = found.table.select(["role", "patch", "sample"]).to_pylist()
    number = {patch: k for k, patch in enumerate(patches)}
    wrong, held, count = 0, [], 80
    for seed in range(count):
        rng = np.random.default_rng([n, seed])
        base = rng.normal(size=n)
        effect, other = (rng.normal(size=(len(patches), n)) + (stronger is not None) for _ in range(2))
        if stronger:
            other[: int(len(patches) * stronger)] += 1.5
        values = {"effect": effect, "control": other, "random": rng.normal(size=effect.shape)}
        logits = [
            base[key["sample"]]
            + (values[key["role"]][number[key["patch"].replace("=random", "")], key["sample"]] if key["patch"] else 0.0)
            if key["role"] in values
            else 0.0
            for key in keys
        ]
        at = found.table.schema.get_field_index
        table = found.table.set_column(at("logit"), "logit", pa.array(logits, pa.float64()))
        table = table.set_column(at("contrast"), "contrast", pa.array([0.0] * len(keys), pa.float64()))
        read = replace(found, table=table)
        cells = read.cells("resid_post")
        wrong += any(cell.state == "ok" for cell in cells)
        truth = float(stronger is not None)
        held += [cell.low <= truth <= cell.high for cell in cells]
    told("map from rows", n, "null" if stronger is None else f"{stronger:.0%} stronger", {"": wrong / count})
    assert wrong / count <= 0.05 + band(0.05, count) / 2 and 0.93 <= np.mean(held) <= 0.97
