"""Projections: the states of one place in a plane, turned so that points do not flip from layer to layer.

A supervised plane separates whatever it was fitted on, noise too where features outnumber points. So the discriminant
plane is fitted, with shrinkage, on some families and only the others are drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from scipy.linalg import cholesky, orthogonal_procrustes, solve_triangular
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler

from ivx.analyses.separability.coordinates import coordinates
from ivx.analyses.separability.splits import Ints, Split
from ivx.engine.hooks.capture import Matrix
from ivx.errors import IvxError
from ivx.stats.intervals import Array

DIMENSIONS, PERPLEXITY = 50, 30
"""Of t-SNE: principal axes that it sees, and neighbours that a point looks for, as is usual."""


def pca(states: Matrix, labels: Ints, split: Split, *, seed: int = 0) -> tuple[Array, float]:
    """Every point on the two principal axes of the standardised features, and their share of the variance.

    Args:
        states: `[points, width]`.
        labels, split: not looked at.

    Returns:
        `[points, 2]`, and a share.
    """
    found = PCA(2, svd_solver="arpack", random_state=seed)
    return found.fit_transform(_standardised(states)), float(found.explained_variance_ratio_.sum())


def lda(states: Matrix, labels: Ints, split: Split, *, seed: int = 0) -> tuple[Array, float]:
    """Held-out points on the two axes that best separate the training part's classes; NaN for training points.

    The covariance within classes is shrunk toward a multiple of the identity by Ledoit and Wolf's share, over all
    features. Two classes have only one such axis; the other is then the widest one within classes.

    Returns:
        `[points, 2]`, and the share of the scatter between classes that the plane holds.
    """
    a, b = coordinates(states[split.train], states[split.test])
    own = labels[split.train]
    classes, counts = np.unique(own, return_counts=True)
    centres = np.stack([a[own == label].mean(axis=0) for label in classes])
    within = a - centres[np.searchsorted(classes, own)]
    root = cholesky(shrunk(within, width=states.shape[1]), lower=True)
    apart = (centres - a.mean(axis=0)) * np.sqrt(counts)[:, None]
    left, sizes, _ = np.linalg.svd(solve_triangular(root, apart.T, lower=True), full_matrices=False)
    axes = solve_triangular(root.T, left[:, :2], lower=False)
    if len(classes) == 2:
        axis = axes[:, :1] / np.linalg.norm(axes[:, 0])
        rest = within - within @ axis @ axis.T
        axes = np.column_stack([axes[:, 0], np.linalg.svd(rest, full_matrices=False)[2][0]])
        axes[:, 1] *= (a @ axes[:, 0]).std() / ((a @ axes[:, 1]).std() or 1.0)
    drawn = np.full((len(states), 2), np.nan)
    drawn[split.test] = b @ axes
    total = float(np.square(sizes).sum())
    return drawn, float(np.square(sizes[:2]).sum()) / total if total else 0.0


def tsne(states: Matrix, labels: Ints, split: Split, *, seed: int = 0) -> tuple[Array, float]:
    """Every point by t-SNE (van der Maaten and Hinton 2008), which keeps neighbours: distances between groups, and how
    dense they are, mean nothing. It starts from the principal axes; the share is not defined (NaN)."""
    axes = min(DIMENSIONS, *states.shape)
    near = min(PERPLEXITY, (len(states) - 1) / 3)
    drawn = TSNE(2, init="pca", perplexity=near, random_state=seed)
    reduced = PCA(axes, random_state=seed).fit_transform(_standardised(states))
    return drawn.fit_transform(reduced).astype(np.float64), float("nan")


def umap(states: Matrix, labels: Ints, split: Split, *, seed: int = 0) -> tuple[Array, float]:
    """Every point by UMAP, which keeps neighbours and no distances; the share is not defined (NaN)."""
    check("umap")
    from umap import UMAP

    return UMAP(random_state=seed).fit_transform(_standardised(states)).astype(np.float64), float("nan")


KINDS: dict[str, Callable[..., tuple[Array, float]]] = {"pca": pca, "lda": lda, "tsne": tsne, "umap": umap}


def check(kind: str) -> None:
    """Raise `IvxError` where a projection needs a package that is not there."""
    if kind == "umap" and find_spec("umap") is None:
        raise IvxError(
            "the projection umap needs the package umap-learn: `pip install umap-learn`, or choose pca or lda"
        )


def shrunk(within: Array, *, width: int) -> Array:
    """Ledoit and Wolf's covariance of centred points given by coordinates, as if by all `width` features.

    It is shrunk toward the identity times the mean variance over all features; features that the coordinates leave out
    count with variance 0.
    """
    n = len(within)
    lengths = np.square(within).sum(axis=1)
    mean = lengths.sum() / (n * width)
    covariance = within.T @ within / n
    spread = float(np.square(covariance).sum())
    beta = (np.square(lengths).sum() / n - spread) / (width * n)
    delta = spread / width - mean**2
    share = min(max(beta, 0.0) / delta, 1.0) if delta > 0 else 1.0
    # Never exactly 0: equal points have no covariance at all.
    floor = 1e-8 * (mean or 1.0)
    return (1 - share) * covariance + (share * mean + floor) * np.eye(within.shape[1])


def aligned(points: Array, before: Array | None) -> Array:
    """Points of mean 0 and mean square 1, turned or mirrored onto those of the layer before (orthogonal Procrustes).

    Args:
        points, before: `[points, 2]`; NaN rows are not drawn.
    """
    drawn = ~np.isnan(points).any(axis=1)
    centred = points - points[drawn].mean(axis=0)
    scaled = centred / (np.sqrt(np.square(centred[drawn]).sum(axis=1).mean()) or 1.0)
    if before is None:
        return scaled
    both = drawn & ~np.isnan(before).any(axis=1)
    return scaled @ orthogonal_procrustes(scaled[both], before[both])[0]


def _standardised(states: Matrix) -> Array:
    return StandardScaler().fit_transform(states.astype(np.float64))
