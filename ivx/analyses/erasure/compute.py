"""Erasure: does the readable part of a vector cause its effect? It is removed, and the rest is patched.

The part is removed by LEACE (Belrose et al. 2023, arXiv 2306.03819): the least change after which the vectors no longer
covary with the task, so that no linear probe does better than a guess. The control loses a random subspace of the same
rank. Each vector is edited by an eraser that was fitted on wordings of other families.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.linalg import lstsq

from ivx.analyses.base import Progress, Steps
from ivx.analyses.erasure.request import ErasureRequest
from ivx.analyses.erasure.result import ROLES, ROWS, Erasure
from ivx.analyses.separability.compute import examples_of
from ivx.analyses.separability.projection import shrunk
from ivx.analyses.separability.splits import Examples, Split
from ivx.engine.hooks.capture import Captured, capture, capture_singly
from ivx.engine.plan.forecast import REACHED, Forecast, of_passes, rate
from ivx.models.model import Model
from ivx.patching.positions import position_of
from ivx.patching.prepare import measured, opening, prepare, run_given, run_told, samples_of
from ivx.patching.sweeping import instruction_of
from ivx.patching.table import Key, labelled, sampled
from ivx.stats.intervals import Array
from ivx.tasks import catalogue
from ivx.tasks.sample import Sample
from ivx.tasks.samples import Samples
from ivx.tasks.wordings import drawn

RANK_FLOOR = 1e-6
"""Smallest singular value that counts, as a share of the largest; a smaller one is rounding."""


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


def compute(
    model: Model,
    request: ErasureRequest,
    *,
    on_progress: Progress[Erasure] | None = None,
    known: pa.Table | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Erasure:
    """Run a request on a loaded model; layers that are `known` from an earlier start are not computed again."""
    began = time.perf_counter()
    samples, receipt = prepare(model, request)
    rows = samples.rows
    learnt = _learnt(model, request, samples, beat=beat)
    instructed, _ = run_told(model, samples, beat=beat)
    receipt["how"] = "hooks"
    receipt["warnings"] += list(learnt.warnings)
    bare = known is None or not known.filter((pc.field("role") == "effect") & (pc.field("patch") == "")).num_rows
    finished = opening(_labelled(instructed, "told", ""), known)
    if bare:
        finished.append(_labelled(run_given(model, rows, [("", None)], beat=beat), "effect", request.component))

    def result() -> Erasure:
        table = pa.concat_tables(finished)
        about = measured(receipt, table, began=began)
        return Erasure(request=request, table=table, samples=samples, layers=model.layers, receipt=about)

    for layer in range(model.layers):
        address = _address(request, samples, layer)
        if known is None or not known.filter(pc.field("patch") == address).num_rows:
            beat()
            finished += _rows(model, rows, address, learnt.vectors(layer), beat)
        if on_progress is not None:
            on_progress(result(), layer + 1, model.layers)
    return result()


def replay(
    model: Model, found: Erasure, *, rows: int, seed: int, beat: Callable[[], None]
) -> tuple[list[Key], list[float], list[float]]:
    """Compute some rows again in the slow way: every state from its own pass, every subspace fitted again per row.

    Returns:
        (role, site, patch, sample) of each, and the answer's logit as it is stored and as it is now.
    """
    samples, request = found.samples, found.request
    learnt = _learnt(model, request, samples, singly=True, beat=beat)
    patched_rows = found.table.filter(pc.field("role").isin(list(ROLES[:3])) & (pc.field("patch") != ""))
    names: list[Key] = []
    before: list[float] = []
    now: list[float] = []
    for row in sampled(patched_rows, rows, seed=seed):
        beat()
        role, patch, k = row["role"], row["patch"], row["sample"]
        vector = learnt.vectors(int(patch.split("@")[0].split(".")[1]))[role][[k]]
        table = run_given(model, [samples.rows[k]], [(patch, vector)])
        names.append((role, row["site"], patch, k))
        before.append(row["logit"])
        now.append(table["logit"][0].as_py())
    return names, before, now


@dataclass(frozen=True)
class _Learnt:
    """The states of the wordings, then those of the samples' instructions, and the splits to fit erasers on."""

    request: ErasureRequest
    captured: Captured
    examples: Examples
    splits: tuple[Split, ...]
    folds: tuple[int, ...]
    warnings: tuple[str, ...]

    def vectors(self, layer: int) -> dict[str, Array]:
        """The vectors of one layer by role `[samples, width]`: whole, without the readable part, and without a random
        part of the same rank, each edited by an eraser fitted on other families."""
        states = self.captured.states(self.request.component, layer).astype(np.float64)
        n = len(self.examples.labels)
        learnt, whole = states[:n], states[n:]
        targets = np.eye(len(self.examples.classes))[self.examples.labels]
        erased, random = whole.copy(), whole.copy()
        for i, split in enumerate(self.splits):
            own = [k for k, fold in enumerate(self.folds) if fold == i]
            if own:
                eraser = leace(learnt[split.train], targets[split.train])
                control = random_eraser(learnt[split.train], rank=eraser.rank, seed=self.request.seed)
                erased[own], random[own] = eraser(whole[own]), control(whole[own])
        return {"effect": whole, "erased": erased, "random": random}


