"""Mediation: what of a vector's effect passes through which parts behind it.

`M(S, C) = f(S) − f(S with every member of C set to its own value)`. Every carrier is closed alone on all samples; half
of the samples then ranks them, and sets of the strongest are closed together, beside random sets of equal size.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.base import Progress, Steps
from ivx.analyses.mediation.carriers import carriers_of, word_places
from ivx.analyses.mediation.request import MediationRequest
from ivx.analyses.mediation.result import Mediation
from ivx.engine.address import STREAM
from ivx.engine.plan.forecast import Forecast
from ivx.models.model import Model
from ivx.patching import sweeping
from ivx.patching.positions import Places
from ivx.patching.prepare import measured, opening, prepare, run_told
from ivx.patching.replay import replay
from ivx.patching.roles import Runs, denoising
from ivx.patching.sweeping import instruction_of, rows_in, sweep_rows
from ivx.patching.table import ROWS
from ivx.tasks.samples import Samples


def compute(
    model: Model,
    request: MediationRequest,
    *,
    on_progress: Progress[Mediation] | None = None,
    known: pa.Table | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Mediation:
    """Run a request on a loaded model; rows that are `known` from an earlier start are not computed again."""
    began = time.perf_counter()
    empty = _empty(model, request)
    samples = empty.samples
    instructed, made = run_told(model, samples, beat=beat)
    finished = opening(instructed, known)
    done = 0 if known is None else known.filter(pc.field("role") != "told").num_rows
    runs = prompts_of(request, samples)
    own = [part for part in runs if part.role == "effect"]
    sets, behind = len(empty.sizes), 0

    def result() -> Mediation:
        table = pa.concat_tables(finished)
        return replace(empty, table=table, receipt=measured({**empty.receipt, "how": str(made)}, table, began=began))

    def swept(some: list[Runs] | tuple[Runs, ...], patches: list[str], more: int) -> None:
        nonlocal behind, made
        behind += rows_in(samples, some, patches)

        def arrived(new: list[pa.Table], *_: int) -> None:
            nonlocal done
            done += sum(table.num_rows for table in new)
            finished.extend(new)
            if on_progress is not None:
                on_progress(result(), done, max(done, behind + more))

        before = pa.concat_tables(finished)
        made |= sweep_rows(model, samples, some, STREAM, patches, arrived, known=before)

    swept(runs, empty.singles, len(samples.rows) * sets * (len(runs) + request.draws))
    if empty.sizes:
        found = result()
        swept(runs, [patch for _, patch in found.strongest], len(samples.rows) * request.draws * sets)
        swept(own, [patch for patches in found.drawn_sets.values() for patch in patches], 0)
    return result()


def _empty(model: Model, request: MediationRequest) -> Mediation:
    """The result before any row."""
    samples, receipt = prepare(model, request)
    return Mediation(
        request=request,
        table=ROWS.empty_table(),
        samples=samples,
        carriers=carriers_of(model, request, samples.rows),
        layers=model.layers,
        receipt=receipt,
    )


def prompts_of(request: MediationRequest, samples: Samples, _: str = "") -> tuple[Runs, ...]:
    """The prompts behind the rows, with the query's tokens by name."""
    places: list[tuple[Places, Places]] = [(word_places(sample), {}) for sample in samples.rows]
    return tuple(
        replace(runs, places=places) for runs in denoising(samples, partial(instruction_of, request), request.controls)
    )


def cost_of(model: Model, request: MediationRequest) -> Forecast:
    """What a request will cost, but for the sets, which follow from what its carriers do."""
    empty = _empty(model, request)
    return sweeping.cost_of(model, empty.samples, prompts_of(request, empty.samples), empty.singles)


STEPS: Steps[MediationRequest, Mediation] = Steps(
    compute=compute, replay=partial(replay, prompts=prompts_of), prompts=prompts_of, cost=cost_of
)
