"""Samples: a contrastive pair and a tokenizer become token ids, positions and answer tokens."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ivx.errors import IvxError, TaskError
from ivx.stats.intervals import clusters
from ivx.tasks.encoder import Encoder
from ivx.tasks.prompt import FORMATS
from ivx.tasks.task import Instruction, Pair, Task, neutral

SPLITS = ("all", "seen", "held-out")
"""`held-out`: wordings of held-out frames with queries kept out of training; `seen`: neither."""


@dataclass(frozen=True)
class Sample:
    """One query, asked in one wording; positions index the token tuples.

    Attributes:
        source: ids of the instruction alone (I), leading special tokens included; `t_inst` is its last token and
            `keyword` the last token of the task phrase, where that is known.
        word: first token of the phrase's last word, where that is known.
        instructed: ids of the instructed prompt (IT), which begins with `source`.
        target: ids of the bare prompt (TO); `first` is its first token after leading special tokens, `query_span`
            the tokens of the query (end exclusive).
        answer_id, contrast_id: first token of each answer as it would follow the bare prompt.
    """

    instruction: Instruction
    query: str
    answer: str
    contrast: str
    source: tuple[int, ...]
    t_inst: int
    keyword: int | None
    instructed: tuple[int, ...]
    target: tuple[int, ...]
    first: int
    query_span: tuple[int, int]
    answer_id: int
    contrast_id: int
    word: int | None = None


@dataclass(frozen=True)
class Samples:
    """The samples that were built, and warnings about them (one sentence each).

    `control` and `neutral` hold, sample by sample, the same query under another task's instruction, and under a
    sentence that asks for nothing; empty where there is no such task, and where no neutral ones were asked for.
    `others` holds the same under further tasks' instructions, task by task.
    """

    rows: tuple[Sample, ...]
    control: tuple[Sample, ...]
    warnings: tuple[str, ...]
    neutral: tuple[Sample, ...] = ()
    others: tuple[tuple[Sample, ...], ...] = ()

    @property
    def groups(self) -> NDArray[np.int64]:
        """The number of each sample's answer, in the order in which answers first come."""
        known: dict[str, int] = {}
        return np.array([known.setdefault(sample.answer, len(known)) for sample in self.rows], dtype=np.int64)

    @property
    def population(self) -> str:
        """Of which queries a number over these samples holds, as a sentence."""
        n, count = len(self.rows), len(set(self.groups.tolist()))
        if count == n:
            return f"Holds of queries like these {n}."
        if clusters(self.groups) is None:
            options = ", ".join(dict.fromkeys(row.answer for row in self.rows))
            return f"Holds of queries with these answers ({options}): {count} are too few to speak of others."
        return f"{n} queries have {count} answers, and those of one answer are alike: intervals are for new answers."


_Three = tuple[Sample, Sample | None, Sample | None]
"""A query's sample, the one under another task's instruction, and the one under an idle sentence."""


def build(
    pair: Pair,
    tokenizer: Any,
    *,
    samples: int = 50,
    target_format: str = "prompt",
    seed: int = 0,
    split: str = "all",
    with_neutral: bool = False,
    others: int = 0,
) -> Samples:
    """Draw queries and wordings, the same for the same seed.

    The control's instruction is of a task of other queries; `others` says how many more such tasks are drawn. Queries
    that cannot be measured are left out, with a warning that names them: their answers begin with the same token, a
    word is unknown to the tokenizer, or it merges with what stands around it.
    """
    if target_format not in FORMATS:
        raise TaskError(f"there is no target format {target_format!r}: use one of {', '.join(FORMATS)}")
    if split not in SPLITS:
        raise TaskError(f"there is no split {split!r}: use one of {', '.join(SPLITS)}")
    encoder = Encoder(tokenizer, whole=target_format == "chat")
    if target_format == "chat":
        assert encoder.turn  # what no prompt can be put into is refused at once
    draw = random.Random(f"{pair.task.name} {seed}")
    wordings, queries = _of_split(pair, split)
    draw.shuffle(queries)
    made: list[_Three] = []
    left: dict[str, str] = {}
    for query in queries:
        told = draw.choice(wordings), draw.choice(pair.control.instructions) if pair.control else None
        idle = neutral(pair.task.template) if with_neutral else None
        try:
            sample, *beside = (
                None if wording is None else _sample(pair, pair.task, wording, query, encoder, target_format)
                for wording in (*told, idle)
            )
        except _Unfit as error:
            left[query] = str(error)
            continue
        assert sample is not None
        made.append((sample, beside[0], beside[1]))
        if len(made) == samples and len(made := _aligned(made, left, pair.task)) == samples:
            break
    made = _aligned(made, left, pair.task)
    rows = [sample for sample, _, _ in made]
    if not rows:
        raise TaskError(f"{pair.task.name}: no query is left to measure; {'; '.join(_told(left))}")
    return Samples(
        tuple(rows),
        tuple(other for _, other, _ in made if other is not None),
        tuple(_warnings(pair, encoder, rows, samples, left)),
        tuple(idle for _, _, idle in made if idle is not None),
        tuple(
            tuple(_told_another(pair, task, row, encoder, target_format, draw=f"{row.query} {seed}") for row in rows)
            for task in pair.others[:others]
        ),
    )


