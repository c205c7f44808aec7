"""The result of a behaviour request: every text, and what it says of following, by task and way of asking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.base import Result
from ivx.analyses.behaviour.request import DEFAULT, SHORT, BehaviourRequest
from ivx.errors import IvxError
from ivx.formats.plotted import Plotted
from ivx.stats.following import Following, Share
from ivx.tasks.written import opening

TABLE = pa.schema(
    [
        ("task", pa.string()),
        ("way", pa.string()),
        ("told", pa.bool_()),
        ("sample", pa.int32()),
        ("query", pa.string()),
        ("answer", pa.string()),
        ("contrast", pa.string()),
        ("prompt", pa.string()),
        ("wrote", pa.string()),
        ("ended", pa.bool_()),
        ("followed", pa.bool_()),
        ("option", pa.string()),
        ("preferred", pa.bool_()),
        ("rank", pa.int32()),
    ]
)
"""One row per task × way × told or untold × query.

`wrote` is the text, cut unless it `ended`; `followed`, whether it begins with the whole answer; `option`, the longest
of all the task's answers that it begins with, null where there is none; `preferred`, whether the answer's first token
is likelier than the contrast's; `rank`, that token's. Of long prompts the end is kept.
"""
KEY = ("task", "way", "told", "sample")
TOPS = 5
"""Most kinds of continuations that are listed."""


@dataclass(frozen=True)
class Asking:
    """One task in one way of asking, as it was put to the model.

    Attributes:
        samples: how many queries were asked; 0 where the way was refused.
        spelling: how the answer is written there.
        notes: what must be known of the samples, a sentence each.
        refused: why this task cannot be asked in this way; empty where it can.
    """

    task: str
    contrast: str
    way: str
    samples: int
    spelling: str
    notes: tuple[str, ...] = ()
    refused: str = ""


@dataclass(frozen=True)
class Wrote:
    """What was written in one kind of runs, told or untold.

    Attributes:
        followed: share whose text begins with the whole answer.
        exact: share where that is also the longest of the task's answers that it begins with.
        preferred: share that prefers the answer's first token to the contrast's.
        rank: median rank of the answer's first token.
        instead: how texts begin that do not follow, and how many do so, the commonest first.
    """

    followed: Share
    exact: Share
    preferred: Share
    rank: float
    instead: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class BehaviourCell:
    """One task in one way of asking, told and untold.

    `follows` says whether the instruction is followed: more do so told than untold, and more than a floor, beyond
    chance; by `query` and `filler` also more than the told prompt does without its instruction alone.
    """

    asking: Asking
    told: Wrote
    bare: Wrote
    following: Following
    follows: bool


@dataclass(frozen=True, kw_only=True)
class Behaviour(Result[BehaviourRequest]):
    """A result: a row for every text; `asked` holds every task in every way, refused ones too."""

    asked: tuple[Asking, ...]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks, in their order."""
        return tuple(dict.fromkeys(asking.task for asking in self.asked))

    @property
    def ways(self) -> tuple[str, ...]:
        """The ways of asking, in their order."""
        return self.request.every

    @cached_property
    def cells(self) -> dict[tuple[str, str], BehaviourCell]:
        """Every finished cell by task and way."""
        found: dict[tuple[str, str], BehaviourCell] = {}
        for asking in self.asked:
            told, bare = (self.texts(asking.task, asking.way, told=told) for told in (True, False))
            if asking.samples and told.num_rows == bare.num_rows == asking.samples:
                hits = [rows["followed"].to_pylist() for rows in (told, bare)]
                following = Following.counted(*hits)
                whole = found.get((asking.task, "prompt")) if asking.way in SHORT else None
                follows = following.follows and (asking.way not in SHORT or (whole is not None and whole.follows))
                cell = BehaviourCell(asking, _wrote(told), _wrote(bare), following, follows)
                found[asking.task, asking.way] = cell
        return found

    def asking(self, task: str, way: str) -> Asking:
        """How a task was asked in a way; raises `IvxError` where it was not."""
        found = next((one for one in self.asked if (one.task, one.way) == (task, way)), None)
        if found is None:
            raise IvxError(f"{task} was not asked by {way} here: there are {', '.join(self.tasks)}")
        return found

    def texts(self, task: str, way: str, *, told: bool) -> pa.Table:
        """The rows of one cell's told or untold runs, by query."""
        chosen = (pc.field("task") == task) & (pc.field("way") == way) & (pc.field("told") == told)
        return self.table.filter(chosen).sort_by("sample")

    def recommended(self, task: str) -> str | None:
        """The way to ask a task in: the default one, unless another is followed more beyond chance.

        Where the default is not followed, or another one more by a paired interval above 0, it is the one of those with
        the highest lower end; of ways that are alike in this the first counts. None where the task is followed in no
        way.
        """
        return self._recommended.get(task)

    @cached_property
    def _recommended(self) -> dict[str, str | None]:
        return {task: self._best(task) for task in self.tasks}

    def _best(self, task: str) -> str | None:
        mine = {way: cell for (name, way), cell in self.cells.items() if name == task and cell.follows}
        if DEFAULT in mine:
            more = {way: cell for way, cell in mine.items() if self._gained(task, way).low > 0}
            mine = more or {DEFAULT: mine[DEFAULT]}
        return max(mine, key=lambda way: mine[way].told.followed.low, default=None)

    def _gained(self, task: str, way: str) -> Share:
        """How many more follow in a way than in the default one when told, over the queries that both were asked."""
        usual, other = (
            dict(zip(rows["query"].to_pylist(), rows["followed"].to_pylist(), strict=True))
            for rows in (self.texts(task, name, told=True) for name in (DEFAULT, way))
        )
        both = [query for query in usual if query in other]
        if not both:
            return Share(0.0, -1.0, 1.0)
        return Following.counted([other[query] for query in both], [usual[query] for query in both]).difference

    @property
    def figure_names(self) -> tuple[str, ...]:
        """The ways by tasks."""
        return ("behaviour",)

    def figures(self, metric: str = "contrast") -> dict[str, dict[str, Any]]:
        """The share that follows by task and way as it would be printed, a Vega-Lite spec; ignores the metric."""
        from ivx.charts.palette import LIGHT
        from ivx.charts.ways import printed_ways, ways_chart

        spec = ways_chart(self.squares(), tasks=self.tasks, ways=self.ways, palette=LIGHT)
        title = f"{self.receipt['checkpoint']['name']}: share that does what it is told, by task and way of asking"
        return {"behaviour": printed_ways(spec, title=title, ways=len(self.ways))}

    def squares(self) -> list[Any]:
        """The cells as a picture shows them."""
        from ivx.charts.ways import Square

        found = []
        for asking in self.asked:
            cell = self.cells.get((asking.task, asking.way))
            if cell is None:
                state = "refused" if asking.refused else "empty"
                found.append(Square(asking.task, asking.way, state=state, says=asking.refused))
                continue
            best = self.recommended(asking.task) == asking.way
            state = "follows" if cell.follows else "not"
            shares = (cell.told.followed, cell.bare.followed)
            found.append(Square(asking.task, asking.way, state, *shares, n=asking.samples, best=best))
        return found

    def drawn(self, metric: str = "contrast") -> Iterator[Plotted]:
        """What the figures show, a number at a time (`ivx.formats.plotted`); ignores the metric. The mean is the
        share that follows told, its control the share that does so untold."""
        for cell in self.cells.values():
            asked, told = cell.asking, cell.told.followed
            yield Plotted(
                "behaviour", f"{asked.task} by {asked.way}", f"{asked.task}, {asked.way}", None, *told,
                control=cell.bare.followed.value, state="ok" if cell.follows else "zero", n=asked.samples,
                what="follows", unit="share",
            )  # fmt: skip

    def summary(self, metric: str = "contrast") -> dict[str, Any]:
        """The receipt, every cell, and the recommended way of each task; ignores the metric."""
        return {
            **self.receipt,
            "tasks": list(self.tasks),
            "ways": list(self.ways),
            "recommended": {task: self.recommended(task) for task in self.tasks},
            "cells": [_flat(cell) for cell in self.cells.values()],
            "refused": [{"task": one.task, "way": one.way, "reason": one.refused} for one in self.asked if one.refused],
        }


