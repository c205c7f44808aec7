"""The search: which tokens are tried, on which queries, and which of them is chosen by what they do.

Everything here follows from a request and its finished rows, so that a stored run says what a running one does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ivx.engine.address import STREAM
from ivx.errors import IvxError
from ivx.patching.positions import Column, Places, taken, target_roles
from ivx.patching.roles import role_of, variant
from ivx.patching.table import numbers
from ivx.stats.intervals import Array
from ivx.stats.metrics import Metric
from ivx.tasks.sample import Sample
from ivx.tasks.samples import Samples
from ivx.vocabulary import SOURCE_WORDS, source_token

KEPT = 3
"""Pairs of tokens that are refined over all layers."""
SINK = 0.5
"""A position whose strongest control reaches this share of the best effect there is a sink."""
LEAST_SINK = 0.25
"""Of the search's largest effect: a control that moves the answer less makes no sink."""
NEAR = 0.9
"""The readers' layer is the first from which to the best one the effect stays above this share of the best's."""
CHOOSING, CONFIRMING = ("task", "random"), ("task", "random", "identity")
"""Controls of the coarse search, and of what is refined and confirmed. The first two tell a sink; the token fed alone
tells whether more than the token itself acts."""


class Parts(NamedTuple):
    """Which samples choose, those of them that controls are run on as well, and which confirm."""

    choosing: range
    controlled: range
    confirming: range


class Pair(NamedTuple):
    """A source token by its name, and a column of the bare prompt by its number."""

    source: str
    column: int


class Panel(NamedTuple):
    """What one pair does in the layers that are tried, on the choosing samples: means in the metric's unit.

    `control` is the strongest control's, `another` that of another task's and of random vectors alone, and `followed`
    the share that follows where the score is best.
    """

    pair: Pair
    layers: tuple[int, ...]
    effect: tuple[float, ...]
    control: tuple[float, ...]
    another: tuple[float, ...]
    followed: float

    @property
    def scores(self) -> Array:
        """Effect beyond the strongest control by layer; a control that moves away from the answer counts as 0."""
        return np.array(self.effect) - np.maximum(0.0, np.array(self.control))

    @property
    def best(self) -> int:
        """The index of the layer of the best score."""
        return int(np.argmax(np.nan_to_num(self.scores, nan=-np.inf)))

    @property
    def score(self) -> float:
        """The best score."""
        return float(self.scores[self.best])

    @property
    def layer(self) -> int:
        """The layer of the best score."""
        return self.layers[self.best]


