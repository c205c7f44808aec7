"""Preparing: from a request to its samples and receipt, and the unpatched runs that every analysis begins with."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from typing import Any
from weakref import WeakKeyDictionary

import pyarrow as pa
import torch
import transformers
from torch import nn

from ivx.engine.hooks.given import patched
from ivx.engine.how import How
from ivx.engine.sweep import how_of, sweep
from ivx.errors import IvxError
from ivx.models.doctor import report_of
from ivx.models.finite import cure, dtype_of
from ivx.models.model import Model
from ivx.patching import gate, kept
from ivx.patching.roles import Ids
from ivx.patching.spelling import Spelling, spelling_of
from ivx.patching.table import labelled, undefined
from ivx.request import ENGINE, BaseRequest, InstructionRequest
from ivx.stats.intervals import Array
from ivx.tasks import catalogue
from ivx.tasks.encoder import Encoder
from ivx.tasks.sample import Sample
from ivx.tasks.samples import Samples, build
from ivx.tasks.task import Pair
from ivx.tasks.way import Way
from ivx.version import VERSION

_followed: WeakKeyDictionary[nn.Module, dict[Any, dict[str, Any]]] = WeakKeyDictionary()

Arrived = Callable[[list[pa.Table], int, int], None]
"""Called with labelled rows as they finish, and how many of how many are done."""


def samples_of(
    model: Model, request: InstructionRequest, *, more: Collection[str] = (), wording: int | None = None
) -> tuple[Pair, Samples]:
    """The pair that a request is about, and its samples, with those of its controls and of `more` controls; all in the
    `wording` of that number, where one is named."""
    pair = catalogue.find(request.task, collection=model.collection, against=request.against)
    way = replace(request.way, spelling=_spelling(model, pair, request).spelling)
    if wording is not None:
        way = replace(way, wording=wording)
    controls = {*getattr(request, "controls", ()), *more}
    return pair, build(pair, model.tokenizer, way=way, samples=request.samples, seed=request.seed, controls=controls)


def _spelling(model: Model, pair: Pair, request: InstructionRequest) -> Spelling:
    return spelling_of(model, pair, request.way, samples=request.samples, seed=request.seed)


def prepare(model: Model, request: InstructionRequest, *, more: Collection[str] = ()) -> tuple[Samples, dict[str, Any]]:
    """The samples of a request, and its receipt: what was asked, of what, and what was checked.

    They are found once for each model in memory; the receipt is the caller's own.
    """
    subject = request.subject(model.collection, lambda: model.tokenizer)
    told = len(getattr(request, "controls", ())) + len(more) + 1
    samples, receipt = kept.once(
        model,
        ("prepared", request, frozenset(more), subject),
        lambda: _prepared(model, request, subject, more),
        rows=request.samples * told,
    )
    return samples, deepcopy(receipt)


def _prepared(
    model: Model, request: InstructionRequest, subject: str, more: Collection[str]
) -> tuple[Samples, dict[str, Any]]:
    pair, samples = samples_of(model, request, more=more)
    return samples, told_of(model, request, subject, pair, samples)


def told_of(model: Model, request: InstructionRequest, subject: str, pair: Pair, samples: Samples) -> dict[str, Any]:
    """The receipt of samples: what was asked, of what, how often it is followed, and what was checked."""
    spelling = _spelling(model, pair, request)
    return {
        **receipt_of(model, request, subject),
        "contrast": pair.contrast.name,
        "control": pair.control.name if pair.control else None,
        "samples": len(samples.rows),
        **following(model, samples.rows, cued=_cued(model, pair, request, samples.rows)),
        **({"spelling": spelling.told} if spelling.shares else {}),
        "warnings": [*samples.warnings, *filter(None, [spelling.sentence])],
    }


def following(model: Model, rows: Sequence[Sample], *, cued: Sequence[Ids] = ()) -> dict[str, Any]:
    """How many samples follow told and untold, by the first token, as a field of a receipt; found once for each model
    in memory.

    No field where the logits of none are finite.

    Args:
        cued: the told prompts without their instructions, where the bare ones lack more than that: who follows in
            either does so untold.
    """
    known = _followed.setdefault(model.hf, {})
    runs = [[row.instructed for row in rows], [row.target for row in rows], *([cued] if cued else [])]
    answers = [row.answer_tokens for row in rows]
    key = tuple(zip(*runs, answers, strict=True))
    if key not in known:
        prompts = [ids for run in runs for ids in run]
        found = sweep(model, source=prompts, target=prompts, answer=answers * len(runs), patches=[])
        known[key] = gate.counted(*(found.slice(k * len(rows), len(rows)) for k in range(len(runs))))
    return known[key]


def asked_of(model: Model, pair: Pair, way: Way, *, samples: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """How many samples of a task follow told and untold, as fields of the receipt of an analysis that has no samples of
    its own; and a sentence where that cannot be counted."""
    try:
        spelling = spelling_of(model, pair, way, samples=samples, seed=seed).spelling
        rows = build(pair, model.tokenizer, way=replace(way, spelling=spelling), samples=samples, seed=seed).rows
    except IvxError as error:
        return {}, [f"whether {pair.task.name} is followed could not be counted: {error}"]
    return following(model, rows) | {gate.ASKED: pair.task.name}, []


def _cued(model: Model, pair: Pair, request: InstructionRequest, rows: Sequence[Sample]) -> list[Ids]:
    """The told prompts without their instructions, where these are not the bare ones."""
    if request.target_format not in ("query", "filler"):
        return []
    encoder, task = Encoder(model.tokenizer), pair.task
    return [encoder.ids(Way().bare(task.template, field=task.field_of(s.query), query=s.query).text) for s in rows]


def receipt_of(model: Model, request: BaseRequest, subject: str) -> dict[str, Any]:
    """The fields of every receipt; `subject` is the fingerprint of what was asked about."""
    return {
        "run": request.run_id(model.fingerprint, subject),
        "kind": request.kind,
        "request": asdict(request),
        "checkpoint": model.identity,
        "task": subject,
        "dtype": dtype_of(model),
        "device": str(model.device),
        **({} if model.stream is None else {"weights": f"weights {model.stream.where}"}),
        "engine": ENGINE,
        "versions": {"ivx": VERSION, "torch": torch.__version__, "transformers": transformers.__version__},
        "checks": [asdict(check) for check in report_of(model).checks],
    }


def measured(receipt: dict[str, Any], table: pa.Table, *, began: float) -> dict[str, Any]:
    """The receipt of a result: with its number of rows, those that are undefined, and its seconds since `began`."""
    seconds = round(time.perf_counter() - began, 3)
    found = {**receipt, "rows": table.num_rows, "seconds": seconds}
    if lacking := undefined(table):
        said = (
            f"{lacking:,} of {table.num_rows:,} rows are undefined, their logits are not finite in {receipt['dtype']}: "
            "they are left out of every number"
        )
        found["warnings"] = [*receipt["warnings"], said]
    return found


def run_told(model: Model, samples: Samples, *, beat: Callable[[], None] = lambda: None) -> tuple[pa.Table, How]:
    """The instructed runs, unpatched, and how the engine works on this model; found once for each model in memory.

    Raises:
        IvxError: none of them has finite logits.
    """
    key = tuple((s.source, s.instructed, s.answer_tokens, s.contrast_tokens) for s in samples.rows)
    return kept.once(model, ("told", key), lambda: _told(model, samples, beat), rows=len(samples.rows))


def _told(model: Model, samples: Samples, beat: Callable[[], None]) -> tuple[pa.Table, How]:
    found = sweep(
        model,
        source=[s.source for s in samples.rows],
        target=[s.instructed for s in samples.rows],
        answer=[s.answer_tokens for s in samples.rows],
        contrast=[s.contrast_tokens for s in samples.rows],
        patches=[],
        on_rows=lambda *_: beat(),
    )
    if undefined(found) == found.num_rows:
        raise IvxError(
            f"the logits of {model.name} are not finite in {dtype_of(model)} on any of {found.num_rows} instructed "
            f"prompts: {cure(model)}"
        )
    return labelled(found, "told", ""), how_of(found)


def defined(
    model: Model, prompts: Sequence[tuple[Sample, Ids]], *, beat: Callable[[], None] = lambda: None
) -> set[str]:
    """The queries all of whose prompts have finite logits.

    Raises:
        IvxError: there are none.
    """
    ids = [prompt for _, prompt in prompts]
    answers = [sample.answer_tokens for sample, _ in prompts]
    found = sweep(model, source=ids, target=ids, answer=answers, patches=[], on_rows=lambda *_: beat())
    there = found["logit"].is_valid().to_pylist()
    lost = {sample.query for (sample, _), known in zip(prompts, there, strict=True) if not known}
    kept = {sample.query for sample, _ in prompts} - lost
    if not kept:
        raise IvxError(
            f"the logits of {model.name} are not finite in {dtype_of(model)} on prompts of any query: {cure(model)}"
        )
    return kept


def run_given(
    model: Model,
    rows: Sequence[Sample],
    patches: Sequence[tuple[str, Array | None]],
    *,
    beat: Callable[[], None] = lambda: None,
) -> pa.Table:
    """Rows of the bare prompts with given vectors `[samples, width]` by address; patch by patch, then by sample."""
    return patched(
        model,
        target=[s.target for s in rows],
        answer=[s.answer_tokens for s in rows],
        contrast=[s.contrast_tokens for s in rows],
        patches=[(address, None if v is None else torch.from_numpy(v).to(model.dtype)) for address, v in patches],
        beat=beat,
    )


def opening(instructed: pa.Table, known: pa.Table | None) -> list[pa.Table]:
    """The tables that a result begins with: what is known, and the instructed runs where they are not."""
    if known is None:
        return [instructed]
    return [known] if "told" in known["role"].to_pylist() else [known, instructed]
