"""Rows: what every analysis has in common between its request and its table.

A sweep goes over the samples' own runs and their controls' (`ivx.patching.roles`). Its rows come back labelled by role
and site; those of `told` are the unpatched instructed runs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import torch
import transformers

import ivx
from ivx.engine.hooks.given import patched
from ivx.engine.schema import SCHEMA
from ivx.engine.sweep import ENGINE_KEY, OnRows, sweep
from ivx.errors import IvxError
from ivx.models.doctor import checkup
from ivx.models.model import Model
from ivx.patching.roles import Ids, Runs
from ivx.patching.table import labelled
from ivx.request import ENGINE, BaseRequest, InstructionRequest
from ivx.stats.intervals import Array
from ivx.tasks import catalogue
from ivx.tasks.samples import Sample, Samples, build
from ivx.tasks.task import Pair

Asked = TypeVar("Asked", bound=InstructionRequest)
Arrived = Callable[[list[pa.Table], int, int], None]
"""Called with labelled rows as they finish, and how many of how many are done."""


def opened(kind: type[Asked], model: Model | str, task: str, asked: dict[str, Any]) -> tuple[Model, Asked]:
    """A request of this kind and its model, which is loaded where it is only named."""
    request = kind(model if isinstance(model, str) else model.name, task, **asked)
    if isinstance(model, str):
        model = ivx.load(model, dtype=request.dtype, device=request.device, adapter=request.adapter)
    return model, request


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


def prepared(
    model: Model, request: InstructionRequest, *, with_neutral: bool = False
) -> tuple[Samples, dict[str, Any]]:
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


def written(model: Model, rows: Sequence[Sample], patches: Sequence[tuple[str, Array | None]]) -> pa.Table:
    """The bare prompts with vectors that are given, `[samples, width]` by address; patches outside, samples inside."""
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


def rows_in(samples: Samples, runs: Sequence[Runs], patches: Sequence[str]) -> int:
    """How many rows `swept` makes."""
    named: dict[str, set[str]] = defaultdict(set)
    for part in runs:
        named[part.role].update(["", *part.named(patches)])
    return len(samples.rows) * sum(map(len, named.values()))


def swept(
    model: Model,
    samples: Samples,
    runs: Sequence[Runs],
    site: str,
    patches: Sequence[str],
    arrived: Arrived,
    *,
    known: pa.Table | None = None,
) -> None:
    """Sweep all runs; rows arrive labelled. Rows that are in `known` are not computed again, and do not arrive.

    Runs of equal addresses that lack the same rows are swept together: all of them in one sweep, unless it was cut
    short before, or positions are named and lie elsewhere in some.
    """
    has, total = _known(known, site), rows_in(samples, runs, patches)
    waiting: dict[tuple[str, tuple[tuple[str, str], ...]], list[tuple[Runs, int]]] = defaultdict(list)
    done = 0
    for part in runs:
        names = ["", *part.named(patches)]
        done += sum(name in has[part.role, k] for name in names for k in range(len(samples.rows)))
        # A mean is over the role's own runs, so those are swept apart.
        apart = part.role if any("=mean" in name for name in names) else ""
        for k in range(len(samples.rows)):
            lacking = [name for name in names if name not in has[part.role, k]]
            has[part.role, k].update(lacking)
            for named in _rounds([(part.address(k, name), name) for name in lacking]):
                waiting[apart, named].append((part, k))
    # A cell is done when its last role is: the fewest rows come first, so that cells finish along the longest sweep.
    for (_, named), members in sorted(waiting.items(), key=lambda group: len(group[0][1]) * len(group[1])):

        def on_rows(
            batch: pa.RecordBatch,
            *_: int,
            members: list[tuple[Runs, int]] = members,
            names: dict[str, str] = dict(named),  # noqa: B006
        ) -> None:
            nonlocal done
            found = _labelled(pa.Table.from_batches([batch]), members, names, site) if batch.num_rows else []
            done += sum(table.num_rows for table in found)
            arrived(found, done, total)

        _sweep(model, samples, members, dict(named), on_rows)


def _rounds(named: list[tuple[str, str]]) -> list[tuple[tuple[str, str], ...]]:
    """(address, name) pairs parted so that each address stands once: two names may mean one place in a sample."""
    found: list[dict[str, str]] = []
    for address, name in named:
        free = next((one for one in found if address not in one), None)
        if free is None:
            found.append(free := {})
        free[address] = name
    return [tuple(one.items()) for one in found]


def _sweep(
    model: Model, samples: Samples, members: Sequence[tuple[Runs, int]], named: dict[str, str], on_rows: OnRows
) -> None:
    part = members[0][0]
    sweep(
        model,
        source=[runs.sources[k] for runs, k in members],
        target=[runs.targets[k] for runs, k in members],
        reference=[runs.references[k] for runs, k in members],
        answer=[samples.rows[k].answer_id for _, k in members],
        contrast=[samples.rows[k].contrast_id for _, k in members],
        patches=[address for address in named if address],
        means={address: part.averaged(name) for address, name in named.items() if "=mean" in address},
        on_rows=on_rows,
    )


def _known(known: pa.Table | None, site: str) -> dict[tuple[str, int], set[str]]:
    """The patches that there are rows of already, by role and sample."""
    has: dict[tuple[str, int], set[str]] = defaultdict(set)
    if known is not None:
        here = known.filter(pc.field("site") == site)
        for role, sample, patch in zip(*(here[name].to_pylist() for name in ("role", "sample", "patch")), strict=True):
            has[role, sample].add(patch)
    return has


def instruction_of(request: InstructionRequest, sample: Sample) -> Ids:
    """The instruction, cut after the token that is taken: by causality its last state is the same."""
    return sample.source[: _taken(request, sample) + 1]


def _taken(request: InstructionRequest, sample: Sample) -> int:
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


def _labelled(table: pa.Table, members: Sequence[tuple[Runs, int]], names: dict[str, str], site: str) -> list[pa.Table]:
    """A sweep's rows by role, with sample and name of each one's patch; those that nobody named are left out."""
    told = [
        (i, *members[member], names[patch])
        for i, (member, patch) in enumerate(zip(table["sample"].to_pylist(), table["patch"].to_pylist(), strict=True))
        if patch in names
    ]
    found = []
    for role in dict.fromkeys(runs.role for _, runs, _, _ in told):
        mine = [(i, k, name) for i, runs, k, name in told if runs.role == role]
        part = table.take([i for i, _, _ in mine])
        for name, kind, column in (("sample", pa.int32(), 1), ("patch", pa.string(), 2)):
            at = SCHEMA.get_field_index(name)
            part = part.set_column(at, name, pa.array([row[column] for row in mine], kind))
        found.append(labelled(part, role, site))
    return found
