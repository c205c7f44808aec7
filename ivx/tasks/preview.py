"""Previews: a task's prompts as the tokens a checkpoint will see, before anything is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ivx.tasks.encoder import Encoder
from ivx.tasks.samples import Samples
from ivx.tasks.task import Pair, Task
from ivx.tasks.way import Way

FIRST = 5
"""How many of a file's queries, wordings and left-out rows are told."""
SHOWN = 4
"""Demonstrations of a task that has no instruction."""


def listing(tasks: dict[str, Task]) -> str:
    """One line per task: name, contrast, queries, wordings."""
    width = max(map(len, tasks))
    return "\n".join(
        f"{name:{width}}  against {task.contrast:{width}}  {len(task.answers):4} queries  "
        f"{len(task.instructions):4} wordings"
        for name, task in tasks.items()
    )


def way_of(pair: Pair, way: Way) -> Way:
    """How a task is previewed: as asked for, or where it has no instruction by as many demonstrations as can be."""
    if pair.task.instructions or way.demonstrations:
        return way
    return replace(way, demonstrations=min(SHOWN, max(1, len(pair.queries) - 2)))


def described(pair: Pair) -> str:
    """What a user's file holds: its first queries with both answers, its first wordings, what was left out and why."""
    task = pair.task
    lines = [
        f"{task.name} against {pair.contrast.name}: {len(pair.queries)} queries, {len(task.instructions)} wordings",
        *(
            f"  {query!r:.100}: {task.answers[query]!r:.60} against {pair.contrast.answers[query]!r:.60}"
            for query in pair.queries[:FIRST]
        ),
        *(f"  {wording.text!r:.100}" for wording in task.instructions[:FIRST]),
        *(f"  note: {note}" for note in pair.notes),
        *(f"  left out: {reason}" for reason in pair.left_out[:FIRST]),
    ]
    if len(pair.left_out) > FIRST:
        lines.append(f"  left out: {len(pair.left_out) - FIRST} more rows")
    return "\n".join(lines)


def preview(pair: Pair, samples: Samples, tokenizer: Any) -> str:
    """The three prompts of each sample with [T_inst], {keyword} and (first) marked, and the answer tokens."""
    encoder = Encoder(tokenizer)
    words = encoder.tokenizer.convert_ids_to_tokens
    lines = [f"{pair.task.name} against {pair.contrast.name}"]
    for s in samples.rows:
        source = [repr(word)[1:-1] for word in words(list(s.source))]
        if s.keyword is not None and s.keyword != s.t_inst:
            source[s.keyword] = "{" + source[s.keyword] + "}"
        source[s.t_inst] = f"[{source[s.t_inst]}]"
        target = [repr(word)[1:-1] for word in words(list(s.target))]
        target[s.first] = f"({target[s.first]})"
        lines += [
            f"  I   {' '.join(source)}",
            f"  IT  {' '.join(repr(word)[1:-1] for word in words(list(s.instructed)))}",
            f"  TO  {' '.join(target)}",
            f"      answer {s.answer!r}: {_tokens(encoder, s.answer, s.answer_id, s.answer_ids)}; "
            f"contrast {s.contrast!r}: {_tokens(encoder, s.contrast, s.contrast_id, s.contrast_ids)}",
        ]
    lines.append("  [T_inst]  {keyword}  (first patched token)")
    return "\n".join([*lines, *(f"  note: {warning}" for warning in samples.warnings)])


def _tokens(encoder: Encoder, answer: str, token: int, several: Sequence[int]) -> str:
    """The token that an answer is read by, or those that are summed."""
    if several:
        words = encoder.tokenizer.convert_ids_to_tokens(list(several))
        return f"sum of tokens {', '.join(f'{i} {word!r}' for i, word in zip(several, words, strict=True))}"
    return f"token {token} ({encoder.tokenizer(answer, add_special_tokens=False)['input_ids'][0]} without the space)"
