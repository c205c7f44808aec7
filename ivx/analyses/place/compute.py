"""Place: where an instruction's vector acts, searched for coarse to fine; and which blocks and heads read it there.

Each stage follows from the rows of those before it. Every pair of tokens is tried in some layers, on the choosing
samples; the three best pairs in all layers, on the same samples; the best of these again in all layers, and the others,
as well as the best pair of each source token, in their best one, on the samples that chose nothing. Last the readers:
the vector is put at its place and the token given its own value back some blocks later, so that only those between have
read it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.base import Progress, Steps
from ivx.analyses.place.request import PlaceRequest
from ivx.analyses.place.result import Place
from ivx.analyses.place.search import (
    CHOOSING,
    CONFIRMING,
    KEPT,
    Pair,
    parts_of,
    past_places,
    patch_of,
    sources_of,
    there,
)
from ivx.engine.address import STREAM
from ivx.engine.plan.forecast import Forecast, total_of
from ivx.errors import IvxError
from ivx.models.model import Model
from ivx.patching import sweeping
from ivx.patching.positions import column_at, columns_of, taken
from ivx.patching.prepare import measured, opening, prepare, run_told
from ivx.patching.replay import replay
from ivx.patching.roles import Runs, role_of
from ivx.patching.sweeping import rows_in, sweep_rows
from ivx.patching.table import ROWS
from ivx.tasks.sample import Sample
from ivx.tasks.samples import Samples

MOST_COLUMNS = 16
"""Most tokens of a bare prompt that are tried: those nearest the query."""


def compute(
    model: Model,
    request: PlaceRequest,
    *,
    on_progress: Progress[Place] | None = None,
    known: pa.Table | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Place:
    """Run a request on a loaded model; rows that are `known` from an earlier start are not computed again."""
    began = time.perf_counter()
    empty = _empty(model, request)
    instructed, made = run_told(model, empty.samples, beat=beat)
    finished = opening(instructed, known)
    done = 0 if known is None else known.filter(pc.field("role") != "told").num_rows

    def result() -> Place:
        table = pa.concat_tables(finished)
        return replace(empty, table=table, receipt=measured({**empty.receipt, "how": str(made)}, table, began=began))

    expected = _expected(empty)
    behind, stages = 0, _stages(result)
    for k, stage in enumerate(stages):
        swept = [(part, _some(empty.samples, part), names, patches) for part, names, patches in stage]
        each = [[r for r in _runs(empty.sources, some) if r.role in names] for _, some, names, _ in swept]
        behind += sum(rows_in(swept[i][1], runs, swept[i][3]) for i, runs in enumerate(each))
        total = behind + sum(expected[k + 1 :])
        for runs, (part, some, _, patches) in zip(each, swept, strict=True):

            def arrived(new: list[pa.Table], *_: int, start: int = part.start, total: int = total) -> None:
                nonlocal done
                done += sum(table.num_rows for table in new)
                finished.extend(_moved(table, start) for table in new)
                if on_progress is not None:
                    on_progress(result(), done, max(done, total))

            before = _within(pa.concat_tables(finished), part)
            made |= sweep_rows(model, some, runs, STREAM, patches, arrived, known=before)
    return result()


Sweep = tuple[range, tuple[str, ...], list[str]]
"""Samples, the roles of their rows, and patches."""


def _stages(result: Callable[[], Place]) -> Iterator[list[Sweep]]:
    """The sweeps of each stage, which the rows so far decide."""
    found = result()
    parts, request = found.parts, found.request
    chosen, refined = (tuple(map(role_of, there(names, found.samples))) for names in (CHOOSING, CONFIRMING))
    confirmed = ("effect", *refined)

    def cells(some: Sequence[Pair], layers: Sequence[int]) -> list[str]:
        return [patch_of(layer, found.columns[pair.column], pair.source) for pair in some for layer in layers]

    def tried(patches: list[str], controls: tuple[str, ...]) -> list[Sweep]:
        return [(parts.choosing, ("effect",), patches), (parts.controlled, controls, patches)]

    coarse = range(0, found.layers, request.every)
    yield tried(cells(found.pairs, coarse), chosen)
    yield tried(cells([panel.pair for panel in result().best], range(found.layers)), refined)
    yield [(parts.confirming, confirmed, [patch for _, _, patch in result().confirming])]
    if request.readers != "none":
        roles = ("effect", role_of(there(CHOOSING, found.samples)[0]))
        yield [(parts.confirming, roles, result().curve_patches)]
        if request.readers == "heads":
            yield [(parts.confirming, roles, result().head_patches)]


def _expected(found: Place) -> list[int]:
    """About how many rows each stage has, before any of them is known."""
    parts, request, layers = found.parts, found.request, found.layers
    controls = len(there(CHOOSING, found.samples))
    each = len(parts.choosing) + controls * len(parts.controlled)
    coarse, pairs = len(range(0, layers, request.every)), len(found.sources) * len(found.columns)
    blocks = layers // 2 if request.readers != "none" else 0
    heads = 3 * found.heads if request.readers == "heads" else 0
    return [
        pairs * coarse * each,
        min(KEPT, pairs) * (layers - coarse) * each,
        (layers + KEPT + 2) * (controls + 2) * len(parts.confirming),
        2 * blocks * len(parts.confirming),
        2 * heads * len(parts.confirming),
    ]


def _empty(model: Model, request: PlaceRequest) -> Place:
    """The result before any row."""
    samples, receipt = prepare(model, request)
    parts_of(len(samples.rows), request.choosing)
    if request.layer is not None and request.layer >= model.layers:
        raise IvxError(f"layer is {request.layer}: this checkpoint has layers 0 to {model.layers - 1}")
    every = columns_of(model, samples.rows)
    columns = every if request.position == "all" else (column_at(every, request.position, samples.rows),)
    if len(columns) > MOST_COLUMNS:
        receipt["warnings"].append(
            f"the bare prompt has {len(columns)} tokens, of which the last {MOST_COLUMNS} are tried: name a position "
            "for another"
        )
        columns = columns[-MOST_COLUMNS:]
    sources = sources_of(request.source_token, samples)
    for name in sources:
        for sample in (*samples.rows, *samples.control):
            taken(name, sample)
    return Place(
        request=request,
        table=ROWS.empty_table(),
        samples=samples,
        columns=columns,
        sources=sources,
        heads=model.heads,
        layers=model.layers,
        receipt=receipt,
    )


def _some(samples: Samples, part: range) -> Samples:
    """Some of the samples, and their controls."""
    some = slice(part.start, part.stop)
    return Samples(samples.rows[some], samples.control[some], samples.warnings)


def _within(known: pa.Table, part: range) -> pa.Table:
    """The known rows of some of the samples, which are numbered from 0 there."""
    inside = (pc.field("sample") >= part.start) & (pc.field("sample") < part.stop)
    return _moved(known.filter(inside), -part.start)


def _moved(table: pa.Table, by: int) -> pa.Table:
    """The same rows with their samples numbered by so much more."""
    at = table.column_names.index("sample")
    return table.set_column(at, table.schema.field("sample"), pc.cast(pc.add(table["sample"], by), pa.int32()))


def prompts_of(request: PlaceRequest, samples: Samples, _: str = "") -> tuple[Runs, ...]:
    """The prompts behind the rows of all samples."""
    return _runs(sources_of(request.source_token, samples), samples)


def _runs(sources: Sequence[str], samples: Samples) -> tuple[Runs, ...]:
    """The prompts behind rows, role by role and source token by source token.

    A source ends with the token that is taken, so that its number is the same in every sample.
    """
    rows = samples.rows
    targets, references = [s.target for s in rows], [s.instructed for s in rows]
    own = [past_places(s) for s in rows]
    found: list[Runs] = []
    for name in sources:
        places = [(target, {name: -1}) for target in own]
        whole = [_cut(name, s) for s in rows]
        taken_from = {
            "effect": whole,
            "random": whole,
            "identity": [s.source[: s.first] + ids[-1:] for s, ids in zip(rows, whole, strict=True)],
        }
        if samples.control:
            taken_from["control"] = [_cut(name, s) for s in samples.control]
        found += [Runs(role, ids, targets, references, places, name) for role, ids in taken_from.items()]
    return tuple(found)


def _cut(name: str, sample: Sample) -> tuple[int, ...]:
    return sample.source[: taken(name, sample) + 1]


def cost_of(model: Model, request: PlaceRequest) -> Forecast:
    """What a request will cost; the places that the later stages are about are taken to be in the middle of the prompt,
    and the curve to begin in the middle layer."""
    empty = _empty(model, request)
    parts, source = empty.parts, empty.sources[0]
    tried = tuple(role_of(name) for name in there(CHOOSING, empty.samples))
    refined = tuple(role_of(name) for name in there(CONFIRMING, empty.samples))
    layers, coarse = range(model.layers), range(0, model.layers, request.every)
    half = len(empty.columns) // 2
    near = sorted(range(len(empty.columns)), key=lambda k: abs(k - half))[:KEPT]
    middle = empty.columns[half]
    every = [patch_of(layer, column, one) for one in empty.sources for column in empty.columns for layer in coarse]
    rest = [patch_of(layer, empty.columns[k], source) for k in near for layer in layers if layer not in coarse]
    again = [patch_of(layer, empty.columns[k], source) for k in near for layer in coarse]
    line = [patch_of(layer, middle, source) for layer in layers]
    asked: list[Sweep] = [
        (parts.choosing, ("effect",), every),
        (parts.controlled, tried, every),
        (parts.choosing, ("effect",), rest),
        (parts.controlled, refined, rest),
        (parts.controlled, refined[len(tried) :], again),
        (parts.confirming, ("effect", *refined), line),
    ]
    if request.readers != "none":
        put = request.layer if request.layer is not None else model.layers // 2
        curve = [f"{line[put]},{STREAM}.{block}@{middle.position}=own" for block in layers[put + 1 :]]
        asked.append((parts.confirming, ("effect", *tried[:1]), curve))
    costs = []
    for part, names, patches in asked:
        some = _some(empty.samples, part)
        runs = [r for r in _runs(empty.sources, some) if r.role in names]
        if patches and names:
            costs.append(sweeping.cost_of(model, some, runs, patches))
    return total_of(costs)


STEPS: Steps[PlaceRequest, Place] = Steps(
    compute=compute, replay=partial(replay, prompts=prompts_of), prompts=prompts_of, cost=cost_of
)
