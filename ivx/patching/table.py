"""Tables of rows: their role and site, and the numbers that give every metric."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ivx.engine.schema import SCHEMA
from ivx.stats.metrics import Columns, find
from ivx.tasks.samples import Samples

Key = tuple[str, str, str, int]
"""The name of a replayed row: role, site, patch and sample, or their stand-ins."""
TOP = "top_ids"
NUMBERS = ("logit", "contrast", "logsumexp", "rank", "kl_target", "kl_reference")


def labelled(table: pa.Table, role: str, site: str) -> pa.Table:
    """The rows with their role and site."""
    n = table.num_rows
    for name, value in (("role", role), ("site", site)):
        table = table.append_column(name, pa.array([value] * n, pa.string()))
    return table


def sampled(table: pa.Table, rows: int, *, seed: int) -> list[dict[str, Any]]:
    """Some defined rows, drawn by chance, in their order: those that a replay computes again."""
    table = table.filter(pc.field("logit").is_valid()) if "logit" in table.column_names else table
    chosen = np.random.default_rng(seed).permutation(table.num_rows)[:rows]
    return table.take(np.sort(chosen)).to_pylist()


def numbers(table: pa.Table) -> Columns:
    """The sufficient numbers of a table's rows, in their order, and the id of their top token."""
    found = {name: table[name].to_numpy().astype(np.float64) for name in NUMBERS}
    if TOP in table.column_names:
        firsts = pc.list_slice(table[TOP], 0, 1, return_fixed_size_list=True)  # none where a row has no tokens
        found["top"] = pc.list_element(firsts, 0).to_numpy().astype(np.float64)
    return found


def by_patch(table: pa.Table, *, role: str, site: str, samples: int) -> dict[str, Columns]:
    """The sufficient numbers by patch set, each in the order of the samples; sets whose samples are all done."""
    table = table.filter((pc.field("role") == role) & (pc.field("site") == site)).combine_chunks()
    named = pc.dictionary_encode(table["patch"]).combine_chunks()
    if not table.num_rows:
        return {}
    code = named.indices.to_numpy()
    order = np.lexsort((table["sample"].to_numpy(), code))
    columns = {name: values[order] for name, values in numbers(table).items()}
    counts = np.bincount(code, minlength=len(named.dictionary))
    starts = np.cumsum(counts) - counts
    return {
        str(name): {key: values[start : start + samples] for key, values in columns.items()}
        for name, start, count in zip(named.dictionary.to_pylist(), starts, counts, strict=True)
        if count == samples
    }


def rows_of(table: pa.Table, *, role: str, site: str | None, patch: str) -> pa.Table:
    """The rows of one patch set, by sample."""
    chosen = (pc.field("role") == role) & (pc.field("patch") == patch)
    if site is not None:
        chosen = chosen & (pc.field("site") == site)
    return table.filter(chosen).sort_by("sample")


def detail(
    table: pa.Table,
    samples: Samples,
    *,
    site: str,
    patch: str,
    metric: str,
    read: Callable[[Columns], Columns] = lambda columns: columns,
) -> list[dict[str, Any]]:
    """Each sample under one patch set: its number, effect, and the top tokens before and after as (token, share) pairs.

    Samples whose rows are undefined are left out. `read` adds what a metric needs beside the numbers of rows.
    """
    before, after = (rows_of(table, role="effect", site=site, patch=p) for p in ("", patch))
    effects = find(metric).effect(read(numbers(after)), read(numbers(before)))
    tops = [_tops(rows) for rows in (before, after)]
    return [
        {
            "sample": i,
            "query": sample.query,
            "answer": sample.answer,
            "contrast": sample.contrast,
            "effect": float(effects[i]),
            "before": tops[0][i],
            "after": tops[1][i],
            "instruction": sample.instruction.text,
        }
        for i, sample in enumerate(samples.rows)
        if np.isfinite(effects[i])
    ]


def undefined(table: pa.Table) -> int:
    """How many rows are undefined: their logits are not finite."""
    return int(table["logit"].null_count)


def level(columns: Columns, metric: str) -> float | None:
    """Mean of the metric itself, not of its change, over the rows that are defined; None where there are none."""
    values = find(metric).measure(columns)
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else None


def _tops(rows: pa.Table) -> list[list[tuple[int, float]]]:
    ids, logits, total = (rows[name].to_pylist() for name in ("top_ids", "top_logits", "logsumexp"))
    return [
        [(token, float(np.exp(z - lse))) for token, z in zip(row or (), tops or (), strict=True)]
        for row, tops, lse in zip(ids, logits, total, strict=True)
    ]


ROWS = pa.schema([*SCHEMA, ("role", pa.string()), ("site", pa.string())])
"""Columns of a result's table: a sweep's, with role and site."""
