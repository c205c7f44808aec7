"""Replay: patched rows of a result computed again, by plain hooks and one at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ivx.engine.sweep import sweep
from ivx.models.model import Model
from ivx.patching.roles import Runs
from ivx.patching.table import Key, sampled

Prompts = Callable[[Any, Any, str], tuple[Runs, ...]]
"""Takes request, samples and site; returns the prompts behind the rows, role by role."""


def replay(
    model: Model, found: Any, *, prompts: Prompts, rows: int, seed: int, beat: Callable[[], None]
) -> tuple[tuple[Key, ...], tuple[float, ...], tuple[float, ...]]:
    """Compute some random rows again, of a result with samples and a sweep's table.

    Args:
        beat: called before each row; what it raises ends the work.

    Returns:
        (role, site, patch, sample) of each, and the answer's logit as it is stored and as it is now.
    """
    patched = found.table.filter(np.array([role != "told" for role in found.table["role"].to_pylist()]))
    chosen = sampled(patched, rows, seed=seed)
    samples, again = found.samples, []
    for row in chosen:
        beat()
        k, patch = row["sample"], row["patch"]
        every = prompts(found.request, samples, row["site"])
        runs = next(part for part in every if part.role == row["role"] and part.runs(patch))
        address = runs.address(k, patch)
        table = sweep(
            model,
            source=[runs.sources[k]],
            target=[runs.targets[k]],
            answer=[samples.rows[k].answer_tokens],
            patches=[address] if address else [],
            means={address: runs.averaged(patch)} if "=mean" in address else None,
            engine="hooks",
        )
        again.append(float(table["logit"][-1].as_py()))
    keys = tuple((row["role"], row["site"], row["patch"], row["sample"]) for row in chosen)
    return keys, tuple(row["logit"] for row in chosen), tuple(again)
