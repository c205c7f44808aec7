"""Tellings: what the run of a query is told: an instruction, demonstrations, or what a control puts in their place."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from ivx.errors import TaskError
from ivx.tasks import demonstrations
from ivx.tasks.sample import Telling
from ivx.tasks.task import Instruction, Pair, Task, neutral
from ivx.tasks.way import Way

OTHERS = ("task2", "task3")
"""Controls that tell further tasks of other queries."""
NOTHING = "no demonstrations"


class Tellings:
    """What each query's runs are told.

    Args:
        draw: draws the wordings of the task and of the control task, query by query. What came later is drawn apart,
            so that samples stay what they were.
        controls: as in `ivx.tasks.samples.build`.
    """

    def __init__(
        self,
        pair: Pair,
        way: Way,
        wordings: Sequence[Instruction],
        queries: Sequence[str],
        *,
        draw: random.Random,
        seed: int,
        controls: Collection[str],
    ) -> None:
        self.pair, self.way, self.seed, self.controls = pair, way, seed, controls
        self._wordings, self._queries, self._draw = wordings, queries, draw
        # A file of one column of wordings tells both tasks by the same ones: that is no control.
        if "counter" in controls and not way.demonstrations and pair.contrast.instructions == pair.task.instructions:
            raise TaskError(
                f"the control counter tells the contrast task, and {pair.contrast.name} has no wordings of its own: "
                "give them in a column contrast_instruction, ask by demonstrations, or leave this control out"
            )
        self.others = pair.others[: sum(name in OTHERS for name in controls)]

    def of(self, query: str) -> dict[str, Telling]:
        """By the field of `Samples`: `rows`, and the controls that there are."""
        return self._shown(query) if self.way.demonstrations else self._instructed(query)

    def another(self, task: Task, query: str) -> Telling:
        """The telling of another task."""
        if self.way.demonstrations:
            return self._demonstrated(task, tuple(task.answers), query)
        return self._worded(task, random.Random(f"{task.name} {query} {self.seed}"))

    def _worded(self, task: Task, draw: random.Random) -> Telling:
        """Another task's instruction: one that is drawn, or where all are told by one wording, its own of that number
        (counted round, where it has fewer)."""
        told = task.instructions
        return Telling(draw.choice(told) if self.way.wording is None else told[self.way.wording % len(told)])

    def _instructed(self, query: str) -> dict[str, Telling]:
        found = {"rows": Telling(self._draw.choice(self._wordings))}
        if self.pair.control:
            found["control"] = self._worded(self.pair.control, self._draw)
        if "neutral" in self.controls:
            found["neutral"] = Telling(neutral(self.pair.task.template))
        if "counter" in self.controls:
            found["counter"] = self.another(self.pair.contrast, query)
        return found

    def _shown(self, query: str) -> dict[str, Telling]:
        pair = self.pair
        found = {"rows": self._demonstrated(pair.task, self._queries, query)}
        if pair.control:
            found["control"] = self.another(pair.control, query)
        if "neutral" in self.controls:
            dummy = found["rows"].dummy
            found["neutral"] = Telling(Instruction("", family=NOTHING), dummy)
        if "counter" in self.controls:
            # The same queries and the same dummy as the task's own: they differ in the answers alone.
            found["counter"] = self._demonstrated(pair.contrast, self._queries, query, named=pair.task.name)
        if "unpaired" in self.controls:
            found["unpaired"] = self._demonstrated(pair.task, self._queries, query, unpaired=True)
        return found

    def _demonstrated(
        self, task: Task, queries: Sequence[str], query: str, *, named: str = "", unpaired: bool = False
    ) -> Telling:
        seed = f"{named or task.name} {query} {self.seed}"
        drawn = demonstrations.draw(queries, count=self.way.demonstrations, without=query, seed=seed)
        shown = demonstrations.shown(task, drawn, way=self.way, unpaired=unpaired)
        return Telling(Instruction(shown.text, family="demonstrations"), (shown.dummy, task))