def parts_of(samples: int, choosing: int) -> Parts:
    """The halves of so many samples; raises `IvxError` where there are too few to choose and confirm."""
    if samples < 4:
        raise IvxError(f"{samples} queries are too few to choose a place by some and confirm it by others: give 4")
    chosen = min(choosing, samples // 2)
    return Parts(range(chosen), range((chosen + 1) // 2), range(chosen, samples))


def sources_of(asked: str, samples: Samples) -> tuple[str, ...]:
    """The source tokens that are tried: those asked for, each token once, which every wording has."""
    if asked != "all":
        return (asked,)
    every = (*samples.rows, *samples.control)
    found: dict[tuple[int, ...], str] = {}
    for name in ("keyword", "before", *SOURCE_WORDS):
        try:
            found.setdefault(tuple(taken(name, sample) for sample in every), name)
        except IvxError:  # no task phrase, or nothing before it
            continue
    return tuple(found.values())


def source_label(name: str, rows: Sequence[Sample]) -> str:
    """A source token's name, and the other names of the same token."""
    same = [name]
    for other in SOURCE_WORDS:
        try:
            alike = other != name and all(taken(other, s) == taken(name, s) for s in rows)
        except IvxError:
            continue
        same += [other] if alike else []
    return " = ".join(source_token(one).label for one in same)


def roles_of(column: Column, sample: Sample) -> tuple[str, ...]:
    """The names of a column's token, the telling ones first; none where it has only a number."""
    length = len(sample.target)
    roles = target_roles(sample)
    order = ("mark", "cue", "field", "query", "first", "last")
    return tuple(name for name in order if name in roles and roles[name] % length == int(column.position) % length)


def position_name(column: Column, sample: Sample) -> str:
    """The position of a column as a request takes it."""
    return next(iter(roles_of(column, sample)), str(column.position))


def offset_name(column: Column, sample: Sample) -> str:
    """A column by its role, or else by its distance from the query or the cue."""
    if roles := roles_of(column, sample):
        return " = ".join(roles)
    length = len(sample.target)
    at, roles_at = int(column.position) % length, target_roles(sample)
    begin, end = sample.query_span
    if at < begin:
        return f"query−{begin - at}"
    cue = roles_at.get("cue", -1) % length
    return "…query" if at < end else f"cue−{cue - at}" if at < cue else f"last−{length - 1 - at}"


def behind(column: Column, sample: Sample) -> int:
    """How many tokens stand behind a column's in a bare prompt."""
    return len(sample.target) - 1 - int(column.position) % len(sample.target)


MOST_BEHIND = 64
"""Most tokens behind a place whose heads are looked at."""


def past_places(sample: Sample) -> Places:
    """The tokens behind each token up to the query's end, by name: `past3-1` is the prompt's last, seen from token 3.

    A name beyond a prompt's own tokens means the last of those, so that prompts of different length share the names.
    """
    length = len(sample.target)
    return {
        f"past{at}-{k}": -min(k, length - 1 - at)
        for at in range(min(sample.query_span[1], length - 1))
        for k in range(1, MOST_BEHIND + 1)
    }


def past(column: Column, rows: Sequence[Sample]) -> list[str]:
    """The tokens behind a column's, as addresses name them."""
    most = min(MOST_BEHIND, max(behind(column, sample) for sample in rows))
    at = int(column.position)
    return [f"past{at}-{k}" if at >= 0 else str(-k) for k in range(1, most + 1)]


def patch_of(layer: int, column: Column, source: str) -> str:
    """The patch that puts the state of a source token on a column's, in one layer."""
    return f"{STREAM}.{layer}@{column.position}~{source}"


class Reading:
    """The rows of a table in one metric: levels, and effects against the sample's own unpatched run."""

    def __init__(self, table: pa.Table, metric: Metric, *, samples: int) -> None:
        keys = pc.binary_join_element_wise(table["role"], table["patch"], "\n")
        code = pc.dictionary_encode(keys.combine_chunks())
        at, sample = code.indices.to_numpy(), table["sample"].to_numpy()
        names = code.dictionary.to_pylist()
        self._rows = {tuple(name.split("\n", 1)): k for k, name in enumerate(names)}
        self._there = np.zeros((len(names), samples), dtype=bool)
        self._level = np.full((len(names), samples), np.nan)
        self._there[at, sample] = True
        self._level[at, sample] = metric.measure(numbers(table))

    def has(self, role: str, patch: str, part: range) -> bool:
        """Whether all samples of a part have their row."""
        k = self._rows.get((role, patch))
        return k is not None and bool(self._there[k, part.start : part.stop].all())

    def level(self, role: str, patch: str, part: range) -> Array:
        """The metric itself of each sample of a part; NaN where a row is lacking or undefined."""
        k = self._rows.get((role, patch))
        return np.full(len(part), np.nan) if k is None else self._level[k, part.start : part.stop]

    def effect(self, role: str, patch: str, part: range) -> Array:
        """The effect on each sample of a part."""
        return self.level(role, patch, part) - self.level("effect", "", part)


def named(control: str, patch: str) -> tuple[str, str]:
    """Role and patch of a cell's rows with a control."""
    role = role_of(control)
    return role, variant(role, patch)


def there(controls: Sequence[str], samples: Samples) -> tuple[str, ...]:
    """Those of the controls that a task has."""
    return tuple(name for name in controls if name != "task" or samples.control)


def panel(
    reading: Reading,
    followed: Reading,
    pair: Pair,
    columns: Sequence[Column],
    *,
    layers: Sequence[int],
    parts: Parts,
    controls: Sequence[str],
    alone: bool,
) -> Panel | None:
    """One pair on the choosing samples, in those of the layers that are done; None while there are none.

    Args:
        controls: those of the coarse search.
        alone: whether the token fed alone counts as well, where it was run.
    """
    column, done = columns[pair.column], []
    for layer in layers:
        patch = patch_of(layer, column, pair.source)
        if reading.has("effect", patch, parts.choosing) and all(
            reading.has(*named(name, patch), parts.controlled) for name in controls
        ):
            done.append((layer, patch))
    if not done:
        return None
    effect = [_mean(reading.effect("effect", patch, parts.choosing)) for _, patch in done]
    another = [
        max(_mean(reading.effect(*named(name, patch), parts.controlled)) for name in controls) for _, patch in done
    ]
    control = another
    if alone:
        own = [_mean(reading.effect(*named("identity", patch), parts.controlled)) for _, patch in done]
        control = np.fmax(another, own).tolist()
    found = Panel(pair, tuple(layer for layer, _ in done), tuple(effect), tuple(control), tuple(another), 0.0)
    return found._replace(followed=_mean(followed.level("effect", done[found.best][1], parts.choosing)))


def _mean(values: Array) -> float:
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else float("nan")


def sinks(panels: Sequence[Panel]) -> tuple[int, ...]:
    """The columns where what is put there hardly counts: where the effect is largest beyond another task's vector and
    random ones of equal norm, these move the answer by half as much or more."""
    largest = max((max(np.nan_to_num(p.effect), default=0.0) for p in panels), default=0.0)
    found = []
    for column in dict.fromkeys(p.pair.column for p in panels):
        cells = [cell for p in panels if p.pair.column == column for cell in zip(p.effect, p.another, strict=True)]
        effect, control = max(cells, key=lambda cell: np.nan_to_num(cell[0] - max(0.0, cell[1]), nan=-np.inf))
        if control >= max(SINK * effect, LEAST_SINK * largest) and largest > 0:
            found.append(column)
    return tuple(found)


def ranked(panels: Sequence[Panel], *, away: Sequence[int]) -> list[Panel]:
    """The panels that may hold the place, the best first: those of no sink whose effect is beyond its control."""
    able = [p for p in panels if p.pair.column not in away and p.score > 0]
    return sorted(able, key=lambda p: -p.score)


def readers_layer(panel: Panel) -> int:
    """The layer whose readers are asked for: the first from which to the best one the effect is nearly as large."""
    at = panel.best
    while at and panel.effect[at - 1] >= NEAR * panel.effect[panel.best]:
        at -= 1
    return panel.layers[at]
