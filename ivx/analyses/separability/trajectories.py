"""Trajectories: a wording's path over the layers, in one plane that is the same for all of them.

States grow and drift from layer to layer, all wordings' alike, and would hide what tells them apart. So each layer's
mean is taken away and its mean square length is made 1; the plane is that of the two widest directions of all layers
together. What is left of a path is how its wording comes to differ from the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from ivx.engine.hooks.capture import Matrix
from ivx.stats.intervals import Array

LEAST = 3
"""Width from which two directions are searched for; narrower states are taken apart whole."""


@dataclass(frozen=True)
class Fixed:
    """The plane: its two `axes` `[width, 2]`, and the share of all layers' variance that it holds."""

    axes: Array
    share: float

    def points(self, states: Matrix) -> Array:
        """Where the states `[wordings, width]` of one layer lie in it, `[wordings, 2]`."""
        return centred(states) @ self.axes


def centred(states: Matrix) -> Array:
    """States of one layer without their mean, of mean square length 1."""
    rows = states.astype(np.float64)
    rows -= rows.mean(axis=0)
    size = float(np.sqrt(np.square(rows).sum(axis=1).mean()))
    return rows / (size or 1.0)


def plane_of(states: Callable[[int], Matrix], layers: int) -> Fixed:
    """The plane of the layers' states, each given by its number; one layer at a time is held in memory."""
    width = states(0).shape[1]
    total = float(sum(np.square(centred(states(layer))).sum() for layer in range(layers)))

    def scatter(vector: Array) -> Array:
        found = np.zeros((width, *vector.shape[1:]))
        for layer in range(layers):
            rows = centred(states(layer))
            found += rows.T @ (rows @ vector)
        return found

    if width <= LEAST:
        values, axes = np.linalg.eigh(scatter(np.eye(width)))
    else:
        told = LinearOperator((width, width), matvec=scatter, matmat=scatter, dtype=np.float64)
        values, axes = eigsh(told, k=2, v0=np.random.default_rng(0).normal(size=width))
    axes = axes[:, ::-1][:, :2]
    # A direction has no sign of its own: its largest entry is made positive.
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return Fixed(axes, float(values[-2:].sum() / total) if total else 0.0)
