"""Demonstrations: solved queries that show a task where an instruction would name it.

The source run is demonstrations and a dummy query, so that its last token is about to answer: its state is the *task
vector* of Hendel et al. (arXiv 2310.15916). Queries are drawn apart for each measured query, which is never among them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from ivx.errors import TaskError
from ivx.tasks.spelling import spelled, usual
from ivx.tasks.task import Task
from ivx.tasks.way import Way


class Shown(NamedTuple):
    """Demonstrations as text, and the dummy query that follows them in the source run."""

    text: str
    dummy: str


def draw(queries: Sequence[str], *, count: int, without: str, seed: str) -> tuple[str, ...]:
    """The queries of `count` demonstrations and, last, the dummy; never the one that is measured.

    Raises:
        TaskError: there are too few.
    """
    free = sorted(set(queries) - {without})
    if len(free) < count + 1:
        raise TaskError(f"{count} demonstrations need {count + 2} queries, and there are {len(free) + 1}: show fewer")
    return tuple(random.Random(seed).sample(free, count + 1))


def shown(task: Task, queries: Sequence[str], *, way: Way, unpaired: bool = False) -> Shown:
    """A task's demonstrations of all these queries but the last, which is the dummy.

    Args:
        unpaired: each answer stands behind the query before its own, so that only its form and its kind are shown.
    """
    *pairs, dummy = queries
    answers = [task.answers[query] for query in pairs]
    if unpaired:
        answers = answers[1:] + answers[:1]
    lines = []
    for query, answer in zip(pairs, answers, strict=True):
        asked = way.lead(task.template, field=task.field_of(query), query=query)
        lines.append(asked + spelled(answer, usual(asked)))
    return Shown("\n".join(lines), dummy)
