"""Tasks: one instruction in many wordings, and the same queries with the answer each instruction asks for."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from ivx.tasks.prompt import Template


@dataclass(frozen=True)
class Instruction:
    """One wording. Wordings of one `family` (paraphrase family) never stand on both sides of a probe's split.

    `phrase` is the character span of the words that name the task; its last token is the *keyword*.
    """

    text: str
    family: str
    phrase: tuple[int, int] | None = None


@dataclass(frozen=True)
class Task:
    """An instruction's rephrasings and its answer to every query.

    `contrast` names the task that asks something else of the same queries. `held_out` holds the paraphrase families,
    and `unseen` the queries, that a checkpoint of the embedded family never met together with this instruction.
    `fields` has the field of each query that stands under another than `field`.
    """

    name: str
    field: str
    instructions: tuple[Instruction, ...]
    answers: Mapping[str, str]
    contrast: str
    collection: str
    template: Template
    held_out: frozenset[str] = frozenset()
    unseen: frozenset[str] = frozenset()
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict)  # `field` is a name of its own here

    def __post_init__(self) -> None:
        for name in ("answers", "fields"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def field_of(self, query: str) -> str:
        """What stands before a query in its prompt."""
        return self.fields.get(query, self.field)

    @cached_property
    def content(self) -> dict[str, Any]:
        """All of the task that a result can depend on, ready for JSON; its name seeds the draw of samples."""
        return {
            "name": self.name,
            "field": self.field,
            "instructions": [asdict(instruction) for instruction in self.instructions],
            "answers": dict(self.answers),
            "template": asdict(self.template),
            "held_out": sorted(self.held_out),
            "unseen": sorted(self.unseen),
            **({"fields": dict(self.fields)} if self.fields else {}),
        }

    @property
    def options(self) -> tuple[str, ...]:
        """The distinct answers the task can give, sorted."""
        return tuple(sorted(set(self.answers.values())))


def neutral(template: Template) -> Instruction:
    """The template's sentence that asks for nothing, as a wording; its last word stands for a task phrase."""
    last = re.findall(r"\w+", template.neutral)[-1]
    start = template.neutral.rindex(last)
    return Instruction(template.neutral, family="neutral", phrase=(start, start + len(last)))


@dataclass(frozen=True)
class Pair:
    """A contrastive pair: the queries both tasks answer differently, and a task of other queries as control.

    `others` are further tasks of other queries, for further controls. `left_out` names the rows of a user's file that
    ask nothing that can be measured, each with its reason; `notes` are sentences on how the file was read.
    """

    task: Task
    contrast: Task
    control: Task | None = field(default=None, compare=False)
    others: tuple[Task, ...] = field(default=(), compare=False)
    left_out: tuple[str, ...] = field(default=(), compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every text of its tasks, 16 hexadecimal digits: the same wherever a user's file lies."""
        return self.fingerprint_with(0)

    def fingerprint_with(self, others: int) -> str:
        """The fingerprint with that of so many of `others`."""
        every = (self.task, self.contrast, self.control, *self.others[:others])
        told = [None if task is None else task.content for task in every]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def cased(self) -> bool:
        """Whether case tells the answers: in most queries it alone tells query, answer and contrast apart, or two of
        them. Such answers are measured as they are given, and in no other case."""
        told = [{query, self.task.answers[query], self.contrast.answers[query]} for query in self.queries]
        return sum(len({text.casefold() for text in one}) < len(one) for one in told) * 2 > len(told)

    @property
    def queries(self) -> tuple[str, ...]:
        """Queries whose two answers differ, sorted."""
        shared = set(self.task.answers) & set(self.contrast.answers)
        return tuple(sorted(q for q in shared if self.task.answers[q] != self.contrast.answers[q]))


def fingerprint(tasks: Sequence[Task]) -> str:
    """SHA-256 over names and wordings of several tasks, 16 hexadecimal digits."""
    told = [[task.name, task.contrast, [asdict(instruction) for instruction in task.instructions]] for task in tasks]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
