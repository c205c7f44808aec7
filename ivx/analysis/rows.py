"""Rows: what every analysis has in common between its request and its table.

A sweep goes over the samples and, behind them, over their controls: sample k + n is sample k with another source. Its
rows come back labelled by role: `effect` with the sample's own source, `control` with the control's, and `told`, the
unpatched instructed run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
import transformers
from numpy.typing import NDArray

import ivx
from ivx.analysis.metrics import Columns
from ivx.engine import readout
from ivx.engine.sweep import ENGINE_KEY, sweep
from ivx.errors import IvxError
from ivx.models.doctor import checkup
from ivx.models.model import Model
from ivx.runs.request import ENGINE, BaseRequest, Request
from ivx.tasks import catalogue
from ivx.tasks.samples import Sample, Samples, build

Ids = Sequence[int]
Asked = TypeVar("Asked", bound=Request)
Arrived = Callable[[list[pa.Table], int, int], None]
"""Called with labelled rows as they finish, and how many of how many are done."""
NUMBERS = ("logit", "contrast", "logsumexp", "rank", "kl_target", "kl_reference")


def opened(kind: type[Asked], model: Model | str, task: str, asked: dict[str, Any]) -> tuple[Model, Asked]:
    """A request of this kind and its model, which is loaded where it is only named."""
    request = kind(model if isinstance(model, str) else model.name, task, **asked)
    if isinstance(model, str):
        model = ivx.load(model, dtype=request.dtype, device=request.device, adapter=request.adapter)
    return model, request


def prepared(model: Model, request: Request) -> tuple[Samples, dict[str, Any]]:
    """The samples of a request, and its receipt: what was asked, of what, and what was checked."""
    pair = catalogue.find(request.task, collection=model.collection, against=request.against)
    samples = build(
        pair, model.tokenizer, samples=request.samples, target_format=request.target_format, seed=request.seed
    )
    return samples, {
        **receipt_of(model, request, pair.fingerprint),
        "contrast": pair.contrast.name,
        "control": pair.control.name if pair.control else None,
        "samples": len(samples.rows),
        "warnings": list(samples.warnings),
    }


def receipt_of(model: Model, request: BaseRequest, subject: str) -> dict[str, Any]:
    """What every receipt tells; `subject` is the fingerprint of what was asked about."""
    return {
        "run": request.run_id(model.fingerprint, subject),
        "kind": request.kind,
        "request": asdict(request),
        "checkpoint": model.identity,
        "task": subject,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
        "engine": ENGINE,
        "versions": {"ivx": ivx.__version__, "torch": torch.__version__, "transformers": transformers.__version__},
        "checks": [asdict(check) for check in checkup(model).checks],
    }


class Runs(NamedTuple):
    """Prompts per sample and, behind them, per control."""

    sources: Sequence[Ids]
    targets: Sequence[Ids]
    references: Sequence[Ids]


def denoising(samples: Samples, source: Callable[[Sample], Ids]) -> Runs:
    """The bare prompts, with states of each sample's and each control's source."""
    sources = [source(s) for s in (*samples.rows, *samples.control)]
    copies = len(sources) // len(samples.rows)
    return Runs(sources, [s.target for s in samples.rows] * copies, [s.instructed for s in samples.rows] * copies)


def noising(samples: Samples) -> Runs:
    """The instructed prompts, with states of bare ones; controls take another sample's, so what is its own is left."""
    rows = samples.rows
    return Runs(
        [s.target for s in (*rows, *rows[1:], rows[0])], [s.instructed for s in rows] * 2, [s.target for s in rows] * 2
    )


def told(model: Model, samples: Samples) -> tuple[pa.Table, str]:
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


def opening(instructed: pa.Table, known: pa.Table | None) -> list[pa.Table]:
    """The tables that a result begins with: what is known, and the instructed runs where they are not."""
    if known is None:
        return [instructed]
    return [known] if "told" in known["role"].to_pylist() else [known, instructed]


