"""Preparing: from a request to its samples and receipt, and the unpatched runs that every analysis begins with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import torch
import transformers

from ivx.engine.hooks.given import patched
from ivx.engine.sweep import ENGINE_KEY, sweep
from ivx.models.doctor import checkup
from ivx.models.model import Model
from ivx.patching.table import labelled
from ivx.request import ENGINE, BaseRequest, InstructionRequest
from ivx.stats.intervals import Array
from ivx.tasks import catalogue
from ivx.tasks.samples import Sample, Samples, build
from ivx.tasks.task import Pair
from ivx.version import VERSION

Arrived = Callable[[list[pa.Table], int, int], None]
"""Called with labelled rows as they finish, and how many of how many are done."""


def samples_of(model: Model, request: InstructionRequest, *, with_neutral: bool = False) -> tuple[Pair, Samples]:
    """The pair that a request is about, and its samples."""
    pair = catalogue.find(request.task, collection=model.collection, against=request.against)
    return pair, build(
        pair,
        model.tokenizer,
        samples=request.samples,
        target_format=request.target_format,
        seed=request.seed,
        with_neutral=with_neutral,
    )


def prepare(model: Model, request: InstructionRequest, *, with_neutral: bool = False) -> tuple[Samples, dict[str, Any]]:
    """The samples of a request, and its receipt: what was asked, of what, and what was checked."""
    pair, samples = samples_of(model, request, with_neutral=with_neutral)
    return samples, {
        **receipt_of(model, request, request.about(model.collection)),
        "contrast": pair.contrast.name,
        "control": pair.control.name if pair.control else None,
        "samples": len(samples.rows),
        "warnings": list(samples.warnings),
    }


def receipt_of(model: Model, request: BaseRequest, subject: str) -> dict[str, Any]:
    """The fields of every receipt; `subject` is the fingerprint of what was asked about."""
    return {
        "run": request.run_id(model.fingerprint, subject),
        "kind": request.kind,
        "request": asdict(request),
        "checkpoint": model.identity,
        "task": subject,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
        "engine": ENGINE,
        "versions": {"ivx": VERSION, "torch": torch.__version__, "transformers": transformers.__version__},
        "checks": [asdict(check) for check in checkup(model).checks],
    }


def run_told(model: Model, samples: Samples) -> tuple[pa.Table, str]:
    """The instructed runs, unpatched, and how the engine works on this model."""
    found = sweep(
        model,
        source=[s.source for s in samples.rows],
        target=[s.instructed for s in samples.rows],
        answer=[s.answer_id for s in samples.rows],
        contrast=[s.contrast_id for s in samples.rows],
        patches=[],
    )
    return labelled(found, "told", ""), found.schema.metadata[ENGINE_KEY].decode()


def run_given(model: Model, rows: Sequence[Sample], patches: Sequence[tuple[str, Array | None]]) -> pa.Table:
    """Rows of the bare prompts with given vectors `[samples, width]` by address; patch by patch, then by sample."""
    return patched(
        model,
        target=[s.target for s in rows],
        answer=[s.answer_id for s in rows],
        contrast=[s.contrast_id for s in rows],
        patches=[(address, None if v is None else torch.from_numpy(v).to(model.dtype)) for address, v in patches],
    )


def opening(instructed: pa.Table, known: pa.Table | None) -> list[pa.Table]:
    """The tables that a result begins with: what is known, and the instructed runs where they are not."""
    if known is None:
        return [instructed]
    return [known] if "told" in known["role"].to_pylist() else [known, instructed]
