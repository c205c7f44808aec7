"""Metrics beyond one row: recovery is the ratio of the means with its spread, and what is lacking is a sentence."""

from __future__ import annotations

import numpy as np
import pytest

from ivx.errors import IvxError
from ivx.stats.metrics import FALLEN, METRICS, Columns, find


def rows(logit: np.ndarray, told: np.ndarray) -> Columns:
    none = np.zeros(len(logit))
    return {"logit": logit, "contrast": none, "told_logit": told, "told_contrast": none}


def test_recovery_is_the_ratio_of_means_and_spreads_as_it_does() -> None:
    draw = np.random.default_rng(0)
    told, n = draw.normal(5.0, 1.0, 4000), 40
    moved = 0.6 * told + draw.normal(0.0, 0.5, 4000)
    ratios, errors = [], []
    for k in range(0, 4000, n):
        values = find("recovery").effect(rows(moved[k : k + n], told[k : k + n]), rows(np.zeros(n), told[k : k + n]))
        assert values.mean() == pytest.approx(moved[k : k + n].mean() / told[k : k + n].mean())
        ratios.append(values.mean())
        errors.append(values.std(ddof=1) / np.sqrt(n))
    assert np.std(ratios) == pytest.approx(np.mean(errors), rel=0.2), (
        "the spread of the ratio, its denominator's with it"
    )
    whole = find("recovery").effect(rows(told, told), rows(np.zeros(4000), told))
    assert np.allclose(whole, 1.0) and np.allclose(find("against_told").effect(rows(told, told), {}), 0.0)


def test_where_nothing_is_to_be_recovered_it_is_undefined() -> None:
    told = np.array([1.0, -1.0, 0.5, -0.5])
    assert np.isnan(find("recovery").effect(rows(np.ones(4), told), rows(np.zeros(4), told))).all()
    one_lost = np.array([np.nan, 4.0, 5.0, 6.0])
    values = find("recovery").effect(rows(one_lost / 2, one_lost), rows(np.zeros(4), one_lost))
    assert np.isnan(values[0]) and np.nanmean(values) == pytest.approx(0.5)


def test_ranks_as_they_are_and_as_published() -> None:
    columns = {"rank": np.array([1.0, 2.0, FALLEN, FALLEN + 1, np.nan])}
    assert find("published_rank").measure(columns)[:4].tolist() == [1.0, 0.5, 1 / FALLEN, -1.0]
    assert find("top2").measure(columns)[:4].tolist() == [1.0, 1.0, 0.0, 0.0]
    assert np.isnan(find("top2").measure(columns)[4]) and np.isnan(find("published_rank").measure(columns)[4])
    before, after = {"rank": np.array([7.0])}, {"rank": np.array([3.0])}
    assert find("rank").effect(after, before).tolist() == [4.0]


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.needs])
def test_rows_that_lack_what_a_metric_needs_are_refused(name: str) -> None:
    row = {"logit": np.zeros(1), "contrast": np.zeros(1)}
    with pytest.raises(IvxError, match=f"the metric {name} needs .* beside a row"):
        find(name).effect(row, row)
