"""Areas: how well a ranking of heads finds circuits of every size, as the benchmark MIB (2504.13151) sums it up.

    f(n) = (m(n strongest kept) − m(∅)) / (m(M) − m(∅))        0 at n = 0
    CPR  = ∫ f dn / N          the more the better: what the strongest do for the answer
    CMD  = ∫ |1 − f| dn / N    0 is best: how far circuits are from doing what the whole model does

by trapezoids over the sizes that are tried, N all heads. Heads are ranked on one half of the samples and tried on the
other. Ablated heads write their mean over both instructions' prompts: one's own would still say which it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ivx.analyses.pathways.faithfulness import DRAWS, Measure, sizes_of
from ivx.analyses.pathways.parts import is_nothing
from ivx.formats.plotted import Plotted
from ivx.stats.intervals import Array, mean_interval

RANKINGS = ("eap", "eap-ig")
"""Reference rankings that may stand beside that of pathways."""
RESAMPLES = 1_000


@dataclass(frozen=True)
class Area:
    """One ranking of heads: faithfulness `kept` by size, and both areas with their 95 % bootstrap intervals over
    samples. That of `random` is a mean over random orders."""

    ranking: str
    samples: int
    sizes: tuple[int, ...]
    kept: tuple[float, ...]
    cpr: float
    cpr_low: float
    cpr_high: float
    cmd: float
    cmd_low: float
    cmd_high: float


def areas(scores: Mapping[str, Array], measure: Measure, *, seed: int) -> tuple[Area, ...]:
    """The areas of rankings by absolute scores `[heads]`, and of random orders; none where there is no whole."""
    total = len(next(iter(scores.values())))
    sizes = sizes_of(total)
    rng = np.random.default_rng(seed)
    orders = {name: [np.argsort(-np.abs(values), kind="stable")] for name, values in scores.items()}
    orders["random"] = [rng.permutation(total) for _ in range(DRAWS)]
    sets = [np.ones(total, bool), np.zeros(total, bool)]
    sets += [np.isin(np.arange(total), order[:n]) for some in orders.values() for order in some for n in sizes]
    whole, nothing, *tried = measure(sets)
    apart = whole - nothing
    low, high = mean_interval(apart[None], seed=seed)
    if is_nothing(float(apart.mean()), float(low[0]), float(high[0])):
        return ()
    count = len(apart)
    weights = np.concatenate([np.ones((1, count)), rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)])
    weights = weights[np.abs(weights @ apart) > 0]
    gained = (np.stack(tried) - nothing) @ weights.T / (weights @ apart)  # the first column is of all samples
    found, at = [], 0
    for name, some in orders.items():
        curves = gained[at : at + len(some) * len(sizes)].reshape(len(some), len(sizes), -1)
        at += len(some) * len(sizes)
        curves = np.concatenate([np.zeros((len(some), 1, curves.shape[2])), curves], axis=1)
        shares = np.array([0, *sizes]) / total
        cpr = np.trapezoid(curves, shares, axis=1).mean(axis=0)
        cmd = np.trapezoid(np.abs(1 - curves), shares, axis=1).mean(axis=0)
        (least, most), (under, over) = (np.quantile(values[1:], (0.025, 0.975)).tolist() for values in (cpr, cmd))
        kept = tuple(curves[:, 1:, 0].mean(axis=0).tolist())
        found.append(Area(name, count, tuple(sizes), kept, float(cpr[0]), least, most, float(cmd[0]), under, over))
    return tuple(found)


def plotted_areas(found: Sequence[Area]) -> Iterator[Plotted]:
    """Both areas of each ranking, as what figures show is written (`ivx.formats.plotted`)."""
    for area in found:
        for name in ("cpr", "cmd"):
            own = (getattr(area, name), getattr(area, f"{name}_low"), getattr(area, f"{name}_high"))
            cell, label = f"{area.ranking} {name}", f"{area.ranking}, {name.upper()}"
            yield Plotted("areas", cell, label, None, *own, n=area.samples, what=name, unit="share")
