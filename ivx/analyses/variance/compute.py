"""Variance: one patch, of every wording with every query, beside its controls."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pyarrow as pa

from ivx.analyses.base import Json, Progress, Steps
from ivx.analyses.variance.request import VarianceRequest
from ivx.analyses.variance.result import STREAM, Variance
from ivx.engine.plan.forecast import Forecast
from ivx.errors import IvxError
from ivx.models.model import Model
from ivx.patching import kept, sweeping
from ivx.patching.positions import column_at, columns_of
from ivx.patching.prepare import measured, opening, run_told, samples_of, told_of
from ivx.patching.replay import replay
from ivx.patching.roles import Runs, denoising
from ivx.patching.sweeping import instruction_of, sweep_rows
from ivx.patching.table import ROWS
from ivx.tasks.sample import Sample
from ivx.tasks.samples import Samples


def compute(
    model: Model,
    request: VarianceRequest,
    *,
    on_progress: Progress[Variance] | None = None,
    known: pa.Table | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Variance:
    """Run a request on a loaded model; rows that are `known` from an earlier start are not computed again."""
    began = time.perf_counter()
    empty = _empty(model, request)
    instructed, made = run_told(model, empty.samples, beat=beat)
    finished = opening(instructed, known)

    def result() -> Variance:
        table = pa.concat_tables(finished)
        return replace(empty, table=table, receipt=measured({**empty.receipt, "how": str(made)}, table, began=began))

    def arrived(new: list[pa.Table], done: int, total: int) -> None:
        finished.extend(new)
        if on_progress is not None:
            on_progress(result(), done, total)

    runs = prompts_of(request, empty.samples)
    made |= sweep_rows(model, empty.samples, runs, STREAM, [empty.patch], arrived, known=known)
    return result()


def _empty(model: Model, request: VarianceRequest) -> Variance:
    """The result before any row."""
    if request.layer >= model.layers:
        raise IvxError(f"layer is {request.layer}: {model.name} has layers 0 to {model.layers - 1}")
    subject = request.subject(model.collection, lambda: model.tokenizer)
    told = request.samples * request.wordings
    samples, receipt = kept.once(
        model, ("crossed", request, subject), lambda: _prepared(model, request, subject), rows=told
    )
    position = column_at(columns_of(model, samples.rows), request.position, samples.rows).position
    return Variance(
        request=request,
        table=ROWS.empty_table(),
        samples=samples,
        patch=f"{STREAM}.{request.layer}@{position}~-1",
        layers=model.layers,
        receipt=dict(receipt),
    )


def _prepared(model: Model, request: VarianceRequest, subject: str) -> tuple[Samples, Json]:
    """Samples wording by wording, each of the same queries in the same order."""
    pair, _ = samples_of(model, replace(request, samples=2))
    there = len(pair.task.instructions)
    if there < 2:
        raise IvxError(f"{pair.task.name} has {there} wordings: give two or more, or another task")
    count = min(request.wordings, there)
    chosen = sorted(random.Random(f"{pair.task.name} {request.seed} wordings").sample(range(there), count))
    made = [samples_of(model, request, wording=number)[1] for number in chosen]
    common = set.intersection(*({row.query for row in one.rows} for one in made))
    if len(common) < 2:
        raise IvxError(f"{pair.task.name}: fewer than two queries can be asked in all of {count} wordings; ask fewer")

    def crossed(each: Sequence[Sequence[Sample]]) -> tuple[Sample, ...]:
        """Those of the common queries, wording by wording; none where there are none of their kind."""
        return tuple(
            one
            for told, some in zip(made, each, strict=True)
            for one, row in zip(some, told.rows, strict=False)
            if row.query in common
        )

    samples = Samples(
        crossed([told.rows for told in made]),
        crossed([told.control for told in made]),
        tuple(dict.fromkeys(warning for one in made for warning in one.warnings)),
        neutral=crossed([told.neutral for told in made]),
        others=tuple(crossed([told.others[k] for told in made]) for k in range(len(made[0].others))),
        counter=crossed([told.counter for told in made]),
    )
    receipt = told_of(model, request, subject, pair, samples)
    if count < request.wordings:
        said = f"{count} of the {request.wordings} wordings asked for: the task has no more"
        receipt["warnings"] = [*receipt["warnings"], said]
    return samples, receipt


def prompts_of(request: VarianceRequest, samples: Samples, _: str = "") -> tuple[Runs, ...]:
    """The prompts behind the rows."""
    return denoising(samples, partial(instruction_of, request), request.controls)


def cost_of(model: Model, request: VarianceRequest) -> Forecast:
    """What a request will cost."""
    empty = _empty(model, request)
    return sweeping.cost_of(model, empty.samples, prompts_of(request, empty.samples), [empty.patch])


STEPS: Steps[VarianceRequest, Variance] = Steps(
    compute=compute, replay=partial(replay, prompts=prompts_of), prompts=prompts_of, cost=cost_of
)
