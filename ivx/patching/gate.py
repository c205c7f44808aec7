"""The gate: what is said first of a result whose instruction the model does not follow.

A map of such a run is exact, and shows how the preference between two answers moves, not what the model does. So every
page, card, caption, text and export of it begins with one sentence. Following is counted on the run's own samples, by
the first token: the answer's is the likeliest of all. Nothing here loads torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ivx.patching.table import numbers
from ivx.stats.following import Following
from ivx.stats.metrics import find

FIELD = "following"
"""The field of a receipt that holds how many samples follow told, untold, in both or in neither."""
ASKED = "asked"
"""The field of a receipt that names the task that is followed or not, where that is not the request's."""
SMALL = 10
"""A run of no more samples is a small one, and called so wherever it is shown."""
SHOWN = {
    "separability": "what is shown is which wording was read, not what the model does with it",
    "lens": "what is shown is what the layers read, not the behaviour",
}
"""What a result shows where the instruction is not followed, by its kind; of all others how the preference moves."""


def sentence(receipt: Mapping[str, Any]) -> str:
    """What is said first of a run; empty where the instruction is followed, or where there is none.

    Args:
        receipt: a result's, or a summary, which begins with it.
    """
    if "gates" in receipt:  # of several checkpoints side by side
        return " ".join(receipt["gates"])
    told = receipt.get(FIELD)
    if told is None:
        return ""
    task = receipt.get(ASKED) or receipt["request"]["task"]
    return Following(**told).sentence(receipt["checkpoint"]["name"], task, shown=SHOWN.get(receipt.get("kind", ""), ""))


def short(receipt: Mapping[str, Any]) -> str:
    """The same in short, for what stands on a page below the whole sentence."""
    told = receipt.get(FIELD)
    return "" if told is None else Following(**told).short()


def small(receipt: Mapping[str, Any]) -> str:
    """That a run of patches is a small one; empty where it is not. Its control alone says little with so few."""
    n = receipt.get("samples", SMALL + 1)
    return f"Small run (n = {n})." if receipt.get("kind") == "effects" and n <= SMALL else ""


def opening(receipt: Mapping[str, Any]) -> str:
    """Both: what an export of a run begins with."""
    return " ".join(filter(None, [sentence(receipt), small(receipt)]))


def counted(told: pa.Table, *bare: pa.Table) -> dict[str, Any]:
    """The receipt's field, of the unpatched rows of told and bare runs, sample by sample; no field where none is
    defined. Of several bare runs one that follows is enough."""
    hits = np.stack([find("followed").measure(numbers(rows)) for rows in (told, *bare)])
    hits = hits[:, np.isfinite(hits).all(axis=0)] == 1.0
    there = list(zip(hits[0].tolist(), hits[1:].any(axis=0).tolist(), strict=True))
    return {FIELD: Following.counted(*zip(*there, strict=True))._asdict()} if there else {}


def with_following(receipt: dict[str, Any], table: pa.Table) -> dict[str, Any]:
    """The receipt of a result, its count taken from its rows where it was made before there was one."""
    asked = receipt["request"]
    other = asked.get("direction", "denoise") != "denoise" or asked.get("target_format") in ("query", "filler")
    if FIELD in receipt or other or not {"role", "patch", "rank", "sample"} <= set(table.column_names):
        return receipt
    unpatched = table.filter(pc.field("patch") == "")
    told, bare = (_by_sample(unpatched.filter(pc.field("role") == role)) for role in ("told", "effect"))
    if not told.num_rows or not told["sample"].equals(bare["sample"]):
        return receipt
    return {**receipt, **counted(told, bare)}


def _by_sample(table: pa.Table) -> pa.Table:
    """The rows of the first site alone, by sample: all sites begin with the same runs."""
    if table.num_rows:
        table = table.filter(pc.field("site") == table["site"][0])
    return table.sort_by("sample").combine_chunks()
