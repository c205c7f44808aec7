"""Vectors: the states of an instruction's source token, to be compared between checkpoints and carried to others.

They are small beside a model: those of 40 samples, 32 layers and width 4,096 take 21 megabytes. So they are stored
sample by sample, and no two checkpoints have to stand in memory together.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.base import Progress, Steps
from ivx.analyses.vectors.request import VectorsRequest
from ivx.analyses.vectors.result import TABLE, Vectors
from ivx.engine.hooks.capture import capture, capture_singly
from ivx.engine.plan.forecast import Forecast, of_passes
from ivx.errors import TaskError
from ivx.models.model import Model
from ivx.patching.prepare import prepare
from ivx.patching.sweeping import instruction_of
from ivx.patching.table import Key, sampled
from ivx.tasks import catalogue
from ivx.tasks.encoder import Encoder
from ivx.tasks.sample import Sample
from ivx.tasks.spelling import summed


def compute(
    model: Model,
    request: VectorsRequest,
    *,
    on_progress: Progress[Vectors] | None = None,
    known: pa.Table | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Vectors:
    """Run a request on a loaded model; rows that are `known` from an earlier start are kept as they are."""
    began = time.perf_counter()
    samples, receipt = prepare(model, request)
    told = {"effect": samples.rows, "control": samples.control}
    finished = [TABLE.empty_table() if known is None else known]
    total = model.layers * sum(map(len, told.values()))
    for role, rows in told.items():
        if rows and (known is None or not known.filter(pc.field("role") == role).num_rows):
            finished.append(_rows(model, request, role, rows, beat))
    table = pa.concat_tables(finished)
    receipt |= {"how": "hooks", "rows": table.num_rows, "seconds": round(time.perf_counter() - began, 3)}
    options = _options(model, request, samples.rows[0])
    found = Vectors(
        request=request,
        table=table,
        samples=samples,
        layers=model.layers,
        width=model.width,
        options=options,
        receipt=receipt,
    )
    if on_progress is not None:
        on_progress(found, table.num_rows, total)
    return found


def replay(
    model: Model, found: Vectors, *, rows: int, seed: int, beat: Callable[[], None]
) -> tuple[list[Key], list[float], list[float]]:
    """Compute some states again in the slow way, each from a pass of its own.

    Returns:
        (role, site, patch, sample) of each, 0, and how far the state is from the stored one.
    """
    site = found.request.component
    told = {"effect": found.samples.rows, "control": found.samples.control}
    names: list[Key] = []
    apart: list[float] = []
    for row in sampled(found.table, rows, seed=seed):
        prompt = instruction_of(found.request, told[row["role"]][row["sample"]])
        layer = int(row["patch"].split(".")[1])
        state = capture_singly(model, [prompt], sites=(site,), beat=beat).sites[site][layer, 0]
        names.append((row["role"], site, row["patch"], row["sample"]))
        apart.append(float(np.linalg.norm(state.astype(np.float64) - np.array(row["state"]))))
    return names, [0.0] * len(names), apart


def _rows(
    model: Model, request: VectorsRequest, role: str, rows: tuple[Sample, ...], beat: Callable[[], None]
) -> pa.Table:
    site = request.component
    prompts = [instruction_of(request, sample) for sample in rows]
    states = capture(model, prompts, sites=(site,), beat=beat).sites[site]
    n, layers = len(rows), model.layers
    lengths = np.arange(layers * n + 1, dtype=np.int32) * model.width
    columns = [
        pa.array([role] * (layers * n)),
        pa.array([site] * (layers * n)),
        pa.array([f"{site}.{layer}" for layer in range(layers) for _ in range(n)]),
        pa.array(np.tile(np.arange(n, dtype=np.int32), layers)),
        pa.array(np.linalg.norm(states.astype(np.float64), axis=2).ravel()),
        pa.ListArray.from_arrays(pa.array(lengths), pa.array(np.ascontiguousarray(states).ravel())),
    ]
    return pa.table(columns, schema=TABLE)


def _options(model: Model, request: VectorsRequest, sample: Sample) -> tuple[int, ...]:
    """First tokens of the task's answers, as the model would emit them after the bare prompt."""
    pair = catalogue.find(request.task, collection=model.collection, against=request.against)
    task = pair.task
    encoder = Encoder(model.tokenizer)
    bare = task.template.target(field=task.field_of(sample.query), query=sample.query, form="prompt")
    found: set[int] = set()
    for answer in task.options:
        try:
            if request.sums:
                found.update(encoder.firsts(bare, answer, spellings=summed(cased=pair.cased)))
            else:
                found.add(encoder.following(bare, answer)[0])
        except TaskError:  # no sample can have it as its answer
            continue
    return tuple(sorted(found))


def cost_of(model: Model, request: VectorsRequest) -> Forecast:
    """What a request will cost: a pass of each instruction, and of each control's."""
    samples, _ = prepare(model, request)
    told = [instruction_of(request, sample) for sample in (*samples.rows, *samples.control)]
    return of_passes(model, told, rows=model.layers * len(told))


STEPS: Steps[VectorsRequest, Vectors] = Steps(compute=compute, replay=replay, cost=cost_of, replayed="state")
