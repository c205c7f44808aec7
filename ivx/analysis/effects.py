"""Effects: which states carry the instruction, by patching them into runs that were not told.

One request becomes two kinds of maps. Residual, `attn_out` and `mlp_out` sites take the state of the instruction's
source token and write it at each position of the bare prompt (layer × position). `z` takes each head's output at the
instructed prompt's answer position and writes it at the bare prompt's (layer × head). Noising goes the other way, each
position from its like in the bare run. Every sample is measured twice: with its own source, and with a control's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import torch
import transformers

import ivx
from ivx.analysis.maps import address_of, map_of
from ivx.analysis.metrics import find
from ivx.analysis.result import Effects, Progress
from ivx.engine import readout
from ivx.engine.estimate import estimate
from ivx.engine.sweep import ENGINE_KEY, sweep
from ivx.errors import IvxError
from ivx.models.doctor import checkup
from ivx.models.model import Model
from ivx.runs.request import ENGINE, EffectsRequest
from ivx.tasks import catalogue
from ivx.tasks.samples import Sample, Samples, build

ESTIMATED = ("contrast", "logit")
"""Metrics whose cells have an estimate until they are computed."""
ESTIMATED_SAMPLES = 16
"""An estimate is a shade, so it is made from a few samples."""


def effects(model: Model | str, task: str, *, on_progress: Progress | None = None, **asked: Any) -> Effects:
    """Effect maps of one instruction on one checkpoint.

    Args:
        model: a loaded model, or a name to load.
        task: `animal/colour`, or a user's file.
        on_progress: called with the result so far; what it raises ends the work.
        asked: the other fields of `EffectsRequest`.
    """
    if isinstance(model, str):
        request = EffectsRequest(checkpoint=model, task=task, **asked)
        model = ivx.load(model, dtype=request.dtype, device=request.device, adapter=request.adapter)
    else:
        request = EffectsRequest(checkpoint=model.name, task=task, **asked)
    return compute(model, request, on_progress=on_progress)


def compute(model: Model, request: EffectsRequest, *, on_progress: Progress | None = None) -> Effects:
    """Run a request on a loaded model."""
    began = time.perf_counter()
    pair = catalogue.find(request.task, collection=model.collection, against=request.against)
    samples = build(
        pair, model.tokenizer, samples=request.samples, target_format=request.target_format, seed=request.seed
    )
    rows = samples.rows
    maps = {site: map_of(site, model, request, rows) for site in request.sites}
    receipt = {
        "run": request.run_id(model.fingerprint),
        "request": asdict(request),
        "checkpoint": {"name": model.name, "fingerprint": model.fingerprint, "source": model.source},
        "contrast": pair.contrast.name,
        "control": pair.control.name if pair.control else None,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
        "engine": ENGINE,
        "versions": {"ivx": ivx.__version__, "torch": torch.__version__, "transformers": transformers.__version__},
        "samples": len(rows),
        "warnings": list(samples.warnings),
        "checks": [asdict(check) for check in checkup(model).checks],
    }
    told = sweep(
        model,
        source=[s.source for s in rows],
        target=[s.instructed for s in rows],
        answer=[s.answer_id for s in rows],
        contrast=[s.contrast_id for s in rows],
        patches=[],
    )
    receipt["how"] = told.schema.metadata[ENGINE_KEY].decode()
    finished = [_labelled(told, "told", "")]
    patches = {
        site: [address_of(request, site, layer, column) for layer in range(model.layers) for column in columns]
        for site, columns in maps.items()
    }
    both = 2 if samples.control or request.direction == "noise" else 1
    estimates: dict[str, dict[str, float]] = {}
    total = sum((len(found) + 1) * len(rows) * both for found in patches.values())
    done = 0

    def result() -> Effects:
        seconds = round(time.perf_counter() - began, 3)
        table = pa.concat_tables(finished)
        told = {**receipt, "rows": table.num_rows, "seconds": seconds}
        return Effects(request, table, samples, maps, model.layers, told, estimates)

    if on_progress is not None and request.direction == "denoise":
        estimates = _estimates(model, request, rows, patches)
        # What is likely to matter is computed first: a sweep of several passes takes its patches in this order.
        patches = {site: sorted(found, key=lambda p: -abs(estimates["contrast"][p])) for site, found in patches.items()}
        on_progress(result(), 0, total)
    for site, addresses in patches.items():
        before = done

        def arrived(batch: pa.RecordBatch, k: int, _: int, site: str = site, before: int = before) -> None:
            nonlocal done
            done = before + k
            if batch.num_rows:
                finished.extend(_split(pa.Table.from_batches([batch]), site, len(rows)))
            if on_progress is not None:
                on_progress(result(), done, total)

        _sweep_site(model, request, samples, site, addresses, arrived)
    return result()


def _estimates(
    model: Model, request: EffectsRequest, rows: Sequence[Sample], patches: dict[str, list[str]]
) -> dict[str, dict[str, float]]:
    """Mean estimated effect of every address, by metric: what fills the maps until the exact cells come."""
    found: dict[str, dict[str, float]] = {metric: {} for metric in ESTIMATED}
    few = rows[:ESTIMATED_SAMPLES]
    for site, addresses in patches.items():
        table = estimate(
            model,
            source=[_source(site, request, s) for s in few],
            target=[s.target for s in few],
            answer=[s.answer_id for s in few],
            contrast=[s.contrast_id for s in few],
            patches=addresses,
        )
        columns = {name: table[name].to_numpy().reshape(-1, len(few)) for name in ("logit", "contrast")}
        for metric in ESTIMATED:
            level = find(metric).measure(columns)
            moved = (level[1:] - level[0]).mean(axis=1)
            found[metric].update(zip(addresses, moved.tolist(), strict=True))
    return found


def _sweep_site(
    model: Model,
    request: EffectsRequest,
    samples: Samples,
    site: str,
    addresses: list[str],
    arrived: Callable[[pa.RecordBatch, int, int], None],
) -> None:
    """One sweep over the samples and, behind them, their controls: sample k + n is sample k with another source."""
    rows = samples.rows
    if request.direction == "noise":
        # Controls of noising: the bare run of another sample, so what is specific to this one is left.
        sources: list[Sequence[int]] = [s.target for s in (*rows, *rows[1:], rows[0])]
        targets, reference = [s.instructed for s in rows] * 2, [s.target for s in rows] * 2
    else:
        sources = [_source(site, request, s) for s in (*rows, *samples.control)]
        copies = len(sources) // len(rows)
        targets, reference = [s.target for s in rows] * copies, [s.instructed for s in rows] * copies
    copies = len(sources) // len(rows)
    sweep(
        model,
        source=sources,
        target=targets,
        reference=reference,
        answer=[s.answer_id for s in rows] * copies,
        contrast=[s.contrast_id for s in rows] * copies,
        patches=addresses,
        on_rows=arrived,
    )


def _source(site: str, request: EffectsRequest, sample: Sample) -> Sequence[int]:
    """The source run, cut after the token that is taken: by causality its last state is the same."""
    if site == "z":
        return sample.instructed
    return sample.source[: _taken(request, sample) + 1]


def _taken(request: EffectsRequest, sample: Sample) -> int:
    if request.source_token == "t_inst":
        return sample.t_inst
    if request.source_token == "keyword":
        if sample.keyword is None:
            raise IvxError("this task's wordings do not mark a task phrase, so there is no keyword: use t_inst")
        return sample.keyword
    index, length = int(request.source_token), len(sample.source)
    if not -length <= index < length:
        raise IvxError(f"source token {index}: the instruction {sample.instruction.text!r} has {length} tokens")
    return index % length


def _labelled(table: pa.Table, role: str, site: str) -> pa.Table:
    n = table.num_rows
    for name, value in (("role", role), ("site", site)):
        table = table.append_column(name, pa.array([value] * n, pa.string()))
    return table


def _split(table: pa.Table, site: str, n: int) -> list[pa.Table]:
    """Rows of samples and, renumbered, of their controls."""
    mine = table.filter(pc.field("sample") < n)
    theirs = table.filter(pc.field("sample") >= n)
    at = readout.SCHEMA.get_field_index("sample")
    theirs = theirs.set_column(at, "sample", pc.subtract(theirs["sample"], pa.scalar(n, pa.int32())))
    return [_labelled(mine, "effect", site), _labelled(theirs, "control", site)]
