"""The text the embedded family learns from, made from the facts by a seeded generator.

A row is its tokens and a loss weight for each. The base corpus tells facts, shows query-only prompts with the answer
of a random task (so that the bare prompt is in distribution and its answer open) and lone instructions, but never an
instruction with a query. Fine-tuning rows join the two.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from ivx.tasks.task import Instruction, Task
from ivx.tasks.tiny import (
    DETERMINERS,
    FRAMES,
    HELD_OUT_DETERMINERS,
    HELD_OUT_FRAMES,
    KEYWORDS,
    tasks,
    wordings,
)

SENTENCES = (
    "the {keyword} of {query} is {answer} .",
    "{query} has {keyword} {answer} .",
    "{answer} is the {keyword} of {query} .",
    "{domain} {query} : {keyword} {answer} .",
    "what is the {keyword} of {query} ? {answer} .",
)
PROMPT_WEIGHT = 0.1
"""Loss weight of a fine-tuning row's tokens before the answer."""


@dataclass(frozen=True)
class Row:
    """One training row: prompt text, and the answer that follows it (none for running text)."""

    prompt: str
    answer: str = ""
    other: str = ""


class Corpus:
    """Rows of every kind, drawn from one seeded stream."""

    def __init__(self, *, seed: int, ending: str = "") -> None:
        self.random = random.Random(seed)
        self.tasks: dict[str, Task] = tasks(ending)
        self.wordings: dict[str, list[Instruction]] = {
            name: wordings(
                name,
                frames=FRAMES[:-HELD_OUT_FRAMES],
                determiners=DETERMINERS[:-HELD_OUT_DETERMINERS],
                ending=ending,
            )
            for name in self.tasks
        }
        self.seen = {name: sorted(set(t.answers) - t.unseen) for name, t in self.tasks.items()}
        self.facts = [(name, query) for name, t in self.tasks.items() for query in t.answers]

    def sentence(self) -> str:
        """One fact in one of several forms, the attribute named by one of its keywords."""
        name, query = self.random.choice(self.facts)
        keyword = self.random.choice(KEYWORDS[name]).replace("|", "")
        return self.random.choice(SENTENCES).format(
            keyword=keyword, query=query, answer=self.tasks[name].answers[query], domain=self.tasks[name].field
        )

    def open_prompt(self) -> Row:
        """A query-only prompt, answered for a random task of its domain."""
        name, query = self.random.choice(self.facts)
        task = self.tasks[name]
        return Row(task.template.target(field=task.field, query=query, form="prompt"), task.answers[query])

    def lone_instruction(self) -> Row:
        """An instruction with nothing after it."""
        return Row(self.random.choice(self.wordings[self.random.choice(list(self.tasks))]).text)

    def instructed(self) -> Row:
        """Instruction, query and answer, balanced over tasks; `other` is the contrast task's answer."""
        name = self.random.choice(list(self.tasks))
        task = self.tasks[name]
        query = self.random.choice(self.seen[name])
        text = self.random.choice(self.wordings[name]).text
        others = [t for n, t in self.tasks.items() if t.field == task.field and n != name and query in t.answers]
        return Row(
            task.template.instructed(text, field=task.field, query=query),
            task.answers[query],
            self.random.choice(others).answers[query],
        )
