"""Function vectors (Todd et al., arXiv 2310.15213), beside task vectors (Hendel et al., arXiv 2310.15916) and beside
the instruction, on the same queries.

Heads are ranked by their mean indirect effect: in prompts whose demonstrations have shuffled answers, a head's z at the
last token is replaced by its mean over prompts whose demonstrations are right. The function vector is the sum of what
the first heads write into the stream, each its mean share (`ivx.engine.linear.heads`), and is added to the last token
of bare prompts, layer by layer. One half of the queries ranks and averages, the other measures. The instruction's heads
are ranked likewise: their mean over told prompts is put into untold ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from ivx.analyses.base import Progress, Steps
from ivx.analyses.function.asked import Asked, asked_of
from ivx.analyses.function.ranking import Head
from ivx.analyses.function.request import FunctionRequest
from ivx.analyses.function.result import ADDED, RANKED, FunctionVectors, layer_of, patch_of, written
from ivx.analyses.vectors.result import Alike, alike
from ivx.engine.address import STREAM, parse
from ivx.engine.hooks.capture import capture
from ivx.engine.hooks.differences import Differences, added
from ivx.engine.linear.heads import behind_norm, head_shares
from ivx.engine.plan.forecast import Forecast, of_passes, total_of
from ivx.engine.sweep import sweep
from ivx.errors import IvxError
from ivx.models.model import Model
from ivx.patching import sweeping
from ivx.patching.prepare import measured, opening, run_told
from ivx.patching.sweeping import instruction_of, rows_in, sweep_rows
from ivx.patching.table import Key, labelled, sampled
from ivx.stats.intervals import Array
from ivx.tasks.sample import Sample

Moved = dict[str, Callable[[int, int], Array]]
"""By role, what is added, from layer and number of the measured sample `[width]`."""


def compute(
    model: Model,
    request: FunctionRequest,
    *,
    on_progress: Progress[FunctionVectors] | None = None,
    known: pa.Table | None = None,
    beat: Callable[[], None] = lambda: None,
) -> FunctionVectors:
    """Run a request on a loaded model; rows that are `known` from an earlier start are not computed again.

    Raises:
        IvxError: more heads than half of all, too few samples, states that are not finite, or heads whose shares are
            no vectors of the stream.
    """
    began = time.perf_counter()
    if 2 * request.heads > (every := model.layers * model.heads):
        raise IvxError(
            f"{request.heads} heads of {every}: choose at most {every // 2}, so that as many others stand beside them"
        )
    asked, receipt = asked_of(model, request)
    instructed, how = run_told(model, asked.samples, beat=beat)
    finished = opening(instructed, known)
    vectors: dict[str, tuple[float, ...]] = {}
    cosines: dict[str, tuple[Alike, ...]] = {}
    roles = [role for role in RANKED if role != "instruction" or asked.told is not None]
    heads = [patch_of(Head(layer, head)) for layer in range(model.layers) for head in range(model.heads)]
    layers = [written(layer) for layer in range(model.layers)]
    stated, sources = asked.stated(request)
    total = len(roles) * (1 + len(heads)) * asked.ranking.stop + rows_in(stated, sources, layers)
    total += (1 + len(ADDED) * len(layers)) * len(stated.rows)

    def result() -> FunctionVectors:
        table = pa.concat_tables(finished)
        return FunctionVectors(
            request=request,
            table=table,
            samples=asked.samples,
            layers=model.layers,
            heads=model.heads,
            normed=behind_norm(model),
            vectors=vectors,
            alike=cosines,
            receipt=measured({**receipt, "how": str(how)}, table, began=began),
        )

    def arrived(new: Sequence[pa.Table], *_: int, shift: int = 0) -> None:
        finished.extend(_shifted(table, shift) for table in new)
        if on_progress is None or not any(table.num_rows for table in new):
            beat()
        else:
            found = result()
            on_progress(found, found.table.num_rows - len(asked.samples.rows), total)

    for role in roles:
        samples, runs = asked.ranked(role)
        how |= sweep_rows(model, samples, [runs], "z", heads, arrived, known=known)
    tops = {role: result().top(role) for role in RANKED[:2]}
    moved, vectors = _moved(model, asked, request, tops, beat)
    cosines = _cosines(model, asked, request, vectors, beat)
    start = asked.measured.start
    back = None if known is None else _shifted(known.filter(pc.field("site") == STREAM), -start)
    states = [f"{address}~-1" for address in layers]
    how |= sweep_rows(model, stated, sources, STREAM, states, lambda new, *_: arrived(new, shift=start), known=back)
    for role, table in _added(model, stated.rows, moved, model.layers, known=back):
        arrived([labelled(table, role, STREAM)], shift=start)
    return result()


def replay(
    model: Model, found: FunctionVectors, *, rows: int, seed: int, beat: Callable[[], None]
) -> tuple[list[Key], list[float], list[float]]:
    """Compute some patched rows again, each by plain hooks in passes of its own.

    Returns:
        (role, site, patch, sample) of each, and the answer's logit as it is stored and as it is now.
    """
    request = found.request
    asked, _ = asked_of(model, request)
    chosen = sampled(found.table.filter(pc.field("role") != "told"), rows, seed=seed)
    moved: Moved = {}
    if any(row["role"] in ADDED for row in chosen):
        tops = {role: found.top(role) for role in RANKED[:2]}
        moved, _ = _moved(model, asked, request, tops, beat, singly=True)
    names: list[Key] = []
    before: list[float] = []
    now: list[float] = []
    for row in chosen:
        beat()
        role, patch, k = row["role"], row["patch"], row["sample"]
        if role in ADDED:
            k -= asked.measured.start
            sample = asked.samples.rows[asked.measured][k]
            vector = moved[role](layer_of(patch) if patch else 0, k)
            again = next(_added(model, [sample], {role: _always(vector)}, model.layers, only=patch))[1]
        else:
            again = _again(model, asked, request, role, patch, k)
        names.append((role, row["site"], patch, row["sample"]))
        before.append(row["logit"])
        now.append(again["logit"][-1].as_py())
    return names, before, now


def _again(model: Model, asked: Asked, request: FunctionRequest, role: str, patch: str, sample: int) -> pa.Table:
    """One row of a ranking or of a task vector by hooks; the last of the table."""
    if role in RANKED:
        samples, runs = asked.ranked(role)
    else:
        samples, every = asked.stated(request)
        runs = next(one for one in every if one.role == role)
        sample -= asked.measured.start
    row = samples.rows[sample]
    return sweep(
        model,
        source=[runs.sources[sample]],
        target=[runs.targets[sample]],
        answer=[row.answer_id],
        contrast=[row.contrast_id],
        patches=[patch] if patch else [],
        means={patch: runs.averaged(patch)} if role in RANKED and patch else None,
        engine="hooks",
    )


def _moved(
    model: Model,
    asked: Asked,
    request: FunctionRequest,
    tops: dict[str, list[Head]],
    beat: Callable[[], None],
    *,
    singly: bool = False,
) -> tuple[Moved, dict[str, tuple[float, ...]]]:
    """What each role adds, and both function vectors; `singly`, from one pass a prompt."""

    def shares(rows: Sequence[Sample]) -> Array:
        prompts = [row.instructed for row in rows[asked.ranking]]
        if not singly:
            return head_shares(model, prompts, beat=beat).heads
        mean: Array = np.mean([head_shares(model, [ids], beat=beat).heads for ids in prompts], axis=0)
        return mean

    own, counter = shares(asked.samples.rows), shares(asked.turned.rows)
    vector, other = _sum(own, tops["demonstrations"]), _sum(counter, tops["counter"])
    norm = np.linalg.norm(vector)
    top = {*tops["demonstrations"]}
    rest = [head for head in np.ndindex(model.layers, model.heads) if Head(*head) not in top]

    def random(layer: int, sample: int) -> Array:
        drawn = np.random.default_rng((request.seed, layer, sample)).standard_normal(model.width)
        return drawn * (norm / np.linalg.norm(drawn))

    def heads(_: int, sample: int) -> Array:
        drawn = np.random.default_rng((request.seed, sample)).choice(len(rest), request.heads, replace=False)
        return _sum(own, [Head(*rest[k]) for k in drawn])

    moved: Moved = {
        "effect": _always(vector),
        "control": _always(other),
        "random": random,
        "heads": heads,
    }
    return moved, {"task": tuple(vector.tolist()), "counter": tuple(other.tolist())}


def _always(vector: Array) -> Callable[[int, int], Array]:
    return lambda *_: vector


def _sum(shares: Array, heads: Sequence[Head]) -> Array:
    total: Array = np.sum([shares[head] for head in heads], axis=0)
    return total


def _added(
    model: Model,
    rows: Sequence[Sample],
    moved: Moved,
    layers: int,
    *,
    known: pa.Table | None = None,
    only: str | None = None,
) -> Iterator[tuple[str, pa.Table]]:
    """The rows of bare prompts with a vector added, by role, as they finish; those that are `known` are left out.

    Args:
        only: the one address that is run; empty for the unpatched run.
    """
    named = [] if known is None else known.select(["role", "patch", "sample"]).to_pylist()
    has = {tuple(row.values()) for row in named}
    for role, vector in moved.items():
        wanted = [only] if only is not None else [*([""] if role == "effect" else []), *map(written, range(layers))]
        lacking = [p for p in wanted if any((role, p, k) not in has for k in range(len(rows)))]
        places = [layer_of(address) for address in lacking if address]
        differences: list[Differences] = [
            {(STREAM, layer): torch.from_numpy(vector(layer, k)) for layer in places} for k in range(len(rows))
        ]
        for batch in added(
            model,
            target=[s.target for s in rows],
            answer=[s.answer_id for s in rows],
            contrast=[s.contrast_id for s in rows],
            sets={address: parse(address) if address else () for address in lacking},
            differences=differences,
        ):
            table = pa.Table.from_batches([batch])
            places_of = zip(table["patch"].to_pylist(), table["sample"].to_pylist(), strict=True)
            yield role, table.filter(pa.array([(role, *place) not in has for place in places_of]))


def _shifted(table: pa.Table, by: int) -> pa.Table:
    """The rows with their samples' numbers moved: the measured half is counted behind the ranking one."""
    at = table.schema.get_field_index("sample")
    return table.set_column(at, "sample", pc.add(table["sample"], pa.scalar(by, pa.int32())))


