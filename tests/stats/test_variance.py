"""Variance components against what was put in, and against the formulas of a balanced design."""

from __future__ import annotations

import numpy as np
import pytest

from ivx.stats.variance import POPULATIONS, components, shares

OWN = np.arange(24)
"""Every query has its own answer."""
SIX = np.repeat(np.arange(6), [8, 5, 4, 3, 2, 2])


def crossed(
    rng: np.random.Generator, sizes: tuple[float, float, float, float], answers: np.ndarray, *, wordings: int = 8
) -> np.ndarray:
    """Effects of mean 1 whose parts have these standard deviations."""
    wording, query, answer, rest = sizes
    shape = (wordings, len(answers))
    values = 1 + wording * rng.normal(size=(wordings, 1)) + query * rng.normal(size=len(answers))
    return np.asarray(values + answer * rng.normal(size=answers.max() + 1)[answers] + rest * rng.normal(size=shape))


def test_where_every_query_has_its_own_answer_they_are_those_of_mean_squares() -> None:
    """Henderson's estimates, which restricted likelihood gives in a balanced design where none is below 0."""
    values = crossed(np.random.default_rng(0), (1.0, 2.0, 0.0, 0.5), OWN)
    w, q = values.shape
    rest = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    squares = {
        "wording": q * values.mean(axis=1).var(ddof=1),
        "query": w * values.mean(axis=0).var(ddof=1),
        "rest": (rest**2).sum() / ((w - 1) * (q - 1)),
    }
    found = components(values, OWN)
    assert found.variance == pytest.approx(
        {
            "wording": (squares["wording"] - squares["rest"]) / q,
            "query": (squares["query"] - squares["rest"]) / w,
            "rest": squares["rest"],
        },
        rel=1e-4,
    )
    # Those of one margin are the usual t intervals of its means.
    low, high = found.interval("wordings")[1:]
    half = 2.364624 * values.mean(axis=1).std(ddof=1) / np.sqrt(w)
    assert (high - low) / 2 == pytest.approx(half, rel=1e-4)


def test_what_was_put_in_is_found() -> None:
    """Over many draws; answers have unequal numbers of queries."""
    rng, put = np.random.default_rng(1), (1.0, 0.7, 1.5, 0.5)
    found = [components(crossed(rng, put, SIX), SIX).variance for _ in range(150)]
    mean = {part: np.mean([one[part] for one in found]) for part in found[0]}
    assert mean == pytest.approx({"wording": 1.0, "query": 0.49, "answer": 2.25, "rest": 0.25}, rel=0.2)


@pytest.mark.parametrize(("sizes", "answers"), [((1.0, 0.5, 0.0, 0.5), OWN), ((0.5, 0.5, 1.0, 0.5), SIX)])
def test_an_interval_holds_for_the_population_that_it_names(
    sizes: tuple[float, float, float, float], answers: np.ndarray
) -> None:
    rng, held, plain = np.random.default_rng(2), [], []
    for _ in range(300):
        values = crossed(rng, sizes, answers)
        low, high = components(values, answers).interval("both")[1:]
        held.append(low <= 1 <= high)
        half = 1.96 * values.std(ddof=1) / np.sqrt(values.size)
        plain.append(abs(values.mean() - 1) <= half)
    assert 0.92 <= np.mean(held) <= 0.995
    assert np.mean(plain) < 0.6, "effects of one wording or query are not independent"


def test_what_more_would_buy() -> None:
    found = components(crossed(np.random.default_rng(3), (1.0, 0.3, 0.0, 0.3), OWN), OWN)
    now, told = found.half("both"), found.half("both", wordings=16)
    assert told < 0.75 * now and found.half("both", queries=480) > 0.9 * now, "wordings are what differs"
    assert {new: found.half(new) for new in POPULATIONS}["both"] >= found.half("queries")


def test_shares_add_up_and_hold_what_was_put_in() -> None:
    put = np.array([1.0, 0.49, 2.25, 0.25]) / 3.99
    rng, held = np.random.default_rng(4), []
    for seed in range(4):
        found = components(crossed(rng, (1.0, 0.7, 1.5, 0.5), SIX), SIX)
        told = shares(found, SIX, seed=seed)
        assert sum(share.value for share in told.values()) == pytest.approx(1)
        held += [share.low <= true <= share.high for share, true in zip(told.values(), put, strict=True)]
    assert np.mean(held) > 0.75


def test_effects_that_do_not_vary() -> None:
    found = components(np.ones((3, 4)), np.arange(4))
    assert found.mean == 1 and found.half("both") == pytest.approx(0, abs=1e-3)
