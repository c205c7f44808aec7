"""The terms of an interaction: the sets whose effects it is made of, how often each is counted, and their sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations

import numpy as np

from ivx.stats.intervals import Array, Ints, adjusted, means

Effects = dict[str, Array]
"""Effect `[samples]` of patch sets by address."""


def terms_of(chosen: Sequence[str], equals: Mapping[str, tuple[str, str]]) -> dict[str, int]:
    """The sets whose effects make up the interaction of some players, and how often each is counted.

    Sets that are equal by an identity are counted as one, so that equal terms cancel exactly.
    """
    found: Counter[str] = Counter()
    for size in range(1, len(chosen) + 1):
        for part in combinations(chosen, size):
            text = ",".join(part)
            found[equals.get(text, (text, ""))[0]] += (-1) ** (len(chosen) - size)
    return dict(found)


def sums(terms: Mapping[str, Mapping[str, int]], effects: Effects) -> Array:
    """Sums of effects: `[sums, samples]`."""
    return np.stack([sum(times * effects[part] for part, times in counted.items()) for counted in terms.values()])


def gains_of(
    pairs: Mapping[str, Sequence[str]],
    effects: Effects,
    *,
    seed: int,
    groups: Ints,
    shares: bool,
    free: Collection[str],
) -> dict[str, tuple[float, float, float]]:
    """By pair: gain over the better single, lower end of the gain over either, and the larger p of the two.

    Args:
        pairs: both players of each.
        free: those that follow from the singles: their p is 1, and none is adjusted for them.
    """
    if not pairs:
        return {}
    over = [np.stack([effects[text] - effects[pair[k]] for text, pair in pairs.items()]) for k in (0, 1)]
    told = [means(values, seed=seed, groups=groups, shares=shares) for values in over]
    gain, low = (np.minimum(*columns) for columns in zip(*((t.mean, t.low) for t in told), strict=True))
    p = np.ones(len(pairs))
    ran = np.array([text not in free for text in pairs])
    p[ran] = np.maximum(*(adjusted(t.p[ran]) for t in told))
    return dict(zip(pairs, zip(gain.tolist(), low.tolist(), p.tolist(), strict=True), strict=True))


def mean_of(values: Array) -> float:
    """The mean over the samples that are defined; NaN where none is."""
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else float("nan")
