"""Erasure: is what can be read of a vector what acts? The readable part is removed, and the rest is patched.

The part is removed by LEACE (Belrose et al. 2023, arXiv 2306.03819): the least change after which the vectors no longer
covary with the task, so that no linear probe does better than a guess. The control loses a random subspace of the same
rank. A vector is edited by what was learnt from wordings of other families.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from scipy.linalg import lstsq

from ivx.analysis.erased import ROWS, Erasure, Progress
from ivx.analysis.projection import shrunk
from ivx.analysis.rows import instruction_of, opened, opening, prepared, told, written
from ivx.analysis.separability import examples_of
from ivx.analysis.splits import Examples, Split
from ivx.analysis.statistics import Array
from ivx.analysis.table import labelled
from ivx.engine.capture import capture
from ivx.models.model import Model
from ivx.runs.probing import ErasureRequest
from ivx.tasks import catalogue
from ivx.tasks.samples import Sample
from ivx.tasks.wordings import drawn

RANK_FLOOR = 1e-6
"""Of the largest singular value: a smaller one is rounding."""


@dataclass(frozen=True)
class Eraser:
    """An oblique projection: `x − into · (out · (x − mean))`. `into` is `[width, rank]`, `out` `[rank, width]`."""

    mean: Array
    into: Array
    out: Array

    @property
    def rank(self) -> int:
        """Dimensions that are removed."""
        return self.into.shape[1]

    def __call__(self, states: Array) -> Array:
        """The states `[…, width]` without the subspace."""
        return states - (states - self.mean) @ self.out.T @ self.into.T


def leace(states: Array, targets: Array, *, shrinkage: bool = True) -> Eraser:
    """The eraser after which `states` do not covary with `targets`.

    With Σ the states' covariance and C their covariance with the targets it is x − C (Cᵀ Σ⁺ C)⁺ Cᵀ Σ⁺ (x − mean): of
    all affine maps that leave no covariance, the one that moves the states least, in the mean square.

    Args:
        states: `[samples, width]`.
        targets: `[samples, any]`; classes as one column each.
        shrinkage: take Ledoit and Wolf's Σ. With fewer samples than dimensions the plain one fits itself to the
            samples' noise; either erases all covariance.
    """
    mean = states.mean(axis=0)
    centred = states - mean
    left, sizes, _ = np.linalg.svd(centred.T @ (targets - targets.mean(axis=0)) / len(states), full_matrices=False)
    into = left[:, sizes > RANK_FLOOR * max(sizes[0], np.finfo(float).tiny)]
    covariance = shrunk(centred, width=states.shape[1]) if shrinkage else centred.T @ centred / len(states)
    solved = np.linalg.solve(covariance, into) if shrinkage else lstsq(covariance, into)[0]
    return Eraser(mean, into, np.linalg.pinv(into.T @ solved) @ solved.T)


def random_eraser(states: Array, *, rank: int, seed: int = 0) -> Eraser:
    """An eraser of a random subspace: what LEACE removes for targets that are noise."""
    draw = np.random.default_rng(seed)
    return leace(states, draw.normal(size=(len(states), rank)))


def erasure(model: Model | str, task: str, *, on_progress: Progress | None = None, **asked: Any) -> Erasure:
    """The effect of one instruction's vector, with and without what tells tasks apart in it, layer by layer.

    Args:
        model: a loaded model, or a name to load.
        task: `animal/colour`, or a user's file.
        on_progress: called with the result so far after each layer; what it raises ends the work.
        asked: the other fields of `ErasureRequest`.
    """
    return compute(*opened(ErasureRequest, model, task, asked), on_progress=on_progress)


def compute(
    model: Model, request: ErasureRequest, *, on_progress: Progress | None = None, known: pa.Table | None = None
) -> Erasure:
    """Run a request on a loaded model; layers that are `known` from an earlier start are not computed again."""
    began = time.perf_counter()
    samples, receipt = prepared(model, request)
    rows = samples.rows
    tasks = catalogue.several(request.tasks, collection=model.collection)
    wordings, warnings = drawn(
        tasks,
        model.tokenizer,
        each=request.wordings,
        families=request.folds,
        position=request.source_token,
        seed=request.seed,
    )
    examples = examples_of(tasks, wordings)
    splits = examples.splits(folds=request.folds, repeats=1, seed=request.seed)
    folds = [fold_of(sample.instruction.family, examples, splits) for sample in rows]
    prompts = [wording.ids for wording in wordings] + [instruction_of(request, sample) for sample in rows]
    captured = capture(model, prompts, sites=(request.component,))
    instructed, _ = told(model, samples)
    receipt["how"] = "hooks"
    receipt["warnings"] += list(warnings)
    bare = known is None or not known.filter((pc.field("role") == "effect") & (pc.field("patch") == "")).num_rows
    finished = opening(_labelled(instructed, "told", ""), known)
    if bare:
        finished.append(_labelled(written(model, rows, [("", None)]), "effect", request.component))
    targets = np.eye(len(tasks))[examples.labels]

    def result() -> Erasure:
        table = pa.concat_tables(finished)
        about = {**receipt, "rows": table.num_rows, "seconds": round(time.perf_counter() - began, 3)}
        return Erasure(request, table, samples, model.layers, about)

    where = {"first": rows[0].first, "last": -1}.get(request.position)
    where = int(request.position) if where is None else where
    for layer in range(model.layers):
        address = f"{request.component}.{layer}@{where}~-1"
        if known is None or not known.filter(pc.field("patch") == address).num_rows:
            states = captured.states(request.component, layer).astype(np.float64)
            learnt, whole = states[: len(wordings)], states[len(wordings) :]
            erased, random = whole.copy(), whole.copy()
            for i, split in enumerate(splits):
                own = [k for k, fold in enumerate(folds) if fold == i]
                if own:
                    eraser = leace(learnt[split.train], targets[split.train])
                    control = random_eraser(learnt[split.train], rank=eraser.rank, seed=request.seed)
                    erased[own], random[own] = eraser(whole[own]), control(whole[own])
            finished += _rows(model, rows, address, {"effect": whole, "erased": erased, "random": random})
        if on_progress is not None:
            on_progress(result(), layer + 1, model.layers)
    return result()


def fold_of(family: str, examples: Examples, splits: Sequence[Split]) -> int:
    """The first split whose training part holds no wording of this family."""
    own = np.array([family == other for other in examples.families])
    return next(i for i, split in enumerate(splits) if not own[split.train].any())


def _rows(model: Model, rows: Sequence[Sample], address: str, vectors: dict[str, Array]) -> list[pa.Table]:
    """The rows of one layer by role, the whole vectors first."""
    whole, n = next(iter(vectors.values())), len(rows)
    found = written(model, rows, [(address, torch.from_numpy(values).to(model.dtype)) for values in vectors.values()])
    lengths = np.linalg.norm(whole, axis=1)
    return [
        _labelled(
            found.slice(k * n, n),
            role,
            address.partition(".")[0],
            moved=np.linalg.norm(values - whole, axis=1) / lengths,
        )
        for k, (role, values) in enumerate(vectors.items())
    ]


def _labelled(table: pa.Table, role: str, site: str, *, moved: Array | None = None) -> pa.Table:
    share = np.zeros(table.num_rows) if moved is None else moved
    named = table if "role" in table.column_names else labelled(table, role, site)
    return named.append_column("moved", pa.array(share)).cast(ROWS)
