"""Differences between two checkpoints' results, sample by sample: the later one's values minus the earlier one's.

Each is judged as an effect is (`ivx.stats.verdict`): its control is the same difference with another task's vectors,
and p is adjusted over the cells of one map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ivx.analyses.effects.result import Effects
from ivx.analyses.interactions.result import Interactions
from ivx.analyses.vectors.result import Vectors
from ivx.errors import IvxError
from ivx.patching.cells import Cell
from ivx.patching.table import by_patch, level, numbers, rows_of
from ivx.stats.intervals import Array
from ivx.stats.metrics import find
from ivx.stats.verdict import Verdict, verdicts
from ivx.tasks.samples import paired

Values = dict[str, Array]
"""`[samples]` by patch."""


def effect_differences(
    before: Effects, after: Effects, *, site: str = "resid_post", metric: str = "contrast"
) -> list[Cell]:
    """The cells of the later map minus those of the earlier one, as far as both are done, over the queries of both.

    Raises:
        IvxError: the maps differ in layers or columns.
    """
    shapes = [(found.layers, [column.label for column in found.maps[site]]) for found in (before, after)]
    if shapes[0] != shapes[1]:
        names = f"{before.request.checkpoint} and {after.request.checkpoint}"
        raise IvxError(f"the maps of {names} have other layers or columns, so there is no difference of their cells")
    mine, theirs = paired(after.samples, before.samples)
    here, there = ([_effects(found, role, site, metric) for role in ("effect", "control")] for found in (after, before))
    control = bool(after.samples.control and before.samples.control)
    done = []
    for layer, column, patch in after.places(site):
        other = before.address(site, layer, column)
        if all(patch in here[k] and other in there[k] for k in ((0, 1) if control else (0,))):
            done.append((layer, column, patch, other))
    if not done:
        return []

    def values(role: int) -> Array:
        return np.stack([here[role][patch][mine] - there[role][other][theirs] for _, _, patch, other in done])

    view, groups = find(metric), after.samples.groups[mine]
    judged = verdicts(
        values(0),
        values(1) if control else None,
        floor=view.floor,
        shares=view.shares,
        groups=groups,
        seed=after.request.seed,
    )
    return [
        Cell.of(site, layer, column, patch, verdict, n=len(mine))
        for (layer, column, patch, _), verdict in zip(done, judged, strict=True)
    ]


def interaction_differences(before: Interactions, after: Interactions, metric: str = "contrast") -> dict[str, Verdict]:
    """The later J minus the earlier one, by pair; pairs whose J follows from the singles alone are left out.

    Raises:
        IvxError: the players differ.
    """
    if [p.address for p in before.players] != [p.address for p in after.players]:
        names = f"{before.request.checkpoint} and {after.request.checkpoint}"
        raise IvxError(f"{names} have other players, so there is no difference of their pairs")
    mine, theirs = paired(after.samples, before.samples)
    here, there = ([found.values(metric, role=role) for role in ("effect", "control")] for found in (after, before))
    roles = (0, 1) if after.samples.control and before.samples.control else (0,)
    done = [text for text in here[0] if all(text in here[k] and text in there[k] for k in roles)]
    if not done:
        return {}
    first, *rest = (np.stack([here[k][text][mine] - there[k][text][theirs] for text in done]) for k in roles)
    view, groups = find(metric), after.samples.groups[mine]
    judged = verdicts(
        first,
        rest[0] if rest else None,
        floor=view.floor,
        shares=view.shares,
        groups=groups,
        seed=after.request.seed,
    )
    return dict(zip(done, judged, strict=True))


@dataclass(frozen=True)
class Accuracies:
    """How a checkpoint answers instructed prompts, in shares of samples: `answer`, its top token is the right one;
    `kind`, it is some answer of the task (None where those are not known); `preferred`, the right one is above the
    contrast's. `untold` is `answer` without the instruction."""

    answer: float
    kind: float | None
    preferred: float
    untold: float
    n: int


def accuracies_of(effects: Effects, vectors: Vectors | None = None) -> Accuracies:
    """The accuracies of the instructed runs; `vectors` hold the first tokens of the task's answers."""
    rows = rows_of(effects.table, role="told", site="", patch="")
    columns = numbers(rows)
    kind = None
    if vectors is not None:
        options = set(vectors.options)
        kind = float(np.mean([bool(ids) and ids[0] in options for ids in rows["top_ids"].to_pylist()]))
    return Accuracies(
        answer=level(columns, "followed") or 0.0,
        kind=kind,
        preferred=level(columns, "preference") or 0.0,
        untold=effects.level("followed") or 0.0,
        n=rows.num_rows,
    )


def _effects(found: Effects, role: str, site: str, metric: str) -> Values:
    rows = by_patch(found.table, role=role, site=site, samples=len(found.samples.rows))
    base, view = rows.pop("", None), find(metric)
    return {} if base is None else {patch: view.effect(part, base) for patch, part in rows.items()}