def _learnt(
    model: Model,
    request: ErasureRequest,
    samples: Samples,
    *,
    singly: bool = False,
    beat: Callable[[], None] = lambda: None,
) -> _Learnt:
    """The states and splits that erasers are fitted on; with `singly`, each state from a pass of its own."""
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
    splits = tuple(examples.splits(folds=request.folds, repeats=1, seed=request.seed))
    folds = tuple(fold_of(sample.instruction.family, examples, splits) for sample in samples.rows)
    prompts = [wording.ids for wording in wordings] + [instruction_of(request, sample) for sample in samples.rows]
    read = capture_singly if singly else capture
    captured = read(model, prompts, sites=(request.component,), beat=beat)
    return _Learnt(request, captured, examples, splits, folds, warnings)


def _address(request: ErasureRequest, samples: Samples, layer: int) -> str:
    return f"{request.component}.{layer}@{position_of(request.position, samples.rows)}~-1"


def fold_of(family: str, examples: Examples, splits: Sequence[Split]) -> int:
    """The first split whose training part holds no wording of this family."""
    own = np.array([family == other for other in examples.families])
    return next(i for i, split in enumerate(splits) if not own[split.train].any())


def _rows(
    model: Model, rows: Sequence[Sample], address: str, vectors: dict[str, Array], beat: Callable[[], None]
) -> list[pa.Table]:
    """The rows of one layer by role, the whole vectors first."""
    whole, n = next(iter(vectors.values())), len(rows)
    found = run_given(model, rows, [(address, values) for values in vectors.values()], beat=beat)
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


def cost_of(model: Model, request: ErasureRequest) -> Forecast:
    """What a request will cost: its passes, and the fits, which take the wordings' states by themselves twice."""
    _, samples = samples_of(model, request)
    rows, runs = samples.rows, len(ROLES[:3]) * model.layers + 1
    wordings = len(catalogue.several(request.tasks, collection=model.collection)) * request.wordings
    told = [s.instructed for s in rows]
    read = [instruction_of(request, s) for s in rows]
    prompts = [*told, *[s.target for s in rows] * runs, *read, *read[:1] * wordings]
    passes = of_passes(model, prompts, rows=len(rows) * (runs + 1))
    fits = 4.0 * request.folds * model.layers * model.width**2 * (wordings + model.width)
    return replace(passes, flops=passes.flops + fits, seconds=passes.seconds + fits / (REACHED * rate(model)))


STEPS: Steps[ErasureRequest, Erasure] = Steps(compute=compute, replay=replay, cost=cost_of)
