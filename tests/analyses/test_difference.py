"""The difference of two cells, sample by sample, against rows read one by one and a bootstrap in plain loops."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean, stdev

import numpy as np
import pytest
from scipy import stats

from ivx.analyses.effects.result import Effects
from ivx.errors import IvxError
from ivx.stats.intervals import RESAMPLES, SPREAD_FLOOR, clusters
from tests.support.results import shipped_effects


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Effects:
    return shipped_effects(tmp_path_factory.mktemp("store"))


def by_sample(result: Effects, patch: str) -> list[float]:
    """The contrast after a patch less the contrast before, from the table's rows one by one."""
    rows = [row for row in result.table.to_pylist() if row["role"] == "effect" and row["site"] == patch.split(".")[0]]
    level = {(row["patch"], row["sample"]): row["logit"] - row["contrast"] for row in rows}
    return [level[patch, i] - level["", i] for i in range(len(result.samples.rows))]


def studentised(values: list[float], seed: int) -> tuple[float, float]:
    """The bootstrap that `mean_interval` describes, resample by resample."""
    n, mean = len(values), fmean(values)
    error, student = stdev(values) / n**0.5, float(stats.t.ppf(0.975, n - 1))
    drawn = np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))
    found = []
    for picks in drawn:
        one = [values[i] - mean for i in picks]
        spread = (sum((value - fmean(one)) ** 2 for value in one) / n / (n - 1)) ** 0.5
        found.append(fmean(one) / max(spread, SPREAD_FLOOR * error))
    first, last = np.quantile(found, (0.025, 0.975))
    below, above = last + max(student - last, 0) / 2, -first + max(student + first, 0) / 2
    return mean - below * error, mean + above * error


def by_answer(values: list[float], groups: list[int]) -> tuple[float, float]:
    """Student's t on the cluster-robust error (CR2), answer by answer."""
    n, mean = len(values), fmean(values)
    square, counts = 0.0, [groups.count(g) for g in sorted(set(groups))]
    for g, count in zip(sorted(set(groups)), counts, strict=True):
        own = sum(value - mean for value, group in zip(values, groups, strict=True) if group == g)
        square += own**2 / (1 - count / n)
    freedom = n**2 / sum(count**2 for count in counts) - 1
    reach = float(stats.t.ppf(0.975, freedom)) * square**0.5 / n
    return mean - reach, mean + reach


@pytest.mark.parametrize("repeat", [True, False], ids=["answers repeat", "each its own"])
@pytest.mark.parametrize(("one", "other"), [(0, 1), (2, -1), (9, 0)])
def test_a_difference_is_that_of_the_samples_with_its_paired_interval(
    result: Effects, one: int, other: int, repeat: bool
) -> None:
    cells = [max(result.cells(site), key=lambda c: c.value) for site in result.maps]
    cells += sorted(result.cells("resid_post"), key=lambda c: c.value)
    first, second = cells[one].patch, cells[other].patch
    values = [a - b for a, b in zip(by_sample(result, first), by_sample(result, second), strict=True)]
    if not repeat:
        rows = tuple(replace(row, answer=str(i)) for i, row in enumerate(result.samples.rows))
        result = replace(result, samples=replace(result.samples, rows=rows))
    assert (clusters(result.samples.groups) is None) is not repeat
    found = result.difference(first, second)
    groups = result.samples.groups.tolist()
    ends = by_answer(values, groups) if repeat else studentised(values, result.request.seed)
    assert found.n == len(values) and found.value == pytest.approx(fmean(values), rel=1e-9)
    assert (found.low, found.high) == pytest.approx(ends, rel=1e-6)
    back = result.difference(second, first)
    assert (back.value, back.low, back.high) == pytest.approx((-found.value, -found.high, -found.low))


def test_pairing_narrows_what_the_same_samples_share(result: Effects) -> None:
    same = max(result.cells("resid_post"), key=lambda c: c.value)
    assert result.difference(same.patch, same.patch)[:3] == (0, 0, 0)
    for metric in ("followed", "logprob", "reciprocal_rank"):
        cell = next(one for one in result.cells("resid_post", metric) if one.patch == same.patch)
        found = result.difference(same.patch, result.cells("resid_post")[0].patch, metric)
        assert found.low <= found.value <= found.high and found.n == cell.n


def test_what_is_no_finished_cell_is_refused(result: Effects) -> None:
    cell = result.cells("resid_post")[0].patch
    for wrong in ("", "resid_post.99@0~-1", "nothing", "mlp_out.1@0~-1"):
        with pytest.raises(IvxError, match="no finished cell of these maps"):
            result.difference(cell, wrong)
