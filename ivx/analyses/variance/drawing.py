"""What is drawn of a variance: every wording with every query, and for what the mean holds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ivx.charts.figure import printed
from ivx.charts.heatmap import Tile, heatmap
from ivx.charts.numbers import scale_of, signed
from ivx.charts.palette import LIGHT, Palette
from ivx.charts.ranges import Range, ranges_chart, ranges_figure
from ivx.formats.plotted import Plotted
from ivx.stats.metrics import find

if TYPE_CHECKING:
    from ivx.analyses.variance.request import VarianceRequest
    from ivx.stats.intervals import Array

POPULATION = {
    "queries": "other queries, these wordings",
    "wordings": "other wordings, these queries",
    "both": "other wordings and queries",
}
"""For what an interval holds, in words."""
PART = {"wording": "wording", "query": "query", "answer": "answer", "rest": "wording × query"}
"""What an effect varies by, in words."""
LONGEST = 34
"""Characters of a wording that name a row."""
COLUMN = 34
ROW = 30


class Varied(Protocol):
    """A result that is drawn."""

    @property
    def patch(self) -> str: ...
    @property
    def request(self) -> VarianceRequest: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def wordings(self) -> list[str]: ...
    @property
    def queries(self) -> list[str]: ...
    @property
    def answers(self) -> list[str]: ...
    def effects(self, metric: str) -> Array | None: ...
    def held(self, metric: str) -> Any: ...
    def by_answer(self, metric: str) -> Sequence[Any]: ...


def named(wording: str) -> str:
    """A wording as the name of a row."""
    text = " ".join(wording.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def order(found: Varied) -> list[int]:
    """The queries as they stand, those of one answer beside each other, the most frequent answer first."""
    answers = found.answers
    first = {answer: (-answers.count(answer), answers.index(answer)) for answer in answers}
    return sorted(range(len(answers)), key=lambda k: (*first[answers[k]], k))


def grid(found: Varied, metric: str, p: Palette, *, row: int = ROW) -> dict[str, Any] | None:
    """Wordings down, queries across; None until all are done."""
    effects, view = found.effects(metric), find(metric)
    if effects is None:
        return None
    wordings, queries, answers, columns = found.wordings, found.queries, found.answers, order(found)
    tiles = []
    for w, wording in enumerate(wordings):
        for column, q in enumerate(columns):
            value = float(effects[w, q])
            told = f"{named(wording)}, {queries[q]} ({answers[q]}): "
            # Rows of a map count upward.
            at = len(wordings) - 1 - w
            if math.isfinite(value):
                tiles.append(Tile(at, column, value, "ok", f"{told}{signed(value, 2)} {view.unit}"))
            else:
                tiles.append(Tile(at, column, math.nan, "undefined", f"{told}undefined"))
    return heatmap(
        tiles,
        [queries[q] for q in columns],
        layers=len(wordings),
        scale=scale_of([tile.value for tile in tiles]),
        palette=p,
        row=row,
        names=[named(wording) for wording in reversed(wordings)],
        alt_text=f"Effects of {len(wordings)} wordings by {len(queries)} queries",
    )


def ranges(found: Varied, metric: str) -> list[Range]:
    """The mean for each population, and each answer's where several queries have it."""
    held = found.held(metric)
    if held is None:
        return []
    told = [Range(POPULATION[new], one.mean, one.low, one.high, strong=True) for new, one in held.mean.items()]
    return told + [
        Range(f"answer {one.name}", one.mean, one.low, one.high, f"{one.n} queries")
        for one in found.by_answer(metric)
        if math.isfinite(one.low)
    ]


def means_chart(found: Varied, metric: str, p: Palette) -> dict[str, Any]:
    """For what the mean holds, and by answer."""
    return ranges_chart(
        ranges(found, metric), unit=find(metric).unit, palette=p, alt_text="The mean effect for each population"
    )


def figures(found: Varied, metric: str) -> dict[str, dict[str, Any]]:
    """Both as they would be printed."""
    view, spec = find(metric), grid(found, metric, LIGHT)
    drawn = {}
    if spec is not None:
        title = f"Every wording with every query: {view.label}"
        drawn["grid"] = printed(spec, title=title, unit=view.unit, width=COLUMN * found.shape[1])
    told = "black: the mean, for queries or wordings that were not asked; blue: each answer's queries, over wordings"
    if some := ranges(found, metric):
        drawn["means"] = ranges_figure(
            some, title=f"For what the mean holds: {view.label}", subtitle=told, unit=view.unit
        )
    return drawn


def drawn(found: Varied, metric: str) -> Iterator[Plotted]:
    """What the figures show, a number at a time."""
    view, effects, held = find(metric), found.effects(metric), found.held(metric)
    if effects is None:
        return
    about: dict[str, Any] = {"what": metric, "unit": view.unit}
    for w, wording in enumerate(found.wordings):
        for q, query in enumerate(found.queries):
            yield Plotted(
                "grid", found.patch, f"{wording} | {query}", found.request.layer, float(effects[w, q]), **about
            )
    if held is None:
        return
    for new, one in held.mean.items():
        beside = held.beyond.get(new)
        control = None if beside is None else one.mean - beside.mean
        yield Plotted(
            "means", found.patch, POPULATION[new], found.request.layer, one.mean, one.low, one.high,
            control=control, state=held.state if new == "both" else "", n=found.shape[0] * found.shape[1], **about,
        )  # fmt: skip
    for answer in found.by_answer(metric):
        if math.isfinite(answer.low):
            yield Plotted(
                "means", found.patch, f"answer {answer.name}", found.request.layer,
                answer.mean, answer.low, answer.high, n=answer.n, **about,
            )  # fmt: skip
