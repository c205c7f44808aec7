"""One pair of tokens at one layer: what its samples show, behind the number that a strip is drawn by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.place import search
from ivx.analyses.place.result import Place
from ivx.analyses.place.search import CHOOSING, CONFIRMING, Pair, Reading, named, patch_of, there
from ivx.engine.address import STREAM
from ivx.patching.table import detail
from ivx.stats.intervals import mean_interval
from ivx.stats.metrics import find


class Mean(NamedTuple):
    """A mean with its 95 % interval; `n` samples of a finite value."""

    value: float
    low: float
    high: float
    n: int


class Look(NamedTuple):
    """A pair of tokens at a layer.

    Attributes:
        pair, layer, patch: where.
        confirmed: whether these are the samples that chose nothing.
        effect: the effect on them.
        controls: the same of each control, by name; while the place is chosen, of half of them.
        followed: the share that follows: untold, patched, told.
        detail: sample by sample, as `ivx.patching.table.detail`.
    """

    pair: Pair
    layer: int
    patch: str
    confirmed: bool
    effect: Mean
    controls: dict[str, Mean]
    followed: tuple[float, float, float]
    detail: list[dict[str, Any]]


def look(found: Place, pair: Pair, layer: int, metric: str) -> Look | None:
    """What the confirming samples show, or else those that chose; None where this was not tried."""
    patch = patch_of(layer, found.columns[pair.column], pair.source)
    reading = Reading(found.table, find(metric), samples=len(found.samples.rows))
    parts = found.parts
    confirmed = reading.has("effect", patch, parts.confirming)
    part = parts.confirming if confirmed else parts.choosing
    if not reading.has("effect", patch, part):
        return None
    beside, names = (parts.confirming, CONFIRMING) if confirmed else (parts.controlled, CHOOSING)
    asked = [name for name in there(names, found.samples) if reading.has(*named(name, patch), beside)]
    following = Reading(found.table, find("followed"), samples=len(found.samples.rows))

    def mean(values: Any, of: range) -> Mean:
        some = np.asarray(values)[None, :]
        groups = found.samples.groups[of.start : of.stop]
        low, high = mean_interval(some, seed=found.request.seed, groups=groups)
        finite = np.isfinite(some)
        value = float(some[finite].mean()) if finite.any() else float("nan")
        return Mean(value, float(low[0]), float(high[0]), int(finite.sum()))

    shares = [following.level(role, at, part) for role, at in (("effect", ""), ("effect", patch), ("told", ""))]
    return Look(
        pair,
        layer,
        patch,
        confirmed,
        mean(reading.effect("effect", patch, part), part),
        {name: mean(reading.effect(*named(name, patch), beside), beside) for name in asked},
        tuple(float(np.nanmean(one)) if np.isfinite(one).any() else float("nan") for one in shares),  # type: ignore[arg-type]
        _detail(found, patch, part, metric),
    )


def _detail(found: Place, patch: str, part: range, metric: str) -> list[dict[str, Any]]:
    table = found.table.filter(
        (pc.field("sample") >= part.start)
        & (pc.field("sample") < part.stop)
        & (pc.field("role") == "effect")
        & pc.is_in(pc.field("patch"), pa.array(["", patch]))
    ).sort_by("sample")
    some = replace(found.samples, rows=found.samples.rows[part.start : part.stop])
    shown = detail(table, some, site=STREAM, patch=patch, metric=metric)
    return [one | {"sample": one["sample"] + part.start} for one in shown]


def best_look(found: Place) -> tuple[Pair, int] | None:
    """The pair and the layer that are looked at first: the place, or what came nearest."""
    if found.best:
        return found.best[0].pair, found.best[0].layer
    panels = found.panels()
    if not panels:
        return None
    top = max(panels, key=lambda panel: (panel.pair.column not in search.sinks(panels), panel.score))
    return top.pair, top.layer
