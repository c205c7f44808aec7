"""Detail: every sample behind one patch set, with its top tokens before and after."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ivx.patching.table import numbers
from ivx.stats.metrics import find
from ivx.tasks.samples import Samples


def rows_of(table: pa.Table, *, role: str, site: str | None, patch: str) -> pa.Table:
    """The rows of one patch set, by sample."""
    chosen = (pc.field("role") == role) & (pc.field("patch") == patch)
    if site is not None:
        chosen = chosen & (pc.field("site") == site)
    return table.filter(chosen).sort_by("sample")


def detail(table: pa.Table, samples: Samples, *, site: str, patch: str, metric: str) -> list[dict[str, Any]]:
    """Each sample under one patch set: effect, and the top tokens before and after as (token, share) pairs."""
    before, after = (rows_of(table, role="effect", site=site, patch=p) for p in ("", patch))
    effects = find(metric).effect(numbers(after), numbers(before))
    tops = [_tops(rows) for rows in (before, after)]
    return [
        {
            "query": sample.query,
            "answer": sample.answer,
            "contrast": sample.contrast,
            "effect": float(effects[i]),
            "before": tops[0][i],
            "after": tops[1][i],
            "instruction": sample.instruction.text,
        }
        for i, sample in enumerate(samples.rows)
    ]


def _tops(rows: pa.Table) -> list[list[tuple[int, float]]]:
    ids, logits, total = (rows[name].to_pylist() for name in ("top_ids", "top_logits", "logsumexp"))
    return [
        [(token, float(np.exp(z - lse))) for token, z in zip(row, tops, strict=True)]
        for row, tops, lse in zip(ids, logits, total, strict=True)
    ]
