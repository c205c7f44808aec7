"""Faithfulness: whether the parts that the surrogate names carry the real model's answer.

A circuit C is the n strongest heads, or edges. All others are ablated in the real model, at every token, and the answer
is read again: `(m(C) − m(∅)) / (m(M) − m(∅))`, with m the mean difference of the two logits, M the whole model and ∅
everything ablated. So 0 is no better than nothing, 1 is the whole model; beyond 1, what was left out had worked against
the answer. *Removed* is the same with C itself ablated. Sets of equal size, drawn at random, are the baseline. Parts
are ranked on one half of the samples and tried on the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ivx.analysis.slots import Alignment
from ivx.analysis.statistics import RESAMPLES, Array
from ivx.engine.asked import by_length
from ivx.engine.kept import logits_with
from ivx.engine.sweep import sweep
from ivx.models.model import Model
from ivx.tasks.samples import Sample

ABLATIONS = ("mean", "zero", "resample")
DRAWS = 8
"""Random sets of each size."""
STEP = 2
LEAST = 0.05
"""Where the whole model and nothing are closer than this, in logits, the share is not defined."""


@dataclass(frozen=True)
class Point:
    """The n strongest: kept alone, with its 95 % bootstrap interval over samples; the mean and the range of random sets
    of n; and `removed`, the n strongest ablated."""

    n: int
    kept: float
    low: float
    high: float
    random: float
    random_low: float
    random_high: float
    removed: float


@dataclass(frozen=True)
class Curve:
    """Of `unit` heads or edges: m of the whole model and of nothing, `total` parts, and the curve's points.

    `area` is the mean of `kept` over the share of parts from 0 to 1, `random_area` the baseline's.
    """

    unit: str
    ablation: str
    samples: int
    total: int
    whole: float
    nothing: float
    points: tuple[Point, ...]
    area: float
    random_area: float


Measure = Callable[[Sequence[NDArray[np.bool_]]], Array]
"""From sets of parts that are kept, the difference of logits `[sets, samples]`."""


def curve(unit: str, ablation: str, scores: Array, measure: Measure, *, seed: int) -> Curve | None:
    """The curve of parts ranked by absolute `scores`; None where whole and nothing are alike."""
    total = len(scores)
    sizes = _sizes(total)
    order = np.argsort(-np.abs(scores), kind="stable")
    rng = np.random.default_rng(seed)
    sets = [np.ones(total, bool), np.zeros(total, bool)]
    for n in sizes:
        top = _set(order[:n], total)
        sets += [top, ~top, *(_set(rng.permutation(total)[:n], total) for _ in range(DRAWS))]
    found = measure(sets)
    whole, nothing = found[0], found[1]
    if abs(whole.mean() - nothing.mean()) < LEAST:
        return None
    counts = rng.multinomial(found.shape[1], np.full(found.shape[1], 1 / found.shape[1]), size=RESAMPLES)
    points = []
    for i, n in enumerate(sizes):
        kept, removed, *drawn = found[2 + i * (2 + DRAWS) : 2 + (i + 1) * (2 + DRAWS)]
        spread = (counts @ (kept - nothing)) / (counts @ (whole - nothing))
        low, high = np.quantile(spread, (0.025, 0.975)).tolist()
        shares = [_share(m, whole, nothing) for m in drawn]
        points.append(
            Point(
                n,
                _share(kept, whole, nothing),
                low,
                high,
                float(np.mean(shares)),
                min(shares),
                max(shares),
                _share(removed, whole, nothing),
            )
        )
    areas = [
        _area([0, *sizes], [0.0, *values], total) for values in zip(*((p.kept, p.random) for p in points), strict=True)
    ]
    mean = (float(whole.mean()), float(nothing.mean()))
    return Curve(unit, ablation, found.shape[1], total, *mean, tuple(points), *areas)


def _sizes(total: int) -> list[int]:
    sizes, n = [], 1
    while n < total:
        sizes.append(n)
        n *= STEP
    return [*sizes, total]


def _set(members: NDArray[np.intp], total: int) -> NDArray[np.bool_]:
    found = np.zeros(total, bool)
    found[members] = True
    return found


def _share(m: Array, whole: Array, nothing: Array) -> float:
    return float((m.mean() - nothing.mean()) / (whole.mean() - nothing.mean()))


def _area(sizes: Sequence[int], values: Sequence[float], total: int) -> float:
    return float(np.trapezoid(values, np.array(sizes) / total))


def of_heads(model: Model, samples: Sequence[Sample], ablation: str, *, seed: int) -> tuple[list[Sample], Measure]:
    """The samples that can be ablated so, and what measures sets of heads `[layers × heads]` on them."""
    source = {i: i for i in range(len(samples))}
    if ablation == "resample":
        source = _partners(samples, seed)
    chosen = [samples[i] for i in source]
    how = {"mean": "=mean", "zero": "=zero", "resample": ""}[ablation]

    def patch(kept: NDArray[np.bool_]) -> str:
        out = np.argwhere(~kept.reshape(model.layers, model.heads))
        return ",".join(f"z.{layer}.{head}@*{how}" for layer, head in out.tolist())

    def measure(sets: Sequence[NDArray[np.bool_]]) -> Array:
        named = [patch(kept) for kept in sets]
        table = sweep(
            model,
            source=[samples[i].instructed for i in source.values()],
            target=[sample.instructed for sample in chosen],
            answer=[sample.answer_id for sample in chosen],
            contrast=[sample.contrast_id for sample in chosen],
            patches=sorted({text for text in named if text}),
        )
        m = (table["logit"].to_numpy() - table["contrast"].to_numpy()).reshape(-1, len(chosen))
        rows = {text: i for i, text in enumerate(table["patch"].to_pylist()[:: len(chosen)])}
        return np.stack([m[rows[text]] for text in named])

    return chosen, measure


def _partners(samples: Sequence[Sample], seed: int) -> dict[int, int]:
    """Of each sample, another whose instructed prompt is as long; those that are alone have none."""
    rng = np.random.default_rng(seed)
    found: dict[int, int] = {}
    for members in by_length([sample.instructed for sample in samples]).values():
        if len(members) > 1:
            order = rng.permutation(members).tolist()
            found |= dict(zip(order, [*order[1:], order[0]], strict=True))
    return dict(sorted(found.items()))


def of_edges(
    model: Model, samples: Sequence[Sample], alignment: Alignment, parts: Sequence[tuple[int, int, str, str]]
) -> Measure:
    """What measures sets of edges (layer, head, from, to), by slots; edges that are no part are never kept."""
    groups = by_length([sample.instructed for sample in samples])
    place = {part: i for i, part in enumerate(parts)}
    numbers = {}
    for members in groups.values():
        for i in members:
            keys = alignment.keys[i]
            number = np.full((model.layers, model.heads, len(keys), len(keys)), len(parts))
            by_pair: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
            for to, end in enumerate(keys):
                for start in range(to + 1):
                    by_pair[keys[start], end].append((to, start))
            for (layer, head, start_key, end), index in place.items():
                for to, start in by_pair.get((start_key, end), ()):
                    number[layer, head, to, start] = index
            numbers[i] = number

    def measure(sets: Sequence[NDArray[np.bool_]]) -> Array:
        found = np.zeros((len(sets), len(samples)))
        for members in groups.values():
            which = np.stack([numbers[i] for i in members])
            answer, contrast = (
                torch.tensor([[getattr(samples[i], name)] for i in members], device=model.device)
                for name in ("answer_id", "contrast_id")
            )
            for row, kept in enumerate(sets):
                edges = torch.from_numpy(np.append(kept, False)[which])
                logits = logits_with(model, [samples[i].instructed for i in members], edges)
                found[row, members] = (logits.gather(1, answer) - logits.gather(1, contrast))[:, 0].double().cpu()
        return found

    return measure
