"""Probes: how well the task can be read from a state, beside controls.

The linear probe is multinomial logistic regression on standardised features. Beside it stand its own accuracy on
shuffled labels, nearest centroids, and an RBF kernel for what no line separates. All these are tested on families of
wordings that were held out of training; a control task that can be learnt is tested on other wordings of families that
were seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from ivx.analyses.separability.coordinates import coordinates
from ivx.analyses.separability.splits import Examples, Ints, Split
from ivx.engine.hooks.capture import Matrix
from ivx.stats.intervals import Array

C = 0.1
"""Inverse strength of the L2 penalty."""
MAX_ITER = 500
SLOPE = 1e-3
"""A fit has converged when no part of its objective's gradient, a mean over samples, is larger."""
RIDGE = 0.1
"""Ridge penalty of the RBF kernel, whose gamma is 1/d for d standardised features."""
SIZES = (1, 2, 5, 10, 20, 50)
"""Wordings per task of a learning curve, before the whole training part."""


class NotConverged(ArithmeticError):
    """A probe's solver stopped before its optimum, so its accuracy would mean nothing."""


@dataclass(frozen=True)
class Scores:
    """Scores on held-out wordings: for each measure one value per split, `[splits]`; `nonlinear` has the first repeat's
    only, `within` and `capacity` one of a split of their own.

    Accuracies are shares; `margin` is the mean log-odds of the right class over the best other. `confusion` counts
    (class, predicted class) over all repeats; `curve` gives accuracies over the first repeat's folds by the number of
    training wordings per class.
    """

    values: dict[str, Array]
    confusion: Ints
    curve: dict[int, Array]


def probe(states: Matrix, examples: Examples, splits: Sequence[Split], *, seed: int = 0, whole: bool = True) -> Scores:
    """Fit and try every probe on states of one place.

    Args:
        states: `[wordings, width]`.
        splits: each is checked again; a leaked one raises `IvxError`.
        whole: False for the linear probe and its control only.

    Raises:
        NotConverged: a solver stopped short.
    """
    for split in splits:
        examples.check(split)
    controls = [_controls(examples, seed=seed, repeat=k) for k in range(max(s.repeat for s in splits) + 1)]
    # One BLAS thread a fold: folds share nothing, and small products gain little from several.
    with threadpool_limits(limits=1), ThreadPoolExecutor(max(1, torch.get_num_threads())) as pool:
        tried = list(pool.map(lambda s: _try(states, examples, s, controls[s.repeat], seed, whole), splits))
    curve: dict[int, list[float]] = {}
    for found in tried:
        for size, accuracy in found["curve"].items():
            curve.setdefault(size, []).append(accuracy)
    values = {
        name: np.array([found["values"][name] for found in tried if name in found["values"]])
        for name in tried[0]["values"]
    }
    return Scores(
        values | (_learnable(states, examples, controls[0], seed=seed) if whole else {}),
        sum(found["confusion"] for found in tried),
        {size: np.array(values) for size, values in curve.items()},
    )


def _learnable(states: Matrix, examples: Examples, control: Sequence[Ints], *, seed: int) -> dict[str, Array]:
    """Accuracy on the task's labels and on shuffled ones where wordings of every family are seen: `within`, and
    `capacity`, the control task of Hewitt and Liang (2019). Empty where no family has two wordings."""
    split = examples.within(seed=seed)
    if split is None:
        return {}
    hits = {"within": 0, "capacity": 0}
    for number, problem in enumerate(examples.problems):
        train, test = (examples.inside(part, problem) for part in (split.train, split.test))
        a, b = coordinates(states[train], states[test])
        for name, labels in (("within", examples.labels), ("capacity", control[number])):
            if len(set(labels[train].tolist())) > 1:
                hits[name] += int((fit(a, labels[train]).predict(b) == labels[test]).sum())
    tested = _tested(examples, split)
    return {name: np.array([count / tested]) for name, count in hits.items()}


def bag_of_words(examples: Examples, splits: Sequence[Split], *, seed: int = 0) -> Scores:
    """The linear probe on word counts: the accuracy that needs no model."""
    values: dict[str, list[float]] = {"accuracy": [], "control": []}
    for split in splits:
        controls = _controls(examples, seed=seed, repeat=split.repeat)
        hits = dict.fromkeys(values, 0)
        for number, problem in enumerate(examples.problems):
            train, test = (examples.inside(part, problem) for part in (split.train, split.test))
            words = CountVectorizer(token_pattern=r"[^\s]+")
            a, b = words.fit_transform([examples.texts[k] for k in train]), [examples.texts[k] for k in test]
            for name, labels in (("accuracy", examples.labels), ("control", controls[number])):
                fitted = fit(a.toarray().astype(np.float64), labels[train])
                hits[name] += int((fitted.predict(words.transform(b)) == labels[test]).sum())
        for name, count in hits.items():
            values[name].append(count / _tested(examples, split))
    found = {name: np.array(shares) for name, shares in values.items()}
    found["selectivity"] = found["accuracy"] - found["control"]
    return Scores(found, np.zeros((0, 0), dtype=np.int64), {})


