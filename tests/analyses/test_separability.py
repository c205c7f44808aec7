"""Separability: nothing is found in noise, what is planted is found, and short cuts say what the long way says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.covariance import ledoit_wolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from transformers import AutoTokenizer

import ivx
from ivx.analyses.registry import context, restored
from ivx.analyses.separability import SEPARABILITY, probes, projection
from ivx.analyses.separability.coordinates import coordinates
from ivx.analyses.separability.probes import NotConverged, bag_of_words, probe
from ivx.analyses.separability.request import SeparabilityRequest
from ivx.analyses.separability.result import WORDS, Separability
from ivx.analyses.separability.splits import Examples, Split
from ivx.cli.main import main
from ivx.engine.hooks.capture import capture
from ivx.errors import AddressError, Cancelled, IvxError, TaskError
from ivx.formats import sheet
from ivx.jobs.compute import computed, stored
from ivx.jobs.replay import ReplayRequest, replay
from ivx.models.registry import EMBEDDED
from ivx.patching import gate
from ivx.stats.intervals import repeated_interval
from ivx.store.store import Store
from tests.support import oracle
from tests.support.examples import made
from tests.support.random_models import random_model

TOKENIZER = AutoTokenizer.from_pretrained(EMBEDDED / "tiny-sft", local_files_only=True)
SITES = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "z")


EXAMPLES = made()


def noise(width: int, *, seed: int = 0, examples: Examples = EXAMPLES) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(len(examples.labels), width)).astype(np.float32)


def interval(scores: probes.Scores, name: str, *, folds: int = 5) -> tuple[float, float, float]:
    return repeated_interval(scores.values[name], share=1 / folds)


# Capture


@pytest.mark.parametrize("kind", ["gpt2", "olmo2"])
def test_captured_states_are_those_of_single_prompts(kind: str, tmp_path: Path) -> None:
    model = random_model(kind)
    prompts = [[5, 17, 33, 8], [9, 2, 40], [5, 17, 33, 9], [7], [1, 2, 3, 4, 5, 6]]
    positions = [3, 1, 0, 0, 4]
    in_memory = capture(model, prompts, sites=SITES, positions=positions)
    mapped = capture(model, prompts, sites=SITES, positions=positions, folder=tmp_path / "states")
    for site in SITES:
        assert isinstance(mapped.sites[site], np.memmap) and not mapped.sites[site].flags.writeable
        stored_file = np.load(tmp_path / "states" / f"{site}.npy", allow_pickle=False)
        assert stored_file.dtype == np.float32 and stored_file.shape[:2] == (3, 5)
        for layer in range(model.layers):
            for k, (ids, at) in enumerate(zip(prompts, positions, strict=True)):
                alone = oracle.states(model.hf, kind, ids, (site, layer))[at].numpy()
                for found in (in_memory, mapped):
                    assert np.allclose(found.states(site, layer)[k], alone.astype(np.float32), rtol=1e-6, atol=1e-6)
    embeddings = model.hf.get_input_embeddings()
    assert isinstance(embeddings, torch.nn.Embedding)
    first = embeddings.weight[[ids[at] for ids, at in zip(prompts, positions, strict=True)]]
    assert np.array_equal(in_memory.embedding, first.detach().numpy().astype(np.float32))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.hf.modules())


def test_capture_makes_one_pass_a_prompt_in_batches_that_fit(tmp_path: Path) -> None:
    model = random_model("llama")
    prompts = [[k, k + 1, k + 2] for k in range(10)]
    passes: list[int] = []
    handle = model.hf.register_forward_pre_hook(lambda m, a, k: passes.append(len(k["input_ids"])), with_kwargs=True)
    capture(model, prompts, sites=SITES)
    assert passes == [10]
    passes.clear()
    small = capture(model, prompts, sites=("z",), folder=tmp_path, memory_gb=1e-4)
    handle.remove()
    assert sum(passes) == 10 and max(passes) < 10
    assert np.allclose(small.sites["z"], capture(model, prompts, sites=("z",)).sites["z"], atol=1e-6)


def test_capture_refuses_in_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = random_model("llama")
    with pytest.raises(IvxError, match="prompt 1 has 2 tokens, none at 2"):
        capture(model, [[1, 2, 3], [1, 2]], sites=("z",), positions=[2, 2])
    with pytest.raises(IvxError, match="give a folder"):
        capture(model, [[1, 2, 3]] * 100, sites=SITES, memory_gb=1e-6)
    monkeypatch.setattr("ivx.engine.hooks.capture.DISK_FLOOR", 10**18)
    with pytest.raises(IvxError, match="of the disk at"):
        capture(model, [[1, 2, 3]], sites=SITES, folder=tmp_path)
    with pytest.raises(AddressError, match="resid_mid"):
        capture(random_model("phi"), [[1, 2]], sites=("resid_mid",))


# Compact coordinates against the plain pipeline


def plain(classifier: object) -> Pipeline:
    return make_pipeline(StandardScaler(), classifier)


@pytest.mark.parametrize("repeated", [False, True])
def test_coordinates_say_what_the_plain_pipeline_says(repeated: bool) -> None:
    """With fewer points than features, scales that differ, a constant feature, and, if `repeated`, equal points."""
    draw = np.random.default_rng(1)
    scales = np.exp(draw.normal(size=300))
    states = (noise(300) + 0.4 * draw.normal(size=(4, 300))[EXAMPLES.labels]) * scales + 3
    states[:, 7] = 2.5
    if repeated:
        states[EXAMPLES.labels == 0] = states[0]
    split = EXAMPLES.splits(folds=5, repeats=1)[0]
    train, test = states[split.train].astype(np.float32), states[split.test].astype(np.float32)
    right = EXAMPLES.labels[split.train]
    a, b = coordinates(train, test)
    scaler = StandardScaler().fit(train.astype(np.float64))
    u, v = scaler.transform(train.astype(np.float64)), scaler.transform(test.astype(np.float64))
    assert a.shape[1] <= len(a) + 1 < u.shape[1]
    assert np.allclose(cdist(a, a), cdist(u, u), atol=1e-5) and np.allclose(cdist(b, a), cdist(v, u), atol=1e-5)

    linear = probes.fit(a, right)
    long = plain(LogisticRegression(C=probes.C, max_iter=10_000, tol=1e-8)).fit(train.astype(np.float64), right)
    assert np.array_equal(linear.predict(b), long.predict(test.astype(np.float64)))
    assert np.allclose(linear.decision_function(b), long.decision_function(test.astype(np.float64)), atol=5e-3)
    for mine, theirs in (
        (probes._nearest(a, right, b), plain(NearestCentroid()).fit(train, right).predict(test)),
        (SVC(gamma=0.01).fit(a, right).predict(b), plain(SVC(gamma=0.01)).fit(train, right).predict(test)),
    ):
        assert np.array_equal(mine, theirs)


def test_with_more_points_than_features_nothing_is_turned() -> None:
    states = noise(20) * 3 + 1
    a, b = coordinates(states[:80], states[80:])
    scaler = StandardScaler().fit(states[:80].astype(np.float64))
    assert np.allclose(a, scaler.transform(states[:80]), atol=1e-5) and np.allclose(
        b, scaler.transform(states[80:]), atol=1e-5
    )


def test_a_solver_that_stops_short_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "MAX_ITER", 1)
    with pytest.warns(match="[Cc]onverge"), pytest.raises(NotConverged, match="stopped after 1 steps"):
        probe(noise(400), EXAMPLES, EXAMPLES.splits(folds=5, repeats=1))


# Noise, and what is planted in it


def test_noise_is_at_chance_within_its_interval() -> None:
    """More features than points: the training part is told apart without fail, and nothing of it holds."""
    covered = []
    for seed in range(8):
        splits = EXAMPLES.splits(folds=5, repeats=2, seed=seed)
        found = probe(noise(400, seed=seed), EXAMPLES, splits, seed=seed)
        for name in ("accuracy", "control", "centroid"):
            _, low, high = interval(found, name)
            covered.append(low <= EXAMPLES.chance <= high)
        mean, low, high = interval(found, "selectivity")
        covered.append(low <= 0 <= high)
        assert abs(mean) < 0.15
    assert np.mean(covered) >= 0.85
    states, split = noise(400), EXAMPLES.splits(folds=5, repeats=1)[0]
    a, _ = coordinates(states[split.train], states[split.test])
    assert (probes.fit(a, EXAMPLES.labels[split.train]).predict(a) == EXAMPLES.labels[split.train]).all()


def test_the_discriminant_plane_shows_no_clusters_of_noise() -> None:
    states, split = noise(400), EXAMPLES.splits(folds=2, repeats=1)[0]
    points, _ = projection.lda(states, EXAMPLES.labels, split)
    drawn = ~np.isnan(points).any(axis=1)
    assert set(np.flatnonzero(drawn)) == set(split.test), "only what was not learnt from is drawn"
    labels = EXAMPLES.labels[split.test]
    assert silhouette_score(points[split.test], labels) < 0.02
    # The same plane, fitted on what it shows, would have shown clusters.
    fooled, _ = projection.lda(states, EXAMPLES.labels, Split(0, split.test, split.test))
    assert silhouette_score(fooled[split.test], labels) > 0.5


def test_a_split_that_leaks_is_refused() -> None:
    states, splits = noise(20), EXAMPLES.splits(folds=5, repeats=1)
    train, test = splits[0].train, splits[0].test
    with pytest.raises(IvxError, match="the split leaks: a paraphrase family is on both sides"):
        probe(states, EXAMPLES, [Split(0, np.append(train, test[0]), test[1:])])
    with pytest.raises(IvxError, match="the split leaks"):
        probe(states, EXAMPLES, [Split(0, np.append(train, test), test)])
    same = list(EXAMPLES.texts)
    same[test[0]] = f"  {same[train[0]].upper()} "
    with pytest.raises(IvxError, match="the split leaks: a wording is on both sides"):
        probe(states, replace(EXAMPLES, texts=tuple(same)), splits)
    alone = train[EXAMPLES.labels[train] != 2]
    with pytest.raises(IvxError, match="no wording of c is left to learn from"):
        probe(states, EXAMPLES, [Split(0, alone, test)])


def test_splits_are_by_family_seeded_and_cover_every_wording() -> None:
    splits = EXAMPLES.splits(folds=5, repeats=3, seed=4)
    assert len(splits) == 15
    for repeat in range(3):
        tried = np.concatenate([split.test for split in splits if split.repeat == repeat])
        assert sorted(tried) == list(range(len(EXAMPLES.labels)))
    again = EXAMPLES.splits(folds=5, repeats=3, seed=4)
    assert all(np.array_equal(one.test, other.test) for one, other in zip(splits, again, strict=True))
    other = EXAMPLES.splits(folds=5, repeats=3, seed=5)
    assert any(not np.array_equal(one.test, two.test) for one, two in zip(splits, other, strict=True))


def test_control_labels_are_shuffled_by_family() -> None:
    every = np.arange(len(EXAMPLES.labels))
    nested = replace(EXAMPLES, families=tuple(f"{k % 4} {k // 12}" for k in every))  # families of one task each
    for examples in (EXAMPLES, nested):
        shuffled = examples.shuffled(every, seed=(0, 0))
        blocks: dict[tuple[str, int], set[int]] = {}
        for family, label, other in zip(examples.families, examples.labels, shuffled, strict=True):
            blocks.setdefault((family, int(label)), set()).add(int(other))
        assert all(len(others) == 1 for others in blocks.values()), "one label for all wordings of a family's task"
        assert np.array_equal(np.bincount(shuffled), np.bincount(examples.labels))
        assert 0.05 < np.mean(shuffled == examples.labels) < 0.6


def test_a_planted_linear_feature_is_found_at_its_layer() -> None:
    splits, direction = EXAMPLES.splits(folds=5, repeats=2), noise(400, seed=9)[:4]
    layers = [noise(400, seed=layer) for layer in range(4)]
    layers[2] = layers[2] + 0.3 * direction[EXAMPLES.labels]
    accuracy = [interval(probe(states, EXAMPLES, splits), "accuracy") for states in layers]
    selectivity = [interval(probe(states, EXAMPLES, splits), "selectivity")[1] > 0 for states in layers]
    assert accuracy[2][1] > 0.8
    assert all(mean < 0.4 and low <= 0.25 <= high for k, (mean, low, high) in enumerate(accuracy) if k != 2)
    assert selectivity == [False, False, True, False]


@pytest.mark.parametrize("width", [24, 600])
def test_a_planted_xor_is_missed_by_the_line_and_found_by_the_kernel(width: int) -> None:
    examples = made(tasks=2, wordings=120, families=12)
    draw = np.random.default_rng(3)
    one, two = draw.choice([-1, 1], size=(2, len(examples.labels)))
    two = np.where((one * two > 0) == (examples.labels == 1), two, -two)
    states = noise(width, examples=examples)
    axes = np.linalg.qr(draw.normal(size=(width, 2)))[0] * np.sqrt(width) * 1.2
    states = (states + np.outer(one, axes[:, 0]) + np.outer(two, axes[:, 1])).astype(np.float32)
    found = probe(states, examples, examples.splits(folds=5, repeats=2))
    assert interval(found, "accuracy")[2] < 0.7 and interval(found, "nonlinear")[1] > 0.85


def test_scores_are_of_one_piece() -> None:
    direction = noise(60, seed=9)[:4]
    states = (noise(60) + 0.7 * direction[EXAMPLES.labels]).astype(np.float32)
    splits = EXAMPLES.splits(folds=5, repeats=3)
    found = probe(states, EXAMPLES, splits)
    assert found.confusion.sum() == 3 * len(EXAMPLES.labels)
    counted = np.trace(found.confusion) / found.confusion.sum()
    weights = [len(split.test) for split in splits]
    assert counted == pytest.approx(np.average(found.values["accuracy"], weights=weights))
    assert np.allclose(found.values["selectivity"], found.values["accuracy"] - found.values["control"])
    assert list(found.curve) == [1, 2, 5, 10, 20] and all(len(values) == 5 for values in found.curve.values())
    assert found.curve[1].mean() < found.curve[20].mean() <= found.values["accuracy"].mean() + 0.05
    again = probe(states, EXAMPLES, splits)
    assert all(np.array_equal(found.values[name], again.values[name]) for name in found.values)
    by_hand = plain(LogisticRegression(C=probes.C, max_iter=10_000, tol=1e-8))
    train, test = splits[4].train, splits[4].test
    score = by_hand.fit(states[train], EXAMPLES.labels[train]).decision_function(states[test])
    right = EXAMPLES.labels[test]
    own = score[np.arange(len(test)), right]
    score[np.arange(len(test)), right] = -np.inf
    assert found.values["margin"][4] == pytest.approx((own - score.max(axis=1)).mean(), abs=1e-2)


def test_pairs_are_told_apart_within_themselves_only() -> None:
    """A feature that tells the pairs apart, and nothing within them."""
    examples = replace(EXAMPLES, problems=((0, 1), (2, 3)))
    states = noise(60) + 3 * (EXAMPLES.labels // 2)[:, None].astype(np.float32)
    found = probe(states, examples, examples.splits(folds=5, repeats=2))
    assert examples.chance == 0.5 and interval(found, "accuracy")[1] < 0.5 < interval(found, "accuracy")[2]
    assert found.confusion[:2, 2:].sum() == found.confusion[2:, :2].sum() == 0
    whole = probe(states, EXAMPLES, EXAMPLES.splits(folds=5, repeats=2))
    assert whole.confusion[:2, 2:].sum() == 0 and 0.35 < interval(whole, "accuracy")[0] < 0.65


def test_a_bag_of_words_needs_no_model() -> None:
    told = tuple(f"please state the {'abcd'[label]}word now" for label in EXAMPLES.labels)
    with pytest.raises(IvxError, match="leaks"):  # these are the same texts over and over
        replace(EXAMPLES, texts=told).splits(folds=5, repeats=1)
    texts = tuple(f"{text} {k}" for k, text in enumerate(told))
    examples = replace(EXAMPLES, texts=texts)
    found = bag_of_words(examples, examples.splits(folds=5, repeats=1))
    assert (found.values["accuracy"] == 1).all() and found.values["control"].mean() < 0.6


def test_the_interval_covers_what_folds_that_share_data_would_vary_by() -> None:
    mean, low, high = repeated_interval(np.array([0.5, 0.6, 0.7, 0.6]), share=0.25)
    spread = np.sqrt((1 / 4 + 1 / 3) * np.var([0.5, 0.6, 0.7, 0.6], ddof=1))
    assert mean == pytest.approx(0.6) and high - mean == pytest.approx(3.182446 * spread, rel=1e-6)
    assert mean - low == pytest.approx(high - mean)


# Projections


def test_shrinkage_is_ledoit_and_wolfs_in_any_coordinates() -> None:
    draw = np.random.default_rng(0)
    for n, width in ((40, 200), (200, 20)):
        states = draw.normal(size=(n, width)) * np.linspace(0.2, 2, width)
        centred = states - states.mean(axis=0)
        assert np.allclose(
            projection.shrunk(centred, width=width), ledoit_wolf(centred, assume_centered=True)[0], atol=1e-6
        )
    turned = centred[:, :20] @ np.linalg.qr(draw.normal(size=(20, 20)))[0]
    assert np.allclose(
        np.linalg.eigvalsh(projection.shrunk(turned, width=20)),
        np.linalg.eigvalsh(projection.shrunk(centred, width=20)),
    )


@pytest.mark.parametrize("width", [30, 200])
def test_the_discriminant_plane_is_scikit_learns(width: int) -> None:
    direction = noise(width, seed=9)[:4]
    states = (noise(width) + direction[EXAMPLES.labels]).astype(np.float32)
    split = EXAMPLES.splits(folds=2, repeats=1)[0]
    scaler = StandardScaler().fit(states[split.train].astype(np.float64))
    train, test = (scaler.transform(states[part].astype(np.float64)) for part in (split.train, split.test))
    labels = EXAMPLES.labels[split.train]
    centres = np.stack([train[labels == k].mean(axis=0) for k in range(4)])
    _, share = ledoit_wolf(train - centres[labels], assume_centered=True)
    theirs = LinearDiscriminantAnalysis(solver="eigen", shrinkage=share).fit(train, labels).transform(test)[:, :2]
    mine = projection.lda(states, EXAMPLES.labels, split)[0][split.test]
    corner = np.corrcoef(mine.T, theirs.T)[:2, 2:]
    assert np.allclose(np.abs(np.diag(corner)), 1, atol=1e-2)


def test_layers_do_not_flip() -> None:
    points = np.random.default_rng(0).normal(size=(50, 2)) * [2, 1] + 5
    first = projection.aligned(points, None)
    assert np.allclose(first.mean(axis=0), 0) and np.square(first).sum(axis=1).mean() == pytest.approx(1)
    turn = np.array([[0.6, 0.8], [0.8, -0.6]])  # mirrored, too
    assert np.allclose(projection.aligned(3 * points @ turn - 7, first), first)
    undrawn = np.where(np.arange(50)[:, None] % 2, np.nan, 3 * points @ turn)
    again = projection.aligned(undrawn, projection.aligned(np.where(np.isnan(undrawn), np.nan, points), None))
    assert np.isnan(again[1::2]).all() and not np.isnan(again[::2]).any()


def test_umap_is_there_when_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "find_spec", lambda name: None)
    with pytest.raises(IvxError, match="needs the package umap-learn"):
        ivx.separability(random_model("gpt2", tokenizer=TOKENIZER), "tiny:all", projections=("umap",))


# The whole analysis

ASKED: dict[str, Any] = {"components": ("resid_pre", "resid_post", "z"), "wordings": 20, "folds": 3, "repeats": 1}
FEW = ("tiny:animal/colour", "tiny:animal/can-fly", "tiny:verb/past")


@pytest.fixture(scope="module")
def model() -> ivx.models.model.Model:
    return random_model("gpt2", tokenizer=TOKENIZER, dtype=torch.float32)


def test_a_result_reads_without_its_model(model: ivx.models.model.Model) -> None:
    seen: list[tuple[int, int, int]] = []
    found = ivx.separability(
        model, FEW, **ASKED, on_progress=lambda result, *done: seen.append((result.table.num_rows, *done))
    )
    places = 2 + 3 * model.layers
    assert seen[-1] == (found.table.num_rows, places, places) and seen[0][1:] == (0, places)
    assert all(a <= b for a, b in zip(seen, seen[1:], strict=False))
    for component in ASKED["components"]:
        cells = found.cells(component)
        assert [cell.layer for cell in cells] == [0, 1, 2] and {cell.n for cell in cells} == {60}
        for cell in cells:
            for told in (cell.accuracy, cell.control, cell.centroid, cell.nonlinear):
                assert told is not None and 0 <= told.low <= told.value <= told.high <= 1
            assert cell.state == ("ok" if cell.selectivity.low > 0 else "zero")
    # What enters a block is what left the one before.
    assert [replace(c, component="", layer=0) for c in found.cells("resid_pre")[1:]] == [
        replace(c, component="", layer=0) for c in found.cells("resid_post")[:-1]
    ]
    assert np.allclose(found.confusion(1, "z").sum(axis=1), 1)
    assert [point.wordings for point in found.curve(1, "z")][:4] == [1, 2, 5, 10]
    pca, lda = (found.projection(1, "z", kind) for kind in ("pca", "lda"))
    assert len(pca.points) == 60 > len(lda.points) > 20
    assert pca.share is not None and 0 < pca.share < 1
    assert all(point.wording == found.wordings[point.number] for point in lda.points)
    with pytest.raises(IvxError, match="'mlp_out' was not probed here"):
        found.cells("mlp_out")
    with pytest.raises(IvxError, match="no lda of z, layer 9"):
        found.projection(9, "z", "lda")
    words = found.baseline(WORDS)
    assert (
        words.layer == -1 and words.margin is None and found.summary()["layers"][0]["baseline"] == words.accuracy.value
    )


def test_a_large_capture_lies_in_files_that_go_again(
    model: ivx.models.model.Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = ivx.separability(model, FEW, **ASKED)
    monkeypatch.setenv("IVX_CACHE", str(tmp_path))
    monkeypatch.setattr("ivx.analyses.separability.compute.SMALL", 0)
    mapped = ivx.separability(model, FEW, **ASKED)
    assert mapped.table.equals(kept.table) and not list((tmp_path / "states").glob("*/*"))


def test_what_was_stored_is_read_again_and_gone_on_with(tmp_path: Path) -> None:
    store, model = Store(tmp_path), ivx.load("tiny-sft-period")
    request = SeparabilityRequest(
        "tiny-sft-period", ("animal/colour", "animal/can-fly"), wordings=20, folds=3, repeats=1
    )
    assert stored(store, request) is None

    def stop(result: Separability, done: int, total: int) -> None:
        if done == 5:
            raise Cancelled

    with pytest.raises(Cancelled):
        computed(store, model, request, on_progress=stop)
    counts: list[int] = []
    whole = computed(store, model, request, on_progress=lambda result, *_: counts.append(result.table.num_rows))
    assert counts[0] > 0 and counts[0] == counts[5], "what was known is not probed again"
    again = stored(store, request)
    assert isinstance(again, Separability) and again.receipt["resumed_rows"] == counts[0]
    fresh = ivx.separability(model, request.tasks, wordings=20, folds=3, repeats=1)
    for found in (whole, again):
        assert found.table.drop(["x", "y"]).to_pylist() == fresh.table.drop(["x", "y"]).to_pylist()
        assert found.tasks == fresh.tasks and found.wordings == fresh.wordings and found.cells("resid_post")
    for layer in range(8):
        for kind in ("pca", "lda"):
            one, two = (f.projection(layer, "resid_post", kind) for f in (again, fresh))
            assert np.allclose([[p.x, p.y] for p in one.points], [[p.x, p.y] for p in two.points], atol=1e-5)

    replayed = replay(store, model, ReplayRequest("tiny-sft-period", again.run_id, rows=3))
    assert replayed.what == "accuracy" and len(replayed.rows) == 3 and replayed.largest < 0.02


def test_a_context_is_not_taken_on_trust(model: ivx.models.model.Model) -> None:
    found = ivx.separability(model, FEW, **ASKED)
    asked = json.loads(json.dumps({"kind": "separability", "request": found.receipt["request"]}))
    told = json.loads(json.dumps(context(found)))
    again = restored(asked, told, found.table, found.receipt)
    assert again.wordings == found.wordings and again.request == found.request
    for name, value in (
        ("tasks", ["a"]),
        ("wordings", [[9, "a", "b", "c"]]),
        ("wordings", [["a", "b"]]),
        ("layers", 0),
    ):
        with pytest.raises(IvxError, match="cannot be used"):
            restored(asked, {**told, name: value}, found.table, found.receipt)
    with pytest.raises(IvxError, match="components"):
        restored({**asked, "request": {**asked["request"], "components": ["z", "z"]}}, told, found.table, found.receipt)


def test_too_little_is_refused(model: ivx.models.model.Model, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="needs at least 2 tasks"):
        ivx.separability(model, "tiny:animal/colour")
    rows = [f"q{k},pink,no,name the colour {k},say if it flies {k},f{k % 5}" for k in range(12)]
    header = "query,answer,contrast,instruction,contrast_instruction,family"

    def file(name: str, *lines: str) -> str:
        (tmp_path / name).write_text("\n".join([header, *lines]))
        return str(tmp_path / name)

    found = ivx.separability(model, file("mine.csv", *rows), folds=3, repeats=1)
    assert found.tasks == ("mine/answer", "mine/contrast") and len(found.wordings) == 24
    few, uncounted = found.receipt["warnings"]
    assert few == "12 of the 60 wordings asked for: some task has no more"
    assert uncounted.startswith("whether mine/answer is followed could not be counted: mine/answer: no query is left")
    with pytest.raises(TaskError, match="few/answer has 9 wordings: separability needs at least 2 tasks of 10"):
        ivx.separability(model, file("few.csv", *rows[:9]))
    with pytest.raises(TaskError, match="come from 5 paraphrase families, and 6 folds need as many"):
        ivx.separability(model, str(tmp_path / "mine.csv"), folds=6)
    with pytest.raises(TaskError, match="stands for both"):
        ivx.separability(model, file("same.csv", *(row.replace("say if it flies", "Name  the colour") for row in rows)))
    with pytest.raises(TaskError, match="no keyword: use t_inst"):
        ivx.separability(model, str(tmp_path / "mine.csv"), position="keyword", folds=3)
    with pytest.raises(TaskError, match="has 4 tokens|has 5 tokens|tokens"):
        ivx.separability(model, str(tmp_path / "mine.csv"), position="-40", folds=3)
    with pytest.raises(TaskError, match="there is no task 'animal/color': did you mean animal/colour"):
        ivx.separability(model, ("tiny:animal/color", "tiny:verb/past"))
    with pytest.raises(IvxError, match="none of the tasks is another's contrast"):
        ivx.separability(model, ("tiny:animal/colour", "tiny:verb/past"), pairs=True)


# The embedded family


def test_decodable_is_not_causal_on_the_embedded_family(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def asked(checkpoint: str, *more: str) -> dict:
        argv = ["separability", "--checkpoint", checkpoint, "--tasks", "all", "--component", "resid_post", "--json"]
        assert main([*argv, "--wordings", "40", "--repeats", "1", *more]) == 0
        return json.loads(capsys.readouterr().out)

    out = tmp_path / "s.csv"
    sft, twin = asked("tiny-sft", "--out", str(out)), asked("tiny-sft-period")
    for found in (sft, twin):
        assert [cell["layer"] for cell in found["layers"]] == list(range(8)) and len(found["tasks"]) == 13
        for cell in found["layers"]:
            assert {"accuracy", "control", "selectivity", "baseline", "accuracy_low", "accuracy_high"} <= cell.keys()
            assert cell["control"] < 0.25 and cell["selectivity_low"] > 0.3
        assert found["baselines"]["bag of words"]["accuracy"] > 0.95
    assert min(cell["accuracy"] for cell in sft["layers"]) > 0.95
    assert sft["baselines"]["embedding"]["accuracy"] > 0.95, "the last token is the keyword's, which names the task"
    # The full stop is one token: before the first block it holds nothing, after two blocks nearly all.
    assert twin["baselines"]["embedding"]["accuracy"] < 0.15 and twin["baselines"]["embedding"]["state"] == "zero"
    assert twin["layers"][0]["accuracy"] < 0.9 < twin["layers"][2]["accuracy"]
    assert "confusion" in out.read_text() and "x" not in out.read_text().splitlines()[0].split(",")
    argv = ["separability", "--checkpoint", "tiny-sft", "--wordings", "40", "--repeats", "1"]
    assert main(argv) == 0
    text = capsys.readouterr().out
    assert "bag of words" in text and f"run {sft['run']}" in text and "L7" in text
    assert main([*argv, "--tasks", "animal/colour"]) == 2
    assert "at least 2 tasks" in capsys.readouterr().err


def test_a_pair_says_first_whether_its_task_is_followed() -> None:
    """Counted told and untold as by every run of an instruction; of more tasks none speaks for the others."""
    base, taught = ivx.load("tiny-base"), ivx.load("tiny-sft")
    asked: dict[str, Any] = {"wordings": 10, "folds": 2, "repeats": 1, "projections": ()}
    pair = ("animal/colour", "animal/can-fly")
    found = ivx.separability(base, pair, **asked)
    effects = ivx.effects("tiny-base", pair[0], sites=("resid_post",), samples=40, controls=())
    assert found.receipt["following"] == effects.receipt["following"] and found.receipt["asked"] == pair[0]
    said = gate.sentence(found.receipt)
    assert said.startswith("tiny-base does not follow animal/colour") and "which wording was read" in said
    text = SEPARABILITY.words.text(found.summary())
    assert text.startswith(said) and sheet.csv(found.table, note=said).decode().startswith('"note"')
    follows = ivx.separability(taught, pair, **asked)
    assert gate.sentence(follows.receipt) == "" and follows.receipt["following"]["told_only"] > 10
    several = ivx.separability(taught, (*pair, "verb/past"), **asked)
    assert "following" not in several.receipt
    assert "which of these 3 tasks the model follows is not counted here" in SEPARABILITY.words.text(several.summary())
