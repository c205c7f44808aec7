"""Starts: at which tokens paths of high rank begin, beside how many paths begin there at all.

A token at the front is where most paths begin, since later tokens all read it: a raw count says little. So each count
stands beside what it would be if paths were drawn at random, and their ratio. Two kinds: the `strongest` of the exact
paths, by their part of the logit; and the `published` ones, of each head's most attended edge alone, that by
themselves rank the answer among the first 100. Paths that begin at a block's constant begin at no token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ivx.analyses.pathways.findings import Findings
from ivx.analyses.pathways.slots import Slot, keys_of
from ivx.engine.linear.records import begun
from ivx.stats.intervals import Array, mean_interval
from ivx.tasks.sample import Sample

KINDS = ("strongest", "published")


@dataclass(frozen=True)
class Start:
    """One slot. `count` is of paths of high rank, in all samples; `share` is its mean share of a sample's, with its
    95 % interval over `samples`; `expected` is the share of all paths; `times` is share by expected, with the same
    interval."""

    key: str
    label: str
    count: int
    share: float
    low: float
    high: float
    expected: float
    times: float
    times_low: float
    times_high: float
    samples: int


def starts_of(
    found: Findings, rows: Sequence[Sample], *, kind: str, layers: int, heads: int, seed: int
) -> tuple[Start, ...]:
    """The slots in the order of their tokens; none where no path of high rank was found."""
    slots = found.slots.get("here", ())
    apart = len({sample.source for sample in rows}) == 1
    numbers = {slot.key: i for i, slot in enumerate(slots)}
    counts: list[Array] = []
    all_paths: list[Array] = []
    own = kind == "strongest"
    for item, ranked, paths in _strongest(found, rows, layers=layers, heads=heads) if own else _published(found):
        keys = [numbers[key] for key in keys_of(rows[item], told=True, apart=apart)]
        if ranked.sum():
            counts.append(np.bincount(keys, weights=ranked, minlength=len(slots)).astype(np.float64))
            all_paths.append(np.bincount(keys, weights=_shares(paths), minlength=len(slots)).astype(np.float64))
    if not counts:
        return ()
    return tuple(_start(slot, *told, seed=seed) for slot, *told in _by_slot(slots, counts, all_paths))


def _strongest(
    found: Findings, rows: Sequence[Sample], *, layers: int, heads: int
) -> list[tuple[int, Array, list[int]]]:
    """Of each traced sample: how many of its strongest paths begin at each token, and how many of all do."""
    told = []
    for traced in found.traced:
        tokens = len(rows[traced.item].instructed)
        ranked = np.zeros(tokens)
        for path in traced.paths:
            if path.layer is None:
                ranked[path.start] += 1
        steps = np.tril(np.full((tokens, tokens), heads)) + np.eye(tokens, dtype=int)
        told.append((traced.item, ranked, begun(np.broadcast_to(steps, (layers, tokens, tokens)))))
    return told


def _published(found: Findings) -> list[tuple[int, Array, list[int]]]:
    """The same of published paths. Where these are drawn, so many of a token's are drawn as it has."""
    told = []
    for traced, begins in zip(found.traced, found.starts, strict=False):
        ranked = np.array([one.ranked for one in begins], dtype=np.float64)
        told.append((traced.item, ranked, [one.paths for one in begins]))
    return told


def _shares(paths: Sequence[int]) -> Array:
    """Whole numbers of any size as shares of their sum."""
    total = sum(paths)
    return np.array([count / total for count in paths])


def _by_slot(
    slots: Sequence[Slot], counts: Sequence[Array], all_paths: Sequence[Array]
) -> list[tuple[Slot, Array, Array, Array]]:
    """Of each slot: counts, shares and expected shares by sample."""
    many = np.stack(counts)
    shares, expected = many / many.sum(axis=1, keepdims=True), np.stack(all_paths)
    return [(slot, many[:, i], shares[:, i], expected[:, i]) for i, slot in enumerate(slots)]


def _start(slot: Slot, counts: Array, shares: Array, expected: Array, *, seed: int) -> Start:
    times = np.divide(shares, expected, out=np.zeros_like(shares), where=expected > 0)
    lows, (high, over) = mean_interval(np.stack([shares, times]), seed=seed)
    low, under = np.maximum(lows, 0)  # neither can be less
    return Start(
        slot.key,
        slot.label,
        int(counts.sum()),
        float(shares.mean()),
        float(low),
        float(high),
        float(expected.mean()),
        float(times.mean()),
        float(under),
        float(over),
        len(counts),
    )
