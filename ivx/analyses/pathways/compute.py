"""Pathways: by which tokens, layers and heads an instruction produces its answer, and whether others share them.

The surrogate (`ivx.engine.linear.surrogate`) splits each sample's logit difference exactly. Runs of one kind are
averaged in slots (`ivx.analyses.pathways.slots`) and compared: this instruction with the contrast one on the same
queries, and, where an instruction vector is patched into the bare prompt, that run with the instructed one. What the
surrogate names is tried in the real model (`ivx.analyses.pathways.circuits`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from ivx.analyses.base import Progress, Steps
from ivx.analyses.pathways.areas import Area, areas
from ivx.analyses.pathways.attribution import Batch, attribute
from ivx.analyses.pathways.circuits import mean_heads, of_edges, of_heads
from ivx.analyses.pathways.faithfulness import Curve, curve
from ivx.analyses.pathways.findings import Findings, SumError, Traced
from ivx.analyses.pathways.overlap import Overlap, overlap
from ivx.analyses.pathways.parts import SCHEMA, Parts, table_of
from ivx.analyses.pathways.replay import replay as replay_rows
from ivx.analyses.pathways.request import PathwaysRequest
from ivx.analyses.pathways.result import Pathways
from ivx.analyses.pathways.shares import explained
from ivx.analyses.pathways.slots import SHARED, Alignment
from ivx.engine.hooks.capture import states_of
from ivx.engine.linear.eap import STEPS as INTEGRATED
from ivx.engine.linear.eap import head_scores
from ivx.engine.linear.fidelity import prove, reconstructed
from ivx.engine.linear.frozen import softcap
from ivx.engine.linear.paths import strongest
from ivx.engine.linear.published import published_paths
from ivx.engine.linear.records import Begun, Published
from ivx.engine.linear.records import Fidelity as Reconstructed
from ivx.engine.linear.surrogate import Surrogate
from ivx.engine.plan.forecast import Counted
from ivx.errors import AddressError
from ivx.models.finite import dtype_of
from ivx.models.model import Model
from ivx.patching.positions import column_at, columns_of
from ivx.patching.prepare import defined, prepare
from ivx.patching.spelling import spelling_of
from ivx.patching.sweeping import instruction_of
from ivx.patching.table import Key
from ivx.tasks import catalogue
from ivx.tasks.sample import Sample
from ivx.tasks.samples import Samples, build
from ivx.tasks.task import Pair

LEAST = 4
"""Fewest samples for circuits, ranked on one half and tried on the other."""
SUMMED = 4
"""Samples whose full logits are summed from parts, as a check."""


def compute(
    model: Model,
    request: PathwaysRequest,
    *,
    on_progress: Progress[Pathways] | None = None,
    known: pa.Table | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Pathways:
    """Run a request on a loaded model. Means need all samples, so `known` is ignored."""
    began = time.perf_counter()
    prove(model)
    here, there, receipt = _samples(model, request, beat)
    receipt["how"] = "surrogate: attention, norm scales and gates held"
    if softcap(model) is not None:
        receipt["warnings"].append(
            "this model caps its logits softly at the end; what is split is the logit before that"
        )
    kinds = _kinds(model, request, here.rows, there, beat)
    drawn = kinds[:2]
    done, total = 0, (len(kinds) + len(drawn)) * len(here.rows)
    table, found = SCHEMA.empty_table(), Findings({}, {}, (), (), (), SumError(1.0, 1.0, 0.0, ()))

    def result() -> Pathways:
        told = {**receipt, "rows": table.num_rows, "seconds": round(time.perf_counter() - began, 3)}
        return Pathways(
            request=request,
            table=table,
            samples=here,
            there=there,
            layers=model.layers,
            heads=model.heads,
            found=found,
            receipt=told,
        )

    def ran(runs: int) -> None:
        nonlocal done
        done += runs
        if on_progress is not None:
            on_progress(result(), done, total)

    parts = {asked.name: attribute(model, asked, beat=ran) for asked in kinds}
    worst = _fidelity(model, here.rows, beat)
    deviation = max(part.deviation for part in parts.values())
    slots = {name: part.alignment.slots for name, part in parts.items()}
    found = replace(found, slots=slots, fidelity=SumError(*worst, deviation, ()))
    table = pa.concat_tables([table_of(part, seed=request.seed) for part in parts.values()])
    ran(0)
    for asked in drawn:
        share = explained(model, asked, parts[asked.name], seed=request.seed, beat=ran)
        found = replace(found, explained={**found.explained, asked.name: share})
    found = replace(found, overlaps=_overlaps(request, parts))
    ran(0)
    found = replace(found, curves=_curves(model, request, here.rows, parts["here"], lambda: ran(0)))
    found = replace(found, areas=_areas(model, request, here.rows, there, parts["here"], lambda: ran(0)))
    traced, sums, starts = _traced(model, request, here.rows, lambda: ran(0))
    found = replace(found, traced=traced, starts=starts, fidelity=replace(found.fidelity, published=sums))
    return result()


def replay(
    model: Model, found: Pathways, *, rows: int, seed: int, beat: Callable[[], None]
) -> tuple[Sequence[Key], Sequence[float], Sequence[float]]:
    """Compute some samples' rows again: their names, the stored values, and the new ones."""
    kinds = {asked.name: asked for asked in _kinds(model, found.request, found.samples.rows, found.there, beat)}
    return replay_rows(model, found, kinds, rows=rows, seed=seed, beat=beat)


