"""Shares: how much of the logit goes along a drawing's edges.

A drawing holds the strongest edges between tokens, ranked on one half of the samples and evaluated on the other.
Beside them stands all that stays on its token (residual, MLPs, and what heads read where they write). The sum of all
paths along these alone is computed exactly, by the frozen model with all other edges cut. Edges can work against one
another, so a drawing may explain more than all, or less than 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ivx.analyses.pathways.attribution import Batch, runs
from ivx.analyses.pathways.faithfulness import SIZES, Explained, ranked
from ivx.analyses.pathways.parts import Parts, is_nothing
from ivx.analyses.pathways.slots import numbered
from ivx.models.model import Model
from ivx.stats.intervals import Array, mean_interval, ratio_interval


def explained(
    model: Model, asked: Batch, parts: Parts, *, seed: int, beat: Callable[[int], None]
) -> tuple[Explained, ...]:
    """The share for each size of drawing; `beat` is called with the samples of each batch and may raise to end it.

    A sample is evaluated along the strongest edges of the other half of the samples: the strongest edges of its own
    noise would explain more of it than they would of any other.
    """
    count = len(asked.prompts)
    half = np.random.default_rng(seed).permutation(count) < count // 2
    ranks = [_ranked(parts, half != one) for one in (False, True)]
    sizes = [n for n in SIZES if n < len(ranks[0])] or [len(ranks[0])]
    kept = [[_kept(parts, order[:n]) for order in ranks] for n in sizes]
    found = np.zeros((len(sizes), count))
    for batch, run in runs(model, asked):
        rows, numbers = torch.arange(len(batch)), [numbered(asked.alignment.keys[i], parts.pairs) for i in batch]
        for k, taken in enumerate(kept):
            beat(0)
            along = [taken[int(half[i])][..., number] for i, number in zip(batch, numbers, strict=True)]
            logits = run.along(torch.from_numpy(np.stack(along))).double().cpu()
            found[k, batch] = logits[rows, [asked.answer[i] for i in batch]].numpy()
            if asked.contrast is not None:
                found[k, batch] -= logits[rows, [asked.contrast[i] for i in batch]].numpy()
        beat(len(batch))
    return _shares(sizes, found, parts.total, seed)


def _ranked(parts: Parts, samples: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The edges between tokens, the strongest of these samples first; of all samples where these are none."""
    own = parts.edges[samples] if samples.any() else parts.edges
    return ranked(own.mean(axis=0), [a != b for a, b in parts.pairs])


def _kept(parts: Parts, strongest: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which edges `[layers, heads, pairs + 1]` are along the drawing: these, and all that stay on their token."""
    layers, heads, pairs = parts.edges.shape[1:]
    taken = np.zeros(layers * heads * pairs, bool)
    taken[strongest] = True
    taken = taken.reshape(layers, heads, pairs) | np.array([a == b for a, b in parts.pairs])
    return np.concatenate([taken, np.zeros((layers, heads, 1), bool)], axis=-1)  # for index −1: no pair


def _shares(sizes: Sequence[int], found: Array, total: Array, seed: int) -> tuple[Explained, ...]:
    low, high = mean_interval(total[None], seed=seed)
    if is_nothing(float(total.mean()), float(low[0]), float(high[0])):
        return tuple(Explained(n, None, None, None) for n in sizes)
    bounds = ratio_interval(found, total, rng=np.random.default_rng(seed))
    columns = (found.mean(axis=1) / total.mean(), *bounds)
    return tuple(Explained(*row) for row in zip(sizes, *(column.tolist() for column in columns), strict=True))