def _told_another(pair: Pair, task: Task, row: Sample, encoder: Encoder, target_format: str, *, draw: str) -> Sample:
    """A sample's query under another task's instruction; drawn apart, so that the samples stay what they were."""
    wording = random.Random(f"{task.name} {draw}").choice(task.instructions)
    return _sample(pair, pair.task, wording, row.query, encoder, target_format)


class _Unfit(TaskError):
    """One query cannot be measured; the others can. The message is the reason alone."""


def _aligned(made: list[_Three], left: dict[str, str], task: Task) -> list[_Three]:
    """Those whose bare prompts have the tokens around the query that most have, and as many; the others are noted in
    `left`. Queries of a field of their own are held against each other, and have as many tokens as the rest."""
    around = [(s.target[s.first : s.query_span[0]], s.target[s.query_span[1] :]) for s, _, _ in made]
    fields = [task.field_of(s.query) for s, _, _ in made]
    usual = {
        field: Counter(a for a, own in zip(around, fields, strict=True) if own == field).most_common(1)[0][0]
        for field in set(fields)
    }
    lengths = [tuple(map(len, usual[field])) for field in fields]
    most = Counter(lengths).most_common(1)[0][0] if made else ()
    kept = []
    for one, a, field, length in zip(made, around, fields, lengths, strict=True):
        if length != most:
            left[one[0].query] = "their field has another number of tokens than that of most"
        elif a != usual[field]:
            left[one[0].query] = "they merge with the tokens around them"
        else:
            kept.append(one)
    return kept


def _told(left: Mapping[str, str]) -> list[str]:
    """One sentence a reason for which queries were left out, with the first of their names."""
    found = []
    for reason in dict.fromkeys(left.values()):
        names = [query for query, why in left.items() if why == reason]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        what = f"{len(names)} queries" if len(names) > 1 else "1 query"
        found.append(f"{what} left out: {reason} ({', '.join(names[:3])}{more})")
    return found


def _of_split(pair: Pair, split: str) -> tuple[list[Instruction], list[str]]:
    task = pair.task
    wordings, queries = list(task.instructions), list(pair.queries)
    if split != "all":
        held = split == "held-out"
        wordings = [w for w in wordings if (w.family in task.held_out) == held]
        queries = [q for q in queries if (q in task.unseen) == held]
    if not wordings or not queries:
        raise TaskError(f"{task.name} has no {split} wordings or queries against {pair.contrast.name}")
    return wordings, queries