def _fidelity(model: Model, rows: Sequence[Sample], beat: Callable[[], None]) -> Reconstructed:
    """The worst agreement of logits summed from parts with the model's own, over some samples."""
    told = []
    for sample in rows[:SUMMED]:
        beat()
        told.append(reconstructed(model, sample.instructed))
    return max(told, key=lambda f: max(1 - f.cosine, abs(f.ratio - 1)))


def _samples(
    model: Model, request: PathwaysRequest, beat: Callable[[], None]
) -> tuple[Samples, tuple[Sample, ...], dict[str, Any]]:
    """The task's samples, the contrast task's of the same queries, and the receipt."""
    here, receipt = prepare(model, request)
    pair = catalogue.find(request.task, collection=model.collection, against=request.against)
    other = _built(model, request, Pair(pair.contrast, pair.task, pair.control), samples=len(pair.queries))
    by_query = {sample.query: sample for sample in other.rows}
    rows = tuple(sample for sample in here.rows if sample.query in by_query)
    prompts = [(s, ids) for s in rows for ids in (s.instructed, s.target, by_query[s.query].instructed)]
    kept = defined(model, prompts, beat=beat)
    if left := [sample.query for sample in rows if sample.query not in kept]:
        receipt["warnings"].append(f"left out, their logits are not finite in {dtype_of(model)}: {', '.join(left)}")
    rows = tuple(sample for sample in rows if sample.query in kept)
    here = replace(here, rows=rows, control=())
    return here, tuple(by_query[sample.query] for sample in rows), receipt | {"samples": len(rows)}


def _built(model: Model, request: PathwaysRequest, pair: Pair, *, samples: int) -> Samples:
    found = spelling_of(model, pair, request.way, samples=samples, seed=request.seed)
    way = replace(request.way, spelling=found.spelling)
    return build(pair, model.tokenizer, way=way, samples=samples, seed=request.seed)


def _kinds(
    model: Model,
    request: PathwaysRequest,
    here: Sequence[Sample],
    there: Sequence[Sample],
    beat: Callable[[], None],
) -> list[Batch]:
    """The kinds of runs: both instructions', and, where a vector is patched, the bare prompt's with and without it."""

    def asked(name: str, samples: Sequence[Sample], *, told: bool) -> Batch:
        prompts = [s.instructed if told else s.target for s in samples]
        contrast = [s.contrast_id for s in samples] if request.of == "contrast" else None
        alignment = Alignment.of(samples, model.tokenizer, told=told)
        return Batch(name, prompts, [s.answer_id for s in samples], contrast, alignment)

    kinds = [asked("here", here, told=True), asked("there", there, told=True)]
    if request.patch_layer is None:
        return kinds
    layer = request.patch_layer
    if not 0 <= layer < model.layers:
        raise AddressError(f"patch layer {layer}: this checkpoint has layers 0 to {model.layers - 1}")
    position = int(column_at(columns_of(model, here), request.position, here).position)
    positions = [position % len(s.target) for s in here]
    told = states_of(model, [instruction_of(request, s) for s in here], [("resid_post", layer)], beat=beat)
    vectors = [states["resid_post", layer][-1] for states in told]
    bare = asked("bare", here, told=False)
    return [*kinds, bare, replace(bare, name="patched", patch=(layer, positions, vectors))]


