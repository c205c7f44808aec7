"""Faithfulness: whether the parts that the surrogate names carry the real model's answer.

A circuit C is the n strongest heads, or edges. All others are ablated in the real model, at every token, and the answer
is read again: `(m(C) − m(∅)) / (m(M) − m(∅))`, with m the mean difference of the two logits, M the whole model and ∅
everything ablated. So 0 is no better than nothing, 1 is the whole model; beyond 1, what was left out had worked against
the answer. *Removed* is the same with C itself ablated. Sets of equal size, drawn at random, are the baseline. Parts
are ranked on one half of the samples and tried on the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ivx.analysis.slots import numbered
from ivx.analysis.statistics import RESAMPLES, Array
from ivx.engine.asked import by_length
from ivx.engine.estimate import states_of
from ivx.engine.hooks import Place
from ivx.engine.kept import with_edges, with_heads
from ivx.models.model import Model
from ivx.tasks.samples import Sample

DRAWS = 8
"""Random sets of each size."""
STEP = 2
"""Each size is so many times the last."""
ROWS = 128
"""Prompts in one pass."""
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


Beat = Callable[[], None]
"""Called before each pass; what it raises ends the work."""
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


def of_heads(model: Model, samples: Sequence[Sample], ablation: str, *, seed: int, beat: Beat) -> Measure | None:
    """What measures sets of heads `[layers × heads]`; None where no sample can be ablated so.

    `mean` is over all tokens of all samples, as of a patch `z.l.h@*=mean`; `resample` takes each head's output at the
    same token of another sample as long, and leaves out those that have none.
    """
    places = [("z", layer) for layer in range(model.layers)]
    states = [] if ablation == "zero" else states_of(model, [s.instructed for s in samples], places)
    partner = _partners(samples, seed) if ablation == "resample" else {i: i for i in range(len(samples))}
    if not partner:
        return None
    nothing = torch.zeros(1, 1, 1, device=model.device, dtype=model.dtype)
    means = {place: torch.cat([found[place] for found in states]).mean(0) for place in places if ablation == "mean"}

    def fill(place: Place, members: Sequence[int], copies: int) -> Tensor:
        if ablation == "resample":
            return torch.stack([states[partner[i]][place] for i in members]).repeat(copies, 1, 1)
        return means.get(place, nothing)

    def run(members: Sequence[int], kept: NDArray[np.bool_]) -> Tensor:
        heads = torch.from_numpy(kept.reshape(len(kept), model.layers, model.heads)).repeat_interleave(
            len(members), dim=0
        )
        prompts = [samples[i].instructed for i in members] * len(kept)
        return with_heads(model, prompts, heads, [fill(place, members, len(kept)) for place in places])

    return _measure(samples, sorted(partner), run, beat)


Run = Callable[[Sequence[int], NDArray[np.bool_]], Tensor]
"""From samples of one length and sets, the logits of every sample under every set, set by set."""


def _measure(samples: Sequence[Sample], chosen: Sequence[int], run: Run, beat: Beat) -> Measure:
    groups = by_length([samples[i].instructed for i in chosen])

    def measure(sets: Sequence[NDArray[np.bool_]]) -> Array:
        m = np.zeros((len(sets), len(chosen)))
        for columns in groups.values():
            members = [chosen[k] for k in columns]
            answer, contrast = (
                torch.tensor([getattr(samples[i], name) for i in members]) for name in ("answer_id", "contrast_id")
            )
            step = max(1, ROWS // len(members))
            for start in range(0, len(sets), step):
                beat()
                part = np.stack(sets[start : start + step])
                logits = run(members, part).double().cpu().unflatten(0, (len(part), len(members)))
                rows = torch.arange(len(members))
                found = logits[:, rows, answer] - logits[:, rows, contrast]
                m[start : start + step, columns] = found.numpy()
        return m

    return measure


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
    model: Model,
    samples: Sequence[Sample],
    keys: Sequence[Sequence[str]],
    pairs: Sequence[tuple[str, str]],
    *,
    beat: Beat,
) -> Measure:
    """What measures sets of edges `[layers × heads × pairs]`; those of no pair are never kept.

    Args:
        keys: slots of each sample's tokens.
        pairs: slots (from, to).
    """
    total = model.layers * model.heads * len(pairs)
    first = np.arange(0, total, len(pairs)).reshape(model.layers, model.heads, 1, 1)
    numbers = []
    for found in keys:
        pair = numbered(found, pairs)
        numbers.append(np.where(pair < 0, total, first + pair))

    def run(members: Sequence[int], kept: NDArray[np.bool_]) -> Tensor:
        which = np.stack([numbers[i] for i in members])
        edges = np.concatenate([np.append(one, False)[which] for one in kept])
        return with_edges(model, [samples[i].instructed for i in members] * len(kept), torch.from_numpy(edges))

    return _measure(samples, range(len(samples)), run, beat)
