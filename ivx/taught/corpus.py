"""What the adapters learn from: four English tasks, told in some of their wordings of some of their queries.

A quarter of the paraphrase families and a third of the queries are held out, by the hash of their text, so that
adapters of every seed are held to the same.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from ivx.tasks import catalogue
from ivx.tasks.english import FRAMES
from ivx.tasks.task import Pair, Task

TASKS = ("animal/colour", "animal/can-fly", "adjective/antonym", "adjective/comparative")
HELD_FAMILIES, HELD_QUERIES = 1 / 4, 1 / 3
"""Shares that are held out."""


class Row(NamedTuple):
    """A told prompt, the answer that was asked for, and that of the contrast task; each answer ends its line."""

    prompt: str
    answer: str
    other: str


@cache
def pairs() -> dict[str, Pair]:
    """The four pairs by the name of their task, which says what of it is held out."""
    frames = _first(FRAMES, HELD_FAMILIES)

    def held(task: Task, pair: Pair) -> Task:
        return replace(task, held_out=frames, unseen=_first(pair.queries, HELD_QUERIES))

    found = {name: catalogue.find(name) for name in TASKS}
    return {name: replace(pair, task=held(pair.task, pair)) for name, pair in found.items()}


def _first(texts: Iterable[str], share: float) -> frozenset[str]:
    """A share of some texts: the first in the order of their hashes."""
    ordered = sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest())
    return frozenset(ordered[: round(share * len(ordered))])


def fingerprint() -> str:
    """SHA-256 over every text of the four pairs and what of them is held out, 16 hexadecimal digits."""
    told = {name: pair.fingerprint for name, pair in pairs().items()}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


class Corpus:
    """Rows, drawn from one seeded stream."""

    def __init__(self, *, seed: int) -> None:
        self.random = random.Random(seed)
        self.wordings = {
            name: [wording.text for wording in pair.task.instructions if wording.family not in pair.task.held_out]
            for name, pair in pairs().items()
        }
        self.queries = {name: [q for q in pair.queries if q not in pair.task.unseen] for name, pair in pairs().items()}

    def told(self, wordings: int, queries: int) -> list[Row]:
        """Rows of so many wordings, each of a task that is drawn evenly, with so many queries for each."""
        rows = []
        for _ in range(wordings):
            name = self.random.choice(TASKS)
            pair, wording = pairs()[name], self.random.choice(self.wordings[name])
            for query in self.random.sample(self.queries[name], queries):
                prompt = pair.task.template.instructed(wording, field=pair.task.field, query=query)
                rows.append(Row(prompt, line(pair.task.answers[query]), line(pair.contrast.answers[query])))
        return rows


def line(answer: str) -> str:
    """An answer as it stands behind its prompt."""
    return f" {answer}\n"