def swept(
    model: Model,
    samples: Samples,
    runs: Runs,
    site: str,
    patches: Sequence[str],
    arrived: Arrived,
    *,
    known: pa.Table | None = None,
) -> None:
    """Sweep all runs; rows arrive labelled. Rows that are in `known` are not computed again, and do not arrive."""
    n = len(samples.rows)
    has = _known(known, site, n, len(runs.targets))
    done, total = sum(map(len, has)), (len(patches) + 1) * len(runs.targets)
    # Runs that lack the same patches are swept together: all of them in one sweep, unless it was cut short before.
    lacking: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for k, patched in enumerate(has):
        lacking[tuple(p for p in ("", *patches) if p not in patched)].append(k)

    def on_rows(batch: pa.RecordBatch, members: list[int]) -> None:
        nonlocal done
        if not batch.num_rows:
            arrived([], done, total)
            return
        here = np.asarray(members, dtype=np.int32)[batch["sample"].to_numpy()]
        table = pa.Table.from_batches([batch])
        if known is not None:  # a sweep reads the unpatched run in any case
            new = [p not in has[k] for k, p in zip(here.tolist(), table["patch"].to_pylist(), strict=True)]
            table, here = table.filter(pa.array(new)), here[new]
        done += table.num_rows
        arrived(_split(table, here, site, n), done, total)

    for wanted, members in lacking.items():
        if wanted:
            sweep(
                model,
                source=[runs.sources[k] for k in members],
                target=[runs.targets[k] for k in members],
                reference=[runs.references[k] for k in members],
                answer=[samples.rows[k % n].answer_id for k in members],
                contrast=[samples.rows[k % n].contrast_id for k in members],
                patches=[p for p in wanted if p],
                on_rows=lambda batch, *_, members=members: on_rows(batch, members),
            )


def _known(known: pa.Table | None, site: str, n: int, runs: int) -> list[set[str]]:
    """The patches that each run has rows of already; controls stand behind the samples."""
    has: list[set[str]] = [set() for _ in range(runs)]
    if known is not None:
        here = known.filter(pc.field("site") == site)
        for role, sample, patch in zip(*(here[name].to_pylist() for name in ("role", "sample", "patch")), strict=True):
            has[sample + n * (role == "control")].add(patch)
    return has


def instruction_of(request: Request, sample: Sample) -> Ids:
    """The instruction, cut after the token that is taken: by causality its last state is the same."""
    return sample.source[: _taken(request, sample) + 1]


def _taken(request: Request, sample: Sample) -> int:
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


def labelled(table: pa.Table, role: str, site: str) -> pa.Table:
    """The rows with their role and site."""
    n = table.num_rows
    for name, value in (("role", role), ("site", site)):
        table = table.append_column(name, pa.array([value] * n, pa.string()))
    return table


def _split(table: pa.Table, runs: NDArray[np.int32], site: str, n: int) -> list[pa.Table]:
    """Rows of samples and, renumbered, of their controls, by each row's run."""
    at = readout.SCHEMA.get_field_index("sample")
    table = table.set_column(at, "sample", pa.array(runs % n, pa.int32()))
    parts = (("effect", table.filter(pa.array(runs < n))), ("control", table.filter(pa.array(runs >= n))))
    return [labelled(part, role, site) for role, part in parts if part.num_rows]


def numbers(table: pa.Table) -> Columns:
    """The sufficient numbers of a table's rows, in their order."""
    return {name: table[name].to_numpy().astype(np.float64) for name in NUMBERS}


def by_patch(table: pa.Table, *, role: str, site: str, samples: int) -> dict[str, Columns]:
    """The sufficient numbers by patch set, each in the order of the samples; sets whose samples are all done."""
    table = table.filter((pc.field("role") == role) & (pc.field("site") == site)).combine_chunks()
    named = pc.dictionary_encode(table["patch"]).combine_chunks()
    if not table.num_rows:
        return {}
    code = named.indices.to_numpy()
    order = np.lexsort((table["sample"].to_numpy(), code))
    columns = {name: values[order] for name, values in numbers(table).items()}
    counts = np.bincount(code, minlength=len(named.dictionary))
    starts = np.cumsum(counts) - counts
    return {
        str(name): {key: values[start : start + samples] for key, values in columns.items()}
        for name, start, count in zip(named.dictionary.to_pylist(), starts, counts, strict=True)
        if count == samples
    }
