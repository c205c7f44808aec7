"""Sweeping: the rows of an analysis, from the samples' own runs and their controls' (`ivx.patching.roles`).

They come back labelled by role and site; those of the role `told` are the unpatched instructed runs. Rows that are
stored already are not computed again.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ivx.engine.how import How
from ivx.engine.plan.forecast import Forecast, forecast, total_of
from ivx.engine.schema import SCHEMA
from ivx.engine.sweep import how_of, sweep
from ivx.engine.workload import checked
from ivx.models.model import Model
from ivx.patching.positions import taken
from ivx.patching.prepare import Arrived
from ivx.patching.roles import Ids, Runs
from ivx.patching.table import labelled
from ivx.request import InstructionRequest
from ivx.tasks.sample import Sample
from ivx.tasks.samples import Samples

Group = tuple[dict[str, str], list[tuple[Runs, int]]]
"""A sweep: names by address, and the runs and samples."""
DEEP = 12
"""Layers beyond which every second one is swept first, so that a picture of all depths comes early."""
_LAYER = re.compile(r"(?:^|,)[a-z_]+\.(\d+)")


def coarse_to_fine(patches: Sequence[str], *, layers: int) -> list[list[str]]:
    """The patches in the parts that are swept one after another, in their order: on a deep model first those that are
    at every second layer alone."""
    if layers <= DEEP:
        return [list(patches)]
    parts: tuple[list[str], list[str]] = [], []
    for patch in patches:
        parts[any(int(layer) % 2 for layer in _LAYER.findall(patch))].append(patch)
    return [part for part in parts if part] or [[]]


def rows_in(samples: Samples, runs: Sequence[Runs], patches: Sequence[str]) -> int:
    """How many rows `sweep_rows` makes."""
    named: dict[str, set[str]] = defaultdict(set)
    for part in runs:
        named[part.role].update(["", *part.named(patches)])
    return len(samples.rows) * sum(map(len, named.values()))


def sweep_rows(
    model: Model,
    samples: Samples,
    runs: Sequence[Runs],
    site: str,
    patches: Sequence[str],
    arrived: Arrived,
    *,
    known: pa.Table | None = None,
) -> How:
    """Sweep all runs; rows arrive labelled. Rows that are in `known` are not computed again, and do not arrive.

    Returns how they were made, by nobody where all are known.

    Runs of equal addresses that lack the same rows are swept together: all of them in one sweep, unless it was cut
    short before, or positions are named and lie elsewhere in some. A deep model's every second layer comes first.
    """
    total, how, has = rows_in(samples, runs, patches), How(), _known(known, site)
    done = _done(samples, runs, patches, has)
    for named, members in _parts(model, samples, runs, patches, has):

        def on_rows(
            batch: pa.RecordBatch,
            *_: int,
            members: list[tuple[Runs, int]] = members,
            names: dict[str, str] = named,  # noqa: B006
        ) -> None:
            nonlocal done
            found = _labelled(pa.Table.from_batches([batch]), members, names, site) if batch.num_rows else []
            done += sum(table.num_rows for table in found)
            arrived(found, done, total)

        how |= how_of(sweep(model, **_asked(samples, members, named), on_rows=on_rows))
    return how


def cost_of(model: Model, samples: Samples, runs: Sequence[Runs], patches: Sequence[str]) -> Forecast:
    """What `sweep_rows` will cost, where nothing is known."""
    parts = _parts(model, samples, runs, patches, defaultdict(set))
    cost = total_of([forecast(model, checked(model, **_asked(samples, members, named))) for named, members in parts])
    return replace(cost, rows=rows_in(samples, runs, patches))  # every sweep runs the unpatched prompts, too


def _parts(
    model: Model, samples: Samples, runs: Sequence[Runs], patches: Sequence[str], has: dict[tuple[str, int], set[str]]
) -> list[Group]:
    """The sweeps in their order; `has` is told what they will add."""
    parts = coarse_to_fine(patches, layers=model.layers)
    return [group for part in parts for group in _groups(samples, runs, part, has)]


def _done(samples: Samples, runs: Sequence[Runs], patches: Sequence[str], has: dict[tuple[str, int], set[str]]) -> int:
    """How many rows are there already."""
    return sum(
        name in has[part.role, k]
        for part in runs
        for name in ["", *part.named(patches)]
        for k in range(len(samples.rows))
    )


def _groups(
    samples: Samples, runs: Sequence[Runs], patches: Sequence[str], has: dict[tuple[str, int], set[str]]
) -> list[Group]:
    """The sweeps of one part."""
    waiting: dict[tuple[str, tuple[tuple[str, str], ...]], list[tuple[Runs, int]]] = defaultdict(list)
    for part in runs:
        names = ["", *part.named(patches)]
        # A mean is over the role's own runs, so those are swept apart.
        apart = part.role if any("=mean" in name for name in names) else ""
        for k in range(len(samples.rows)):
            lacking = [name for name in names if name not in has[part.role, k]]
            has[part.role, k].update(lacking)
            for named in _rounds([(part.address(k, name), name) for name in lacking]):
                waiting[apart, named].append((part, k))
    # A cell is done when its last role is: the fewest rows come first, so that cells finish along the longest sweep.
    ordered = sorted(waiting.items(), key=lambda group: len(group[0][1]) * len(group[1]))
    return [(dict(named), members) for (_, named), members in ordered]


def _rounds(named: list[tuple[str, str]]) -> list[tuple[tuple[str, str], ...]]:
    """(address, name) pairs in groups that hold each address once: two names may mean one place in a sample."""
    found: list[dict[str, str]] = []
    for address, name in named:
        free = next((one for one in found if address not in one), None)
        if free is None:
            found.append(free := {})
        free[address] = name
    return [tuple(one.items()) for one in found]


def _asked(samples: Samples, members: Sequence[tuple[Runs, int]], named: dict[str, str]) -> dict[str, Any]:
    """What a sweep of these runs is told."""
    part = members[0][0]
    return {
        "source": [runs.sources[k] for runs, k in members],
        "target": [runs.targets[k] for runs, k in members],
        "reference": [runs.references[k] for runs, k in members],
        "answer": [samples.rows[k].answer_tokens for _, k in members],
        "contrast": [samples.rows[k].contrast_tokens for _, k in members],
        "patches": [address for address in named if address],
        "means": {address: part.averaged(name) for address, name in named.items() if "=mean" in address},
    }


def _known(known: pa.Table | None, site: str) -> dict[tuple[str, int], set[str]]:
    """The patches that already have rows, by role and sample."""
    has: dict[tuple[str, int], set[str]] = defaultdict(set)
    if known is not None:
        here = known.filter(pc.field("site") == site)
        for role, sample, patch in zip(*(here[name].to_pylist() for name in ("role", "sample", "patch")), strict=True):
            has[role, sample].add(patch)
    return has


def instruction_of(request: InstructionRequest, sample: Sample) -> Ids:
    """The instruction, cut after the token that is taken: by causality its last state is the same."""
    return sample.source[: taken(request.source_token, sample) + 1]


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