def _cosines(
    model: Model,
    asked: Asked,
    request: FunctionRequest,
    vectors: dict[str, tuple[float, ...]],
    beat: Callable[[], None],
) -> dict[str, tuple[Alike, ...]]:
    """How alike the function vector and the task vectors are to the instruction's vectors, over all samples."""
    if asked.told is None:
        return {}

    def states(rows: Sequence[Sample]) -> Array:
        prompts = [instruction_of(request, row) for row in rows]
        return capture(model, prompts, sites=(STREAM,), beat=beat).sites[STREAM].astype(np.float64)

    told, shown = states(asked.told.rows), states(asked.samples.rows)
    function = np.broadcast_to(np.array(vectors["task"]), told.shape)
    others: dict[str, tuple[Array, Array] | None] = {"function": None, "state": None}
    if asked.told.counter:
        counter = states(asked.told.counter)
        others["function"] = counter, np.broadcast_to(np.array(vectors["counter"]), told.shape)
        others["state"] = counter, states(asked.samples.counter)
    pairs = {"function": function, "state": shown}
    return {name: tuple(alike(told, before, other=others[name], seed=request.seed)) for name, before in pairs.items()}


def cost_of(model: Model, request: FunctionRequest) -> Forecast:
    """What a request will cost: every head of every ranking, what is added, and the states' own passes."""
    asked, _ = asked_of(model, request)
    heads = [patch_of(Head(layer, head)) for layer in range(model.layers) for head in range(model.heads)]
    ranked = [asked.ranked(role) for role in RANKED if role != "instruction" or asked.told is not None]
    stated, sources = asked.stated(request)
    states = [f"{written(layer)}~-1" for layer in range(model.layers)]
    runs = 1 + len(ADDED) * model.layers
    targets = [sample.target for sample in stated.rows]
    return total_of(
        [
            *(sweeping.cost_of(model, samples, [one], heads) for samples, one in ranked),
            sweeping.cost_of(model, stated, sources, states),
            of_passes(model, targets * runs, rows=runs * len(targets)),
        ]
    )


STEPS: Steps[FunctionRequest, FunctionVectors] = Steps(compute=compute, replay=replay, cost=cost_of)
