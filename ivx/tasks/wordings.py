"""Wordings: instructions of several tasks as tokens, each cut after the token whose state is read."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ivx.errors import TaskError
from ivx.tasks.encoder import Encoder
from ivx.tasks.task import Instruction, Task

LEAST_TASKS, LEAST_WORDINGS = 2, 10
"""Fewer tasks leave nothing to tell apart, fewer wordings of each too little to learn from."""


@dataclass(frozen=True)
class Wording:
    """One wording of one task; by causality the last of its `ids` has the state that it has in any longer prompt.

    `token` is that last token as the tokenizer writes it.
    """

    task: str
    text: str
    family: str
    ids: tuple[int, ...]
    token: str


def drawn(
    tasks: Sequence[Task], tokenizer: Any, *, each: int, families: int, position: str = "t_inst", seed: int = 0
) -> tuple[tuple[Wording, ...], tuple[str, ...]]:
    """The same number of wordings of every task, drawn the same for the same seed; and warnings about them.

    Args:
        each: wordings per task; fewer where some task has fewer.
        families: the least number of paraphrase families that a task's wordings must come from.
        position: `t_inst`, `keyword`, `before` (the keyword), `first` or an index into the instruction's tokens.

    Raises:
        TaskError: fewer than 2 tasks, 10 wordings or `families` families; one wording that stands for two tasks.
    """
    if len(tasks) < LEAST_TASKS:
        named = ", ".join(task.name for task in tasks)
        raise TaskError(f"only {named} is named: separability needs at least {LEAST_TASKS} tasks to tell apart")
    known: dict[str, str] = {}
    distinct: list[list[Instruction]] = []
    for task in tasks:
        own: dict[str, Instruction] = {}
        for instruction in task.instructions:
            own.setdefault(folded(instruction.text), instruction)
        for text in own:
            if known.setdefault(text, task.name) != task.name:
                raise TaskError(
                    f"the wording {text!r:.100} stands for both {known[text]} and {task.name}: give each task its own "
                    "(in a file, in the column contrast_instruction)"
                )
        if len(own) < LEAST_WORDINGS:
            raise TaskError(
                f"{task.name} has {len(own)} wordings: separability needs at least {LEAST_TASKS} tasks of "
                f"{LEAST_WORDINGS} wordings each"
            )
        distinct.append(list(own.values()))
    count = min(each, *map(len, distinct))
    encoder = Encoder(tokenizer)
    found: list[Wording] = []
    for task, instructions in zip(tasks, distinct, strict=True):
        some = random.Random(f"{task.name} {seed}").sample(instructions, count)
        of = len({instruction.family for instruction in some})
        if of < families:
            raise TaskError(
                f"the {count} wordings of {task.name} come from {of} paraphrase families, and {families} folds need as "
                "many: ask for fewer folds or more wordings"
            )
        found += [_cut(task.name, instruction, encoder, position) for instruction in some]
    fewer = (f"{count} of the {each} wordings asked for: some task has no more",) if count < each else ()
    return tuple(found), fewer


def folded(text: str) -> str:
    """A text in lower case with single spaces: two that are equal in this form are one wording."""
    return " ".join(text.lower().split())


def _cut(task: str, instruction: Instruction, encoder: Encoder, position: str) -> Wording:
    text, ids = instruction.text, encoder.ids(instruction.text)
    if position == "t_inst":
        end = len(ids)
    elif position == "first":
        end = min(encoder.leading + 1, len(ids))
    elif position in ("keyword", "before"):
        if instruction.phrase is None:
            raise TaskError(f"the wordings of {task} do not mark a task phrase, so there is no keyword: use t_inst")
        end = encoder.span(text, *instruction.phrase)[1] - (position == "before")
        if end <= encoder.leading:
            raise TaskError(f"the instruction {text!r:.100} begins with its keyword: no token stands before it")
    else:
        index = int(position)
        if not -len(ids) <= index < len(ids):
            raise TaskError(f"position {position}: the instruction {text!r:.100} has {len(ids)} tokens")
        end = index % len(ids) + 1
    token = str(encoder.tokenizer.convert_ids_to_tokens([ids[end - 1]])[0])
    return Wording(task, text, instruction.family, ids[:end], token)
