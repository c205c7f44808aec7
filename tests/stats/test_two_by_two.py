"""The 2 × 2 of vector and reader: its parts against plain sums, what they are said to show, and how often they err."""

from __future__ import annotations

import numpy as np
import pytest

from ivx.stats.two_by_two import PARTS, TwoByTwo, two_by_twos

N = 20


def table(cells: list[list[float]], *, spread: float = 1.0, seed: int = 0, n: int = N) -> np.ndarray:
    """`[2, 2, 1, n]`: queries about these means, with a part of each query's that all four cells share."""
    rng = np.random.default_rng(seed)
    noise = spread * (rng.normal(size=(2, 2, 1, n)) + 2 * rng.normal(size=n))
    return np.array(cells)[:, :, None, None] + noise


def judged(cells: list[list[float]], control: np.ndarray | None = None, **told: float) -> TwoByTwo:
    return two_by_twos(table(cells, **told), control, floor=0.05)[0]  # type: ignore[arg-type]


def test_the_parts_are_plain_sums_over_queries() -> None:
    values = table([[0.5, 13.9], [1.0, 15.7]])
    f00, f01, f10, f11 = values.reshape(4, N).tolist()
    found = two_by_twos(values, None, floor=0.05)[0]
    each = list(zip(f00, f01, f10, f11, strict=True))
    assert found.interaction.value == pytest.approx(np.mean([d - c - b + a for a, b, c, d in each]))
    assert found.readers.value == pytest.approx(np.mean([(b - a + d - c) / 2 for a, b, c, d in each]))
    assert found.vector.value == pytest.approx(np.mean([(c - a + d - b) / 2 for a, b, c, d in each]))
    assert found.lead.value == pytest.approx(np.mean([b - c for a, b, c, d in each]))
    assert found.gained.value == pytest.approx(found.readers.value + found.vector.value)
    assert found.lead.value == pytest.approx(found.readers.value - found.vector.value)


@pytest.mark.parametrize(
    ("cells", "taught", "interaction"),
    [
        ([[0.0, 9.0], [0.0, 9.0]], "readers", "zero"),
        ([[0.0, 0.0], [9.0, 9.0]], "vector", "zero"),
        ([[0.0, 4.0], [4.0, 8.0]], "both", "zero"),
        ([[0.0, 0.0], [0.0, 9.0]], "both", "ok"),
        ([[0.0, 9.0], [9.0, 9.0]], "both", "ok"),
        ([[9.0, 0.0], [9.0, 0.0]], "weakened", "zero"),
        ([[9.0, 9.0], [0.0, 0.0]], "weakened", "zero"),
        ([[3.0, 3.0], [3.0, 3.0]], "unknown", "zero"),
    ],
)
def test_each_claim_is_made_where_it_holds(cells: list[list[float]], taught: str, interaction: str) -> None:
    found = judged(cells)
    assert (found.taught, found.interaction.state) == (taught, interaction)
    if interaction == "ok":
        assert (found.interaction.value > 0) == (cells[0][1] == 0)


def test_what_any_vector_does_is_no_finding() -> None:
    values = table([[0.0, 9.0], [0.0, 9.0]])
    found = two_by_twos(values, values + np.random.default_rng(1).normal(size=values.shape), floor=0.05)[0]
    assert found.readers.state == "control" and found.taught == "unknown"
    assert two_by_twos(values, np.zeros_like(values), floor=0.05)[0].taught == "readers"


def test_few_queries_tell_nothing_and_a_missing_one_leaves_its_table() -> None:
    assert judged([[0.0, 9.0], [0.0, 9.0]], n=4).taught == "unknown"
    values = table([[0.0, 9.0], [0.0, 9.0]])
    values[1, 0, 0, 3] = np.nan
    found = two_by_twos(values, None, floor=0.05)[0]
    there = np.delete(values, 3, axis=-1)
    assert found.readers.undefined == found.gained.undefined == 1
    assert found.gained.value == pytest.approx((there[1, 1] - there[0, 0]).mean())


def test_p_is_adjusted_over_the_tables_shown() -> None:
    every = [table([[0.0, 0.8], [0.0, 0.0]], seed=seed) for seed in range(4)]
    alone = [two_by_twos(values, None, floor=0.05)[0].interaction.p for values in every]
    order, least, expected = np.argsort(alone), 1.0, {}
    for rank in (4, 3, 2, 1):
        least = min(least, alone[order[rank - 1]] * 4 / rank)
        expected[order[rank - 1]] = least
    together = two_by_twos(np.concatenate(every, axis=2), None, floor=0.05)
    assert [found.interaction.p for found in together] == pytest.approx([expected[k] for k in range(4)])


@pytest.mark.parametrize("n", [10, pytest.param(20, marks=pytest.mark.slow)])
def test_intervals_hold_and_false_claims_are_rare(n: int) -> None:
    """400 tables each, normal and skewed: the truth lies in 95 % of intervals; alone, 5 % of parts are found that are
    not there."""
    means = np.array([[0.5, 13.9], [1.0, 15.7]])
    for draw in (np.random.Generator.normal, lambda rng, size: rng.exponential(size=size) - 1):
        held: dict[str, list[bool]] = {name: [] for name in PARTS}
        false = []
        for seed in range(400):
            rng = np.random.default_rng([n, seed])
            noise = draw(rng, size=(2, 2, 1, n)) + 2 * draw(rng, size=(n,))
            found = two_by_twos(means[:, :, None, None] + noise, None, floor=0.0, seed=seed)[0]
            for name, weights in PARTS.items():
                truth, part = float((np.array(weights) * means).sum()), getattr(found, name)
                held[name].append(part.low <= truth <= part.high)
            flat = np.array([[0.0, 9.0], [0.0, 9.0]])[:, :, None, None] + noise
            nothing = two_by_twos(flat, None, floor=0.0, seed=seed)[0]
            false.append((nothing.vector.state == "ok", nothing.interaction.state == "ok"))
        for name, inside in held.items():
            assert 0.92 <= np.mean(inside) <= 0.985, (n, name, np.mean(inside))
        assert (np.mean(false, axis=0) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 400)).all(), (n, np.mean(false, axis=0))