def _traced(
    model: Model, request: PathwaysRequest, rows: Sequence[Sample], beat: Callable[[], None]
) -> tuple[tuple[Traced, ...], tuple[Published, ...], tuple[tuple[Begun, ...], ...]]:
    traced, sums, starts = [], [], []
    for item, sample in enumerate(rows[: request.traced] if request.paths else ()):
        beat()
        run = Surrogate(model, [sample.instructed])
        contrast = sample.contrast_id if request.of == "contrast" else None
        search = strongest(run, sample.answer_id, contrast, k=request.paths, beat=beat)
        traced.append(Traced(item, search.total, search.settled, search.paths))
        if request.published:
            sums_of, begin = published_paths(run, sample.answer_id, seed=request.seed, beat=beat)
            sums.append(sums_of)
            starts.append(begin)
    return tuple(traced), tuple(sums), tuple(starts)


def _overlaps(request: PathwaysRequest, parts: dict[str, Parts]) -> tuple[Overlap, ...]:
    """Overlap of this instruction's edges with the other's; and of its heads' writes with those of bare runs.

    A bare prompt has no instruction to read from, so only what heads write at the shared tokens is compared there.
    """
    here, there = parts["here"], parts["there"]
    pairs = sorted(here.coarse_pairs | there.coarse_pairs)
    found = [overlap(here.among(pairs), there.among(pairs), names=("here", "there"), seed=request.seed)]
    for name in ("bare", "patched"):
        if name in parts:
            slots = [slot for slot in parts[name].alignment.named() if slot.partition(":")[0] in SHARED]
            one, other = here.writes(slots), parts[name].writes(slots)
            found.append(overlap(one, other, names=("here", name), seed=request.seed))
    return tuple(found)


def _curves(
    model: Model, request: PathwaysRequest, rows: Sequence[Sample], parts: Parts, beat: Callable[[], None]
) -> tuple[Curve, ...]:
    """Circuits ranked on every other sample and tried on the rest."""
    if request.ablation == "none" or len(rows) < LEAST:
        return ()
    tried, ablation = rows[1::2], request.ablation
    heads = parts.by_slot["heads"][::2].sum(-1).mean(axis=0)
    units = [("heads", heads, of_heads(model, tried, ablation, seed=request.seed, beat=beat))]
    if request.edge_check:
        measure = of_edges(
            model, tried, ablation, parts.alignment.keys[1::2], parts.pairs, seed=request.seed, beat=beat
        )
        units.append(("edges", parts.edges[::2].mean(axis=0), measure))
    curves = [
        curve(unit, ablation, scores.ravel(), measure, seed=request.seed)
        for unit, scores, measure in units
        if measure is not None
    ]
    return tuple(found for found in curves if found is not None)


def _areas(
    model: Model,
    request: PathwaysRequest,
    rows: Sequence[Sample],
    there: Sequence[Sample],
    parts: Parts,
    beat: Callable[[], None],
) -> tuple[Area, ...]:
    """Rankings of heads on every other sample, tried on the rest."""
    if not request.rankings or len(rows) < LEAST:
        return ()
    means = mean_heads(model, [*rows, *there], beat=beat)
    scores = {"pathways": parts.by_slot["heads"][::2].sum(-1).mean(axis=0).ravel()}
    for name in request.rankings:
        each = head_scores(
            model,
            [row.instructed for row in rows[::2]],
            answer=[row.answer_id for row in rows[::2]],
            contrast=[row.contrast_id for row in rows[::2]],
            fill=means,
            steps=INTEGRATED if name == "eap-ig" else 1,
            beat=beat,
        )
        scores[name] = each.mean(axis=0).ravel()
    measure = of_heads(model, rows[1::2], "mean", seed=request.seed, beat=beat, means=means)
    assert measure is not None
    return areas(scores, measure, seed=request.seed)


def cost_of(model: Model, request: PathwaysRequest) -> Counted:
    """How many samples are split over paths, of both instructions."""
    return Counted(2 * request.samples, "prompts to split over their paths")


STEPS: Steps[PathwaysRequest, Pathways] = Steps(compute=compute, replay=replay, cost=cost_of)
