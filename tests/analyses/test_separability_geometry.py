"""Geometry of states without a probe: against plain loops, in noise, on planted groups, and on the tiny model."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import StandardScaler

import ivx
from ivx.analyses.registry import context, restored
from ivx.analyses.separability import SEPARABILITY, projection
from ivx.analyses.separability.geometry import NAMES, geometry
from ivx.analyses.separability.splits import Examples
from ivx.analyses.separability.trajectories import centred, plane_of
from ivx.errors import IvxError
from tests.support.examples import made

EXAMPLES = made()
N = len(EXAMPLES.labels)


def states(*, apart: float, width: int = 40, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(len(EXAMPLES.classes), width))
    return (draw.normal(size=(N, width)) + apart * centres[EXAMPLES.labels] + 0.5).astype(np.float32)


def test_every_measure_is_that_of_plain_loops() -> None:
    found, rows = geometry(states(apart=1.0), EXAMPLES), states(apart=1.0).astype(np.float64)
    cosines: dict[bool, list[float]] = {True: [], False: []}
    for i, j in combinations(range(N), 2):
        if EXAMPLES.families[i] != EXAMPLES.families[j]:
            cosine = rows[i] @ rows[j] / np.sqrt((rows[i] @ rows[i]) * (rows[j] @ rows[j]))
            cosines[bool(EXAMPLES.labels[i] == EXAMPLES.labels[j])].append(cosine)
    assert found["cosine_within"][0] == pytest.approx(np.mean(cosines[True]), abs=1e-12)
    assert found["cosine_between"][0] == pytest.approx(np.mean(cosines[False]), abs=1e-12)
    assert found["norm"][0] == pytest.approx(np.mean([np.sqrt(row @ row) for row in rows]), abs=1e-12)
    scaled = StandardScaler().fit_transform(rows)
    assert found["silhouette"][0] == pytest.approx(silhouette_score(scaled, EXAMPLES.labels), abs=1e-12)
    assert set(found) == set(NAMES) and all(low <= value <= high for value, low, high in found.values())


def test_what_is_planted_lies_apart_and_noise_does_not() -> None:
    planted = geometry(states(apart=2.0), EXAMPLES)
    assert planted["cosine_within"][1] > planted["cosine_between"][2]
    assert planted["silhouette"][1] > planted["silhouette_shuffled"][2]
    within = []
    for seed in range(20):
        found = geometry(states(apart=0.0, seed=seed), EXAMPLES, seed=seed)
        apart = found["silhouette"][0] - found["silhouette_shuffled"][0]
        within.append(found["silhouette"][1] <= 0 and abs(apart) < 0.05)
    assert sum(within) == 20


def test_of_more_wordings_than_can_be_compared_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ivx.analyses.separability.geometry.MOST", N // 2)
    few, again = (geometry(states(apart=1.0), EXAMPLES) for _ in range(2))
    assert few == again and few != geometry(states(apart=1.0), EXAMPLES, seed=1)


def test_what_is_not_defined_is_left_out() -> None:
    alone = Examples(EXAMPLES.labels, ("one",) * N, EXAMPLES.texts, EXAMPLES.classes, EXAMPLES.problems)
    assert "cosine_within" not in geometry(states(apart=1.0), alone)


@pytest.mark.parametrize("width", [2, 3, 40])
def test_the_plane_of_all_layers_is_their_pca(width: int) -> None:
    layers = [states(apart=1.0, width=width, seed=seed) * 10**seed for seed in range(4)]
    fixed = plane_of(layers.__getitem__, len(layers))
    stacked = np.concatenate([centred(layer) for layer in layers])
    long = PCA(2, svd_solver="full").fit(stacked)
    assert fixed.share == pytest.approx(long.explained_variance_ratio_.sum(), abs=1e-9)
    assert np.allclose(np.abs(fixed.axes.T @ long.components_.T), np.eye(2), atol=1e-6)
    drawn = np.concatenate([fixed.points(layer) for layer in layers])
    assert np.allclose(np.abs(drawn), np.abs(long.transform(stacked)), atol=1e-6)


def test_tsne_keeps_planted_groups_together_and_is_the_same_again() -> None:
    split = EXAMPLES.splits(folds=2, repeats=1)[0]
    rows = states(apart=3.0)[: N // 2]
    told = [projection.tsne(rows, EXAMPLES.labels, split, seed=3) for _ in range(2)]
    assert np.array_equal(told[0][0], told[1][0]) and np.isnan(told[0][1])
    assert silhouette_score(told[0][0], EXAMPLES.labels[: N // 2]) > 0.5


def test_a_run_tells_its_geometry_and_paths_and_a_run_without_them_opens() -> None:
    tasks = ("animal/colour", "animal/can-fly")
    found = ivx.separability("tiny-sft", tasks, wordings=10, folds=2, repeats=1, projections=("pca", "tsne"))
    layers = found.geometry("resid_post")
    assert [one.layer for one in layers] == list(range(found.layers))
    assert layers[-1].within[0] > layers[-1].between[0] and layers[-1].norm[0] > 0
    for kind in ("path", "tsne"):
        assert all(len(found.projection(k, "resid_post", kind).points) == len(found.wordings) for k in range(8))
    shares = {found.projection(k, "resid_post", "path").share for k in range(8)}
    (share,) = shares
    assert share is not None and 0 < share <= 1
    printed = SEPARABILITY.words.text(found.summary())
    assert "cosines of states" in printed and f"{layers[-1].within[0]:.3f}" in printed

    asked = json.loads(json.dumps({"kind": "separability", "request": found.receipt["request"]}))
    told = json.loads(json.dumps(context(found)))
    again = restored(asked, told, found.table, found.receipt)
    assert again.geometry("resid_post") == layers

    older = found.table.filter([name not in (*NAMES, "path") for name in found.table["measure"].to_pylist()])
    before = restored(asked, told, older, {**found.receipt, "rows": older.num_rows})
    assert before.geometry("resid_post") == [] and before.cells("resid_post") == found.cells("resid_post")
    with pytest.raises(IvxError, match="no path"):
        before.projection(0, "resid_post", "path")