def _sample(pair: Pair, task: Task, wording: Instruction, query: str, encoder: Encoder, target_format: str) -> Sample:
    template, text = task.template, wording.text
    field = pair.task.field_of(query)
    told = template.instructed(text, field=field, query=query)
    bare = template.target(field=field, query=query, form=target_format)
    start = bare.rindex(query) if target_format != "prompt" else _query_start(template.prompt, field)
    if target_format == "chat":
        told, whole = encoder.chat(told), encoder.chat(bare)
        start, bare = start + whole.index(bare), whole
        text = told[: told.index(text) + len(text)]
    source, instructed, target = encoder.ids(text), encoder.ids(told), encoder.ids(bare)
    if instructed[: len(source)] != source:
        raise TaskError(
            f"{task.name}: this tokenizer merges the end of the instruction {wording.text!r} with what follows, so "
            "its last token alone is not its last token in the prompt: end the instruction with a full stop"
        )
    keyword = word = None
    if wording.phrase is not None:
        offset = len(text) - len(wording.text)
        begin, end = wording.phrase[0] + offset, wording.phrase[1] + offset
        last = text.rindex(text[begin:end].split()[-1], begin, end)
        keyword, word = encoder.span(text, begin, end)[1] - 1, encoder.span(text, last, end)[0]
    if encoder.unknown(encoder.ids(query)):
        raise _Unfit("the tokenizer does not know a word of theirs")
    answer, contrast = pair.task.answers[query], pair.contrast.answers[query]
    try:
        answer_id, contrast_id = (encoder.following(bare, option)[0] for option in (answer, contrast))
    except TaskError as error:
        raise _Unfit("an answer merges with the prompt's last token") from error
    if encoder.unknown((answer_id, contrast_id)):
        raise _Unfit("the tokenizer does not know a word of their answers")
    if answer_id == contrast_id:
        raise _Unfit("both of their answers begin with the same token")
    return Sample(
        instruction=wording,
        query=query,
        answer=answer,
        contrast=contrast,
        source=source,
        t_inst=len(source) - 1,
        keyword=keyword,
        instructed=instructed,
        target=target,
        first=min(encoder.leading, len(target) - 1),
        query_span=encoder.span(bare, start, start + len(query)),
        answer_id=answer_id,
        contrast_id=contrast_id,
        word=word,
    )


def _query_start(prompt: str, field: str) -> int:
    return len(prompt[: prompt.index("{query}")].replace("{field}", field))


def _warnings(pair: Pair, encoder: Encoder, rows: Sequence[Sample], wanted: int, left: Mapping[str, str]) -> list[str]:
    found = []
    if len(rows) < wanted:
        found.append(f"{len(rows)} of the {wanted} samples asked for: the pair has no more queries")
    found += _told(left)
    if pair.left_out:
        more = f" and {len(pair.left_out) - 3} more" * (len(pair.left_out) > 3)
        count = "1 row" if len(pair.left_out) == 1 else f"{len(pair.left_out)} rows"
        found.append(f"{count} of the file left out: {'; '.join(pair.left_out[:3])}{more}")
    prompt = pair.task.template.target(field=pair.task.field_of(rows[0].query), query=rows[0].query, form="prompt")
    firsts: dict[int, list[str]] = {}
    for option in sorted({*(row.answer for row in rows), *(row.contrast for row in rows)}):
        firsts.setdefault(encoder.following(prompt, option)[0], []).append(option)
    shared = [options for options in firsts.values() if len(options) > 1]
    if shared:
        found.append(
            f"{len(shared)} answer tokens stand for more than one answer, such as {' and '.join(shared[0][:2])}: "
            "their first tokens are equal"
        )
    echoed = [row.query for row in rows if row.answer_id in row.target[slice(*row.query_span)]]
    if echoed:
        found.append(f"{len(echoed)} answers begin with a token of their query, such as {echoed[0]}")
    bare = encoder.tokenizer(rows[0].answer, add_special_tokens=False)["input_ids"][0]
    if bare != rows[0].answer_id:
        shown = encoder.tokenizer.convert_ids_to_tokens([rows[0].answer_id, bare])
        found.append(f"answers are read with their space in front: {shown[0]!r}, not {shown[1]!r}")
    return found


def paired(one: Samples, other: Samples) -> tuple[list[int], list[int]]:
    """The numbers in `one` and in `other` of samples of equal query, in the order of `one`; `IvxError` if none are."""
    where = {sample.query: k for k, sample in enumerate(other.rows)}
    mine = [k for k, sample in enumerate(one.rows) if sample.query in where]
    if not mine:
        raise IvxError("the two checkpoints were asked no query in common, so they cannot be compared: use one task")
    return mine, [where[one.rows[k].query] for k in mine]
