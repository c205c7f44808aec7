"""Compact coordinates: n points of a d-dimensional space, n < d, in the few dimensions that they span.

Whatever depends on dot products or distances alone (a penalised linear model, centroids, an RBF kernel, shrinkage LDA)
gives the same on the coordinates as on the standardised features, at a fraction of the cost. Standardising is no
rotation, so it comes first, fitted on the training part; one Gram matrix and its Cholesky root give the coordinates.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import LinAlgError, cholesky, eigh, solve_triangular
from sklearn.preprocessing import StandardScaler

from ivx.engine.hooks.capture import Matrix
from ivx.stats.intervals import Array

TINY = 1e-10
"""Smallest squared spread of a direction, as a share of the mean squared length; less is rounding."""


def coordinates(train: Matrix, test: Matrix) -> tuple[Array, Array]:
    """Standardised features of both parts, or equivalent coordinates where there are fewer points than features.

    Distances between training points, and from test to training points, are those of the features standardised by the
    training part; so are dot products, up to one constant that an unpenalised intercept takes.

    Args:
        train, test: `[points, features]`.
    """
    scaler = StandardScaler().fit(train.astype(np.float64))
    a, b = (scaler.transform(part.astype(np.float64)) for part in (train, test))
    if len(a) >= a.shape[1]:
        return a, b
    gram, cross = a @ a.T, b @ a.T
    # Standardised points are centred, so they span n − 1 dimensions: a constant feature adds the one that is missing.
    constant = np.trace(gram) / len(a) or 1.0
    try:
        root = cholesky(gram + constant, lower=True)
    except LinAlgError:
        root = None
    if root is not None and root.diagonal().min() ** 2 > TINY * constant:
        seen = solve_triangular(root, (cross + constant).T, lower=True).T
        rest = np.square(b).sum(axis=1) + constant
    else:  # equal points, as token embeddings are
        values, vectors = eigh(gram)
        kept = values > max(TINY * constant, len(a) * np.finfo(float).eps * values[-1])
        root = vectors[:, kept] * np.sqrt(values[kept])
        seen, rest = cross @ vectors[:, kept] / np.sqrt(values[kept]), np.square(b).sum(axis=1)
    # The part of a test point outside the training points' span is one more coordinate.
    outside = np.sqrt(np.maximum(rest - np.square(seen).sum(axis=1), 0))
    return np.column_stack([root, np.zeros(len(a))]), np.column_stack([seen, outside])
