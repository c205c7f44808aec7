"""Chains: sequences of tokens at the same positions, whose attention a layer computes together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ivx.engine.plan.numbering import Ints, Layer

SHARED_FROM = 4
"""Least number of chains behind one prefix for which its keys and values are read once for all of them."""


class Chain(NamedTuple):
    """Attention of token sequences at the same positions, given as rows of the projections' tables.

    `prefix` `[p]` (positions 0 to p, shared by all), `own` `[chains, m]` (positions p to p + m), `queries`
    `[chains, n]` (the last n of them), and where the outputs go, `out` `[chains, n]`.
    """

    prefix: Ints
    own: Ints
    queries: Ints
    out: Ints


class Packed(NamedTuple):
    """Chains of any shape in one table, padded to the longest; `keys` are each chain's prefix, then its own tokens.

    `keys` `[chains, m]`, `queries`, their `positions` and `out` `[chains, n]`; padding is row 0, in `out` the row
    beyond all others.
    """

    keys: Ints
    queries: Ints
    positions: Ints
    out: Ints


def pack(chains: Sequence[Chain], *, beyond: int) -> Packed:
    """All chains of a layer as one table; `beyond` is the row behind their outputs."""
    shape = (
        sum(len(c.own) for c in chains),
        max(len(c.prefix) + c.own.shape[1] for c in chains),
        max(c.queries.shape[1] for c in chains),
    )
    keys, queries, positions = (np.zeros((shape[0], n), dtype=np.int64) for n in (shape[1], shape[2], shape[2]))
    out = np.full((shape[0], shape[2]), beyond, dtype=np.int64)
    start = 0
    for chain in chains:
        rows, p = slice(start, start + len(chain.own)), len(chain.prefix)
        m, n = p + chain.own.shape[1], chain.queries.shape[1]
        keys[rows, :p], keys[rows, p:m] = chain.prefix, chain.own
        queries[rows, :n], positions[rows, :n], out[rows, :n] = chain.queries, np.arange(m - n, m), chain.out
        start = rows.stop
    return Packed(keys, queries, positions, out)


def gather(layer: Layer, attended: np.ndarray) -> tuple[list[Chain], np.ndarray]:
    """Group the attended nodes into chains of equal shape; returns these, and a mask of the nodes they compute."""
    classes = len(layer.nodes)
    start = np.full(classes, layer.nodes.shape[1], dtype=np.int64)
    np.minimum.at(start, layer.creator, layer.position)
    low, high = np.full(classes, layer.nodes.shape[1], dtype=np.int64), np.full(classes, -1, dtype=np.int64)
    wanted = np.flatnonzero(attended)
    np.minimum.at(low, layer.creator[wanted], layer.position[wanted])
    np.maximum.at(high, layer.creator[wanted], layer.position[wanted])
    shapes: dict[tuple[int, int, int], dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for r in np.flatnonzero(high >= 0):
        begin = int(start[r])
        behind = int(layer.nodes[r, begin - 1]) if begin else -1
        shapes[begin, int(low[r]), int(high[r]) + 1][behind].append(int(r))
    chains = []
    for (begin, first, end), families in shapes.items():
        alone: list[int] = []
        for members in families.values():
            if begin and len(members) >= SHARED_FROM:
                own = layer.nodes[members]
                chains.append(_chain(own[0, :begin], own[:, begin:end], own[:, first:end]))
            else:
                alone += members
        if alone:
            own = layer.nodes[alone]
            chains.append(_chain(own[0, :0], own[:, :end], own[:, first:end]))
    kept = np.zeros(len(layer.value), dtype=bool)
    for chain in chains:
        kept[chain.out] = True
    return chains, kept


def _chain(prefix: Ints, own: Ints, queries: Ints) -> Chain:
    return Chain(prefix, own, queries, queries)
