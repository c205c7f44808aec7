"""Shared rows: what a larger request has in common with a smaller result of the same checkpoint and task.

A row is made by its prompts, the address that is patched, and the tokens that are read: rows that agree in all of these
are one row, whatever number its sample has, and whatever else is asked beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.effects.result import Effects
from ivx.patching.roles import Runs

Made = tuple[object, ...]
"""What makes the rows of one prompt of a role."""
Every = dict[str, tuple[Runs, ...]]
"""The prompts behind the rows, by site."""


def shared(small: Effects, large: Effects, prompts: Every, asked: Every) -> pa.Table:
    """The rows of `small` that `large` has, too, with its names and numbers of samples; told runs are not among them.

    Args:
        large: its samples and maps; its rows do not matter.
        prompts, asked: the prompts behind the rows of `small`, and of `large`.
    """
    names: dict[tuple[str, str, int, str], tuple[int, str]] = {}
    for site in small.maps.keys() & large.maps.keys():
        patches = {id(found): [patch for _, _, patch in found.places(site)] for found in (small, large)}
        theirs = {made: (part, k) for part in asked[site] for k, made in enumerate(_made(part, large))}
        for part in prompts[site]:
            for k, made in enumerate(_made(part, small)):
                other, at = theirs.get(made, (None, 0))
                if other is None:
                    continue
                there = {other.address(at, name): name for name in ["", *other.named(patches[id(large)])]}
                for name in ["", *part.named(patches[id(small)])]:
                    found = there.get(part.address(k, name))
                    if found is not None:
                        names[part.role, site, k, name] = at, found
    return _renamed(small.table, names)


def _made(part: Runs, found: Effects) -> list[Made]:
    """What makes the rows of each sample, but for the address."""
    return [
        (part.role, *(tuple(ids[k]) for ids in (part.sources, part.targets, part.references)), *_read(found, k))
        for k in range(len(part.targets))
    ]


def _read(found: Effects, sample: int) -> Sequence[object]:
    row = found.samples.rows[sample]
    return row.answer_tokens, row.contrast_tokens


def _renamed(table: pa.Table, names: dict[tuple[str, str, int, str], tuple[int, str]]) -> pa.Table:
    rows = zip(*(table[name].to_pylist() for name in ("role", "site", "sample", "patch")), strict=True)
    named = [(i, names[row]) for i, row in enumerate(rows) if row in names]
    found = table.take(pa.array([i for i, _ in named], pa.int64()))
    for column, values in (("sample", [at for _, (at, _) in named]), ("patch", [name for _, (_, name) in named])):
        at = found.schema.get_field_index(column)
        found = found.set_column(at, found.schema.field(at), pa.array(values, found.schema.field(at).type))
    return found.filter(pc.field("role") != "told")
