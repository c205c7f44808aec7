"""Following: paired shares, their intervals, and when a model is said to follow."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from ivx.stats.following import FLOOR, Following, Share, paired_difference
from ivx.stats.intervals import share_difference


@pytest.mark.parametrize(("hits", "n"), [(0, 40), (1, 40), (20, 40), (39, 40), (40, 40), (1, 1), (3, 7)])
def test_a_share_has_wilsons_interval(hits: int, n: int) -> None:
    found, told = Share.of(hits, n), stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert (found.value, found.low, found.high) == pytest.approx((hits / n, told.low, told.high), abs=1e-12)


@pytest.mark.parametrize("counts", [(20, 12, 2, 16), (0, 0, 0, 54), (53, 1, 0, 0), (30, 24, 0, 0), (1, 9, 9, 1)])
def test_newcombes_interval_is_that_of_a_slow_hand(counts: tuple[int, ...]) -> None:
    """Method 10 written out once more, on SciPy's Wilson intervals."""
    a, b, c, d = counts
    n = a + b + c + d
    ci = [stats.binomtest(k, n).proportion_ci(method="wilson") for k in (a + b, a + c)]
    p, q = (a + b) / n, (a + c) / n
    excess = a * d - b * c
    root = ((a + b) * (c + d) * (a + c) * (b + d)) ** 0.5
    phi = 0.0 if root == 0 else (max(excess - n / 2, 0) if excess > 0 else excess) / root
    x, y = p - ci[0].low, ci[1].high - q
    u, v = q - ci[1].low, ci[0].high - p
    own = (p - q - (x * x - 2 * phi * x * y + y * y) ** 0.5, p - q + (u * u - 2 * phi * u * v + v * v) ** 0.5)
    found = paired_difference(*counts)
    assert (found.value, found.low, found.high) == pytest.approx((p - q, *own), abs=1e-12)


def test_unrelated_pairs_have_the_interval_of_two_samples() -> None:
    found = paired_difference(25, 25, 25, 25)
    assert found == pytest.approx(Share(0.0, *share_difference(0.5, 0.5, 100)))


@pytest.mark.parametrize(
    ("told", "bare", "shared"), [(0.5, 0.5, 0.0), (0.9, 0.1, 0.0), (0.6, 0.5, 0.4), (0.1, 0.05, 0.02)]
)
def test_the_interval_covers_as_often_as_it_says(told: float, bare: float, shared: float) -> None:
    """Exactly, over every table of 30 pairs; `shared` is what both have beyond chance."""
    n, both = 30, told * bare + shared * min(told * (1 - bare), bare * (1 - told))
    cells = (both, told - both, bare - both, 1 - told - bare + both)
    tables = [t for t in itertools.product(range(n + 1), repeat=3) if sum(t) <= n]
    counts = np.array([(*t, n - sum(t)) for t in tables])
    weights = stats.multinomial.pmf(counts, n, cells)
    likely = weights > 1e-7
    inside = [(found := paired_difference(*map(int, row))).low <= told - bare <= found.high for row in counts[likely]]
    assert 0.93 <= float(weights[likely] @ np.array(inside)) <= 0.995


def test_told_and_untold_are_counted_in_pairs() -> None:
    found = Following.counted([True, True, False, False, True], [True, False, True, False, False])
    assert found == (1, 2, 1, 1) and found.n == 5
    assert found.told.value == 0.6 and found.bare.value == 0.4 and found.difference.value == pytest.approx(0.2)


def test_it_follows_where_more_do_so_told_than_untold_and_than_a_floor() -> None:
    assert Following(0, 40, 0, 0).follows and Following(10, 25, 0, 5).follows
    assert not Following(40, 0, 0, 0).follows  # it does the same untold
    assert not Following(0, 0, 0, 40).follows
    rare = Following(0, 12, 0, 188)  # more than untold, and too rare
    assert rare.difference.low > 0 and rare.told.low < FLOOR and not rare.follows
    assert not Following(0, 1, 0, 0).follows and not Following(0, 0, 0, 0).follows


def test_what_is_said_first_says_how_sure_it_is() -> None:
    said = Following(0, 0, 0, 40).sentence("m", "t")
    assert said == (
        "m does not follow t when asked like this (told 0 %, untold 0 %, n = 40): what is shown is how the preference "
        "moves, not the behaviour."
    )
    assert Following(3, 2, 0, 5).sentence("m", "t").startswith("m is not shown to follow t")
    assert Following(0, 40, 0, 0).sentence("m", "t") == Following(0, 0, 0, 0).sentence("m", "t") == ""