def fit(features: Array, labels: Ints) -> LogisticRegression:
    """Multinomial logistic regression at its optimum; raises `NotConverged`.

    Newton's method, in float32 as states are, takes few steps where there are as many features as points. That the
    optimum, which any solver would find, was reached is checked in float64.
    """
    found = LogisticRegression(C=C, solver="newton-cg", max_iter=MAX_ITER).fit(features.astype(np.float32), labels)
    found.coef_, found.intercept_ = (part.astype(np.float64) for part in (found.coef_, found.intercept_))
    wanted = labels[:, None] == found.classes_
    error = found.predict_proba(features) - wanted
    error = error[:, 1:] if len(found.classes_) == 2 else error
    slope = (error.T @ features + found.coef_ / C) / len(features)
    steepest = max(float(np.abs(slope).max()), float(np.abs(error.mean(axis=0)).max()))
    if not steepest <= SLOPE:
        raise NotConverged(
            f"a probe's solver stopped after {int(found.n_iter_.max())} steps at a slope of {steepest:g}"
        )
    return found


def _controls(examples: Examples, *, seed: int, repeat: int) -> list[Ints]:
    """Shuffled labels for each problem of one repeat."""
    every = np.arange(len(examples.labels))
    return [
        examples.shuffled(examples.inside(every, problem), seed=(seed, repeat, number))
        for number, problem in enumerate(examples.problems)
    ]


def _tested(examples: Examples, split: Split) -> int:
    return sum(len(examples.inside(split.test, problem)) for problem in examples.problems)


def _try(
    states: Matrix, examples: Examples, split: Split, controls: Sequence[Ints], seed: int, whole: bool
) -> dict[str, Any]:
    """Every probe on one split, summed over the problems."""
    classes = len(examples.classes)
    sums: dict[str, float] = {}
    confusion = np.zeros((classes, classes), dtype=np.int64)
    curve: dict[int, float] = {}
    for number, problem in enumerate(examples.problems):
        train, test = (examples.inside(part, problem) for part in (split.train, split.test))
        a, b = coordinates(states[train], states[test])
        right = examples.labels[test]
        linear = fit(a, examples.labels[train])
        shuffled = fit(a, controls[number][train])
        told = linear.predict(b)
        found = {"accuracy": (told == right).sum(), "control": (shuffled.predict(b) == controls[number][test]).sum()}
        if whole:
            np.add.at(confusion, (right, told), 1)
            found["margin"] = _margins(linear, b, right).sum()
            found["centroid"] = (_nearest(a, examples.labels[train], b) == right).sum()
        if whole and split.repeat == 0:
            found["nonlinear"] = (_by_kernel(a, examples.labels[train], b, states.shape[1]) == right).sum()
        for name, value in found.items():
            sums[name] = sums.get(name, 0.0) + float(value)
        for size, some in _sizes(examples, split, problem, seed) if whole and split.repeat == 0 else ():
            c, d = coordinates(states[some], states[test])
            hits = (fit(c, examples.labels[some]).predict(d) == right).sum()
            curve[size] = curve.get(size, 0.0) + float(hits)
    tested = _tested(examples, split)
    values = {name: value / tested for name, value in sums.items()}
    values["selectivity"] = values["accuracy"] - values["control"]
    return {"values": values, "confusion": confusion, "curve": {m: hits / tested for m, hits in curve.items()}}


def _margins(linear: LogisticRegression, features: Array, right: Ints) -> Array:
    score = linear.decision_function(features)
    if score.ndim == 1:
        return np.where(right == linear.classes_[1], score, -score)
    own = right[:, None] == linear.classes_
    return score[own] - np.where(own, -np.inf, score).max(axis=1)


def _nearest(a: Array, labels: Ints, b: Array) -> Ints:
    """Class of the nearest centroid."""
    classes = np.unique(labels)
    centroids = np.stack([a[labels == label].mean(axis=0) for label in classes])
    # |b|² is the same for every centroid.
    return classes[np.argmin(np.square(centroids).sum(axis=1) - 2 * b @ centroids.T, axis=1)]


def _by_kernel(a: Array, labels: Ints, b: Array, width: int) -> Ints:
    """Class of the largest value of an RBF kernel ridge regression on the classes."""
    classes = np.unique(labels)
    wanted = (labels[:, None] == classes).astype(np.float64)
    model = KernelRidge(alpha=RIDGE, kernel="rbf", gamma=1 / width).fit(a, wanted - wanted.mean(axis=0))
    return classes[np.argmax(model.predict(b) + wanted.mean(axis=0), axis=1)]


def _sizes(examples: Examples, split: Split, problem: Sequence[int], seed: int) -> Iterator[tuple[int, Ints]]:
    """Growing training parts, each holding the smaller ones: the number per class, and the indices."""
    mixed = np.random.default_rng(seed).permutation(split.train)
    own = [mixed[examples.labels[mixed] == label] for label in range(len(examples.classes))]
    for size in SIZES:
        if size < min(map(len, own)):
            yield size, np.concatenate([own[label][:size] for label in problem])