def _wrote(rows: pa.Table) -> Wrote:
    n = rows.num_rows
    told = {name: rows[name].to_pylist() for name in ("wrote", "followed", "option", "answer", "preferred")}
    exact = [option == answer for option, answer in zip(told["option"], told["answer"], strict=True)]
    other = (opening(text) for text, hit in zip(told["wrote"], told["followed"], strict=True) if not hit)
    return Wrote(
        followed=Share.of(sum(told["followed"]), n),
        exact=Share.of(sum(exact), n),
        preferred=Share.of(sum(told["preferred"]), n),
        rank=float(np.median(rows["rank"].to_numpy())),
        instead=tuple(Counter(other).most_common(TOPS)),
    )


def _flat(cell: BehaviourCell) -> dict[str, Any]:
    def share(of: Share) -> dict[str, float]:
        return dict(of._asdict())

    def wrote(of: Wrote) -> dict[str, Any]:
        shares = {name: share(getattr(of, name)) for name in ("followed", "exact", "preferred")}
        return {**shares, "rank": of.rank, "instead": [list(one) for one in of.instead]}

    asking = {name: value for name, value in asdict(cell.asking).items() if name != "refused"}
    return {
        **asking,
        "notes": list(cell.asking.notes),
        "follows": cell.follows,
        "told": wrote(cell.told),
        "bare": wrote(cell.bare),
        "difference": share(cell.following.difference),
    }
