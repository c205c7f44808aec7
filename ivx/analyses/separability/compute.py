"""Separability: how well tasks can be told apart from the states of their wordings, at every place of a model.

What can be read is not what is used: a bag of words tells most tasks apart, and so do states that do nothing when they
are patched. So every accuracy stands beside its control, and the result beside the map of effects.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sklearn

from ivx import scratch
from ivx.analyses.base import Progress, Steps
from ivx.analyses.separability import projection, trajectories
from ivx.analyses.separability.geometry import geometry
from ivx.analyses.separability.probes import Scores, bag_of_words, probe
from ivx.analyses.separability.request import SeparabilityRequest
from ivx.analyses.separability.result import EMBEDDING, PATH, TABLE, WORDS, Read, Separability
from ivx.analyses.separability.splits import Examples, Split
from ivx.engine.hooks.capture import Captured, Matrix, capture, capture_singly, size_of
from ivx.engine.plan.forecast import Counted
from ivx.errors import IvxError
from ivx.models import paths
from ivx.models.model import Model
from ivx.patching.prepare import asked_of, receipt_of
from ivx.stats.intervals import Array, repeated_interval
from ivx.tasks import catalogue
from ivx.tasks.task import Task, fingerprint
from ivx.tasks.way import Way
from ivx.tasks.wordings import Wording, drawn

SAMPLES = 40
"""Queries of the task that are asked told and untold, where a single pair is told apart."""
SMALL = 500_000_000
"""Most bytes of states that are held in memory; more are kept in files while they are probed."""
BOUNDS = {"selectivity": (-1.0, 1.0), "margin": (-np.inf, np.inf)}
"""Bounds of measures; all others lie between 0 and 1."""


def compute(
    model: Model,
    request: SeparabilityRequest,
    *,
    on_progress: Progress[Separability] | None = None,
    known: pa.Table | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Separability:
    """Run a request on a loaded model; places that are `known` from an earlier start are not probed again."""
    began = time.perf_counter()
    for kind in request.projections:
        projection.check(kind)
    tasks, wordings, warnings = _drawn(model, request)
    examples = examples_of(tasks, wordings, pairs=request.pairs)
    splits = examples.splits(folds=request.folds, repeats=request.repeats, seed=request.seed)
    halves = examples.splits(folds=2, repeats=1, seed=request.seed)[0]
    receipt = receipt_of(model, request, fingerprint(tasks))
    receipt["versions"]["scikit-learn"] = sklearn.__version__
    asked, uncounted = _followed(model, request)
    receipt |= {
        "how": "hooks",
        "samples": len(wordings),
        "warnings": [*warnings, *uncounted],
        "chance": examples.chance,
        **asked,
    }
    reads = tuple(Read(w.task, w.text, w.family, w.token) for w in wordings)
    finished = [TABLE.empty_table() if known is None else known]

    def result() -> Separability:
        table = pa.concat_tables(finished)
        about = {**receipt, "rows": table.num_rows, "seconds": round(time.perf_counter() - began, 3)}
        return Separability(
            request=request,
            table=table,
            tasks=examples.classes,
            wordings=reads,
            layers=model.layers,
            receipt=about,
        )

    places = [(WORDS, -1), (EMBEDDING, -1)]
    places += [(component, layer) for layer in range(model.layers) for component in request.components]
    done = 0

    def progress() -> None:
        if on_progress is not None:
            on_progress(result(), done, len(places))

    progress()
    captured = _captured(model, wordings, request, beat=beat)
    cache: dict[tuple[str, int], Scores] = {}
    fixed: dict[str, trajectories.Fixed] = {}
    for component, layer in places:
        if not _rows_of(finished[0], component, layer).num_rows:
            scores = _scores(captured, examples, splits, component, layer, request, cache)
            rows = _tidy(scores, examples, splits, component, layer)
            if layer >= 0:
                states = captured.states(component, layer)
                rows += _planes(states, examples, halves, component, layer, request, finished)
                if component not in fixed:
                    fixed[component] = trajectories.plane_of(partial(captured.states, component), model.layers)
                rows += _geometry(states, examples, fixed[component], component, layer, request)
            finished.append(pa.Table.from_pylist(rows, schema=TABLE))
        done += 1
        progress()
    return result()


def replay(
    model: Model, found: Separability, *, rows: int, seed: int, beat: Callable[[], None]
) -> tuple[list[tuple[str, str, str, int]], list[float], list[float]]:
    """Compute some places' accuracies again in the slow way: every state from its own pass, every probe fitted again.

    Returns:
        (`accuracy`, component, address, number of wordings) of each, and its accuracy as it is stored and as it is now.
    """
    request = found.request
    tasks, wordings, _ = _drawn(model, request)
    examples = examples_of(tasks, wordings, pairs=request.pairs)
    splits = examples.splits(folds=request.folds, repeats=request.repeats, seed=request.seed)
    cells = [cell for component in request.components for cell in found.cells(component)]
    chosen = np.sort(np.random.default_rng(seed).permutation(len(cells))[:rows]).tolist()
    captured = capture_singly(model, [w.ids for w in wordings], sites=request.components, beat=beat)
    told: list[tuple[str, str, str, int]] = []
    now: list[float] = []
    for cell in (cells[k] for k in chosen):
        beat()
        scores = probe(captured.states(cell.component, cell.layer), examples, splits, seed=request.seed, whole=False)
        told.append(("accuracy", cell.component, f"{cell.component}.{cell.layer}", cell.n))
        now.append(float(scores.values["accuracy"].mean()))
    return told, [cells[k].accuracy.value for k in chosen], now


def _drawn(model: Model, request: SeparabilityRequest) -> tuple[tuple[Task, ...], tuple[Wording, ...], tuple[str, ...]]:
    """The tasks, their wordings, and warnings about them."""
    tasks = catalogue.several(request.tasks, collection=model.collection)
    wordings, warnings = drawn(
        tasks,
        model.tokenizer,
        each=request.wordings,
        families=request.folds,
        position=request.position,
        seed=request.seed,
    )
    return tasks, wordings, warnings


def _followed(model: Model, request: SeparabilityRequest) -> tuple[dict[str, Any], list[str]]:
    """Whether the first task is followed, where a task and its contrast alone are told apart; of more tasks each has
    its own answer, which `behaviour` gives."""
    pairs = catalogue.pairs(request.tasks, collection=model.collection)
    if len(pairs) != 2 or pairs[0].contrast.name != pairs[1].task.name:
        return {}, []
    return asked_of(model, pairs[0], Way(), samples=SAMPLES, seed=request.seed)


def examples_of(tasks: Sequence[Task], wordings: Sequence[Wording], *, pairs: bool = False) -> Examples:
    """The wordings as what probes learn from; with `pairs`, each task against its contrast task only."""
    names = [task.name for task in tasks]
    every: tuple[tuple[int, ...], ...] = (tuple(range(len(names))),)
    if pairs:
        both = {tuple(sorted((task.name, task.contrast), key=names.index)) for task in tasks if task.contrast in names}
        if not both:
            raise IvxError("none of the tasks is another's contrast task: name both of a pair, or leave out pairs")
        every = tuple(sorted(tuple(map(names.index, pair)) for pair in both))
    return Examples(
        labels=np.array([names.index(wording.task) for wording in wordings]),
        families=tuple(wording.family for wording in wordings),
        texts=tuple(wording.text for wording in wordings),
        classes=tuple(names),
        problems=every,
    )


def _captured(
    model: Model, wordings: Sequence[Wording], request: SeparabilityRequest, *, beat: Callable[[], None]
) -> Captured:
    prompts = [wording.ids for wording in wordings]
    if size_of(model, request.components, len(prompts)) <= SMALL:
        return capture(model, prompts, sites=request.components, beat=beat)
    # Mapped files outlive their names: this folder goes before they do.
    with scratch.folder("states", among=paths.cache() / "states") as folder:
        return capture(model, prompts, sites=request.components, folder=Path(folder), beat=beat)


def _scores(
    captured: Captured,
    examples: Examples,
    splits: Sequence[Split],
    component: str,
    layer: int,
    request: SeparabilityRequest,
    cache: dict[tuple[str, int], Scores],
) -> Scores:
    if component == WORDS:
        return bag_of_words(examples, splits, seed=request.seed)
    if component == EMBEDDING:
        return probe(captured.embedding, examples, splits, seed=request.seed, whole=False)
    states = captured.states(component, layer)
    # What enters a block is what left the one before, in all architectures that are known.
    before = ("resid_post", layer - 1)
    if component == "resid_pre" and before in cache and np.array_equal(captured.states(*before), states):
        return cache[before]
    found = probe(states, examples, splits, seed=request.seed)
    if component == "resid_post" and "resid_pre" in request.components:
        cache[component, layer] = found
    return found


def _tidy(
    scores: Scores, examples: Examples, splits: Sequence[Split], component: str, layer: int
) -> list[dict[str, Any]]:
    """The rows of one place, but for its projections."""
    n = len(examples.labels)
    share = float(np.mean([len(split.test) for split in splits]) / n)
    here = {"component": component, "layer": layer, "n": n}
    rows = [{**here, "measure": name, **_bounded(name, values, share)} for name, values in scores.values.items()]
    if len(scores.confusion):
        smallest = min(np.bincount(examples.labels[split.train]).min() for split in splits)
        rows += [
            {**here, "measure": "curve", "wordings": size, **_bounded("curve", values, share)}
            for size, values in scores.curve.items()
        ]
        rows.append(
            {**here, "measure": "curve", "wordings": int(smallest), **_bounded("", scores.values["accuracy"], share)}
        )
        totals = np.maximum(scores.confusion.sum(axis=1), 1)
        for truth, predicted in np.argwhere(scores.confusion > 0):
            told = {"truth": examples.classes[truth], "predicted": examples.classes[predicted]}
            value = float(scores.confusion[truth, predicted] / totals[truth])
            rows.append({**here, "measure": "confusion", **told, "value": value})
    return rows


def _bounded(name: str, values: Array, share: float) -> dict[str, float]:
    mean, low, high = repeated_interval(values, share=share)
    least, most = BOUNDS.get(name, (0.0, 1.0))
    return {"value": mean, "low": max(low, least), "high": min(high, most)}


def _planes(
    states: Matrix,
    examples: Examples,
    halves: Split,
    component: str,
    layer: int,
    request: SeparabilityRequest,
    finished: Sequence[pa.Table],
) -> list[dict[str, Any]]:
    """The projections of one place, each turned onto that of the layer below."""
    rows = []
    for kind in request.projections:
        points, share = projection.KINDS[kind](states, examples.labels, halves, seed=request.seed)
        below = [p for table in finished if (p := _points(table, component, layer - 1, kind)) is not None]
        turned = projection.aligned(points, below[0] if below else None)
        x, y = ([None if np.isnan(v) else v for v in axis] for axis in turned.T.tolist())
        told = {"measure": kind, "n": len(x), "value": None if np.isnan(share) else share, "x": x, "y": y}
        rows.append({"component": component, "layer": layer, **told})
    return rows


def _geometry(
    states: Matrix,
    examples: Examples,
    fixed: trajectories.Fixed,
    component: str,
    layer: int,
    request: SeparabilityRequest,
) -> list[dict[str, Any]]:
    """How alike the states of one place are, and where they lie in the plane of all layers."""
    here = {"component": component, "layer": layer, "n": len(states)}
    found = geometry(states, examples, seed=request.seed)
    rows = [
        {**here, "measure": name, "value": value, "low": low, "high": high}
        for name, (value, low, high) in found.items()
    ]
    x, y = fixed.points(states).T.tolist()
    return [*rows, {**here, "measure": PATH, "value": fixed.share, "x": x, "y": y}]


def _rows_of(table: pa.Table, component: str, layer: int) -> pa.Table:
    return table.filter((pc.field("component") == component) & (pc.field("layer") == layer))


def _points(table: pa.Table, component: str, layer: int, kind: str) -> Array | None:
    rows = _rows_of(table, component, layer).filter(pc.field("measure") == kind).select(["x", "y"]).to_pylist()
    return np.array([rows[0]["x"], rows[0]["y"]], dtype=np.float64).T if rows else None


def cost_of(model: Model, request: SeparabilityRequest) -> Counted:
    """How many places are probed: beside the model's time, that of the fits is the larger part."""
    return Counted(2 + model.layers * len(request.components), "places to probe")


STEPS: Steps[SeparabilityRequest, Separability] = Steps(
    compute=compute, replay=replay, replayed="accuracy", cost=cost_of
)
