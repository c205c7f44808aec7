"""The table of a pathways result: one row for each part, mean over samples, and each sample's nodes and heads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ivx.analyses.pathways.slots import Alignment, coarse
from ivx.stats.intervals import Array, Ints, mean_interval

KINDS = ("total", "node", "stay", "mlp", "head", "edge", "bias", "carried", "patch")
NAMES = {
    "nodes": "node",
    "stay": "stay",
    "mlp": "mlp",
    "heads": "head",
    "added": "bias",
    "carried": "carried",
    "put": "patch",
}
SCHEMA = pa.schema(
    [
        ("run", pa.string()),
        ("kind", pa.string()),
        ("layer", pa.int32()),
        ("head", pa.int32()),
        ("from", pa.string()),
        ("to", pa.string()),
        ("item", pa.int32()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("first_half", pa.float64()),
        ("second_half", pa.float64()),
        ("attention", pa.float64()),
    ]
)
"""`run`: here, there, bare or patched. `layer` −1 is the embeddings; one past the last block, what comes after it.
`item` is a sample's number; null is the mean over samples: only means have an interval and halves, and, for edges, the
attention that they are read with."""
KEY = ("run", "kind", "layer", "head", "from", "to", "item")
"""Columns that tell one row from another."""
LEAST = 0.05
"""Smallest whole, in logits, that has shares; of less, or where its interval holds 0, they would be arbitrary."""
INTERVALS = 2_000
"""Parts of a kind that get an interval: the strongest."""


@dataclass(frozen=True)
class Part:
    """One row of means: what a part is worth in logits, with a 95 % interval where it is among the strongest, and its
    share of the whole; None where the whole is next to nothing."""

    run: str
    kind: str
    layer: int | None
    head: int | None
    start: str | None
    end: str | None
    value: float
    low: float | None
    high: float | None
    attention: float | None
    share: float | None


def is_nothing(mean: float, low: float | None, high: float | None) -> bool:
    """Whether a whole of this mean and interval, where it has one, is next to nothing."""
    return abs(mean) < LEAST or (low is not None and high is not None and low <= 0 <= high)


def table_of(parts: Parts, *, seed: int = 0) -> pa.Table:
    """The rows of one kind of run."""
    layers, heads = parts.edges.shape[1:3]
    found = [
        _means(parts, "total", parts.total[:, None], [(None, None, None, None)], seed),
        _means(parts, "bias", parts.final[:, None], [(layers, None, None, parts.alignment.slots[-1].key)], seed),
    ]
    slots = parts.alignment.named()
    at: list[Place]
    for name, values in parts.by_slot.items():
        if name in ("added", "carried", "put") and not values.any():
            continue
        kind, first = NAMES[name], -1 if name == "nodes" else 0
        if name == "heads":
            at = [(layer, head, None, slot) for layer in range(layers) for head in range(heads) for slot in slots]
        else:
            at = [(layer + first, None, None, slot) for layer in range(values.shape[1]) for slot in slots]
        found.append(_means(parts, kind, values.reshape(len(values), -1), at, seed))
    at = [(layer, head, *pair) for layer in range(layers) for head in range(heads) for pair in parts.pairs]
    edges = parts.edges.reshape(len(parts.edges), -1)
    found.append(_means(parts, "edge", edges, at, seed, attention=parts.attention.ravel()))
    rows = [row for item in range(len(parts.total)) for row in _of_sample(parts, item)]
    return pa.concat_tables([*found, pa.Table.from_pylist(rows, schema=SCHEMA)])


Place = tuple[int | None, int | None, str | None, str | None]


def _means(
    parts: Parts, kind: str, values: Array, at: Sequence[Place], seed: int, *, attention: Array | None = None
) -> pa.Table:
    """Rows of means of `values` `[samples, parts]`."""
    mean, half = values.mean(axis=0), [values[k::2] for k in (0, 1)]
    first, second = (part.mean(axis=0) if len(part) else mean for part in half)
    low, high = (np.full(len(mean), np.nan) for _ in range(2))
    strongest = np.argsort(-np.abs(mean), kind="stable")[:INTERVALS]
    low[strongest], high[strongest] = mean_interval(values[:, strongest].T, seed=seed, groups=parts.groups)
    layer, head, start, end = zip(*at, strict=True)
    n, none = len(at), [None] * len(at)
    given = none if attention is None else attention
    columns = [[parts.name] * n, [kind] * n, layer, head, start, end, none, mean, low, high, first, second, given]
    return pa.table(
        [pa.array(column, field.type, from_pandas=True) for column, field in zip(columns, SCHEMA, strict=True)],
        schema=SCHEMA,
    )


def _of_sample(parts: Parts, item: int) -> Iterator[dict[str, Any]]:
    """A sample's total, its nodes, and its heads over all tokens."""
    yield {"run": parts.name, "kind": "total", "item": item, "value": float(parts.total[item])}
    for layer, row in enumerate(parts.by_slot["nodes"][item].tolist()):
        for slot, value in zip(parts.alignment.named(), row, strict=True):
            yield {"run": parts.name, "kind": "node", "layer": layer - 1, "to": slot, "item": item, "value": value}
    for layer, row in enumerate(parts.by_slot["heads"][item].sum(-1).tolist()):
        for head, value in enumerate(row):
            yield {"run": parts.name, "kind": "head", "layer": layer, "head": head, "item": item, "value": value}


Pair = tuple[str, str]
"""Slots (from, to)."""


@dataclass(frozen=True)
class Parts:
    """The contributions of all samples' parts, in the slots of one alignment.

    Attributes:
        total, final: `[samples]`.
        by_slot: `nodes [samples, layers + 1, slots]`, `heads [samples, layers, heads, slots]`; `stay`, `mlp`, `added`,
            `carried`, `put` `[samples, layers, slots]`.
        edges: `[samples, layers, heads, pairs]`.
        attention: `[layers, heads, pairs]`: from a token of the pair's end to all tokens of its start, mean over the
            samples that have such tokens.
        deviation: the largest error of any identity.
        groups: the number of each sample's answer: where answers repeat, intervals are for new answers.
    """

    name: str
    alignment: Alignment
    pairs: tuple[Pair, ...]
    total: Array
    final: Array
    by_slot: dict[str, Array]
    edges: Array
    attention: Array
    deviation: float
    groups: Ints

    def among(self, pairs: Sequence[Pair]) -> Array:
        """Edges between coarse slots `[samples, layers, heads × pairs]`; 0 where this kind has none."""
        place = {pair: i for i, pair in enumerate(pairs)}
        found = np.zeros((*self.edges.shape[:3], len(pairs)))
        for i, (start, end) in enumerate(self.pairs):
            at = place.get((coarse(start), coarse(end)))
            if at is not None:
                found[..., at] += self.edges[..., i]
        return found.reshape(*found.shape[:2], -1)

    def writes(self, slots: Sequence[str]) -> Array:
        """What heads write at some slots, wherever they read it `[samples, layers, heads × slots]`."""
        names = self.alignment.named()
        found = self.by_slot["heads"][..., [names.index(slot) for slot in slots]]
        return found.reshape(*found.shape[:2], -1)

    @property
    def coarse_pairs(self) -> set[Pair]:
        """Its pairs in coarse slots, which all wordings share."""
        return {(coarse(start), coarse(end)) for start, end in self.pairs}
