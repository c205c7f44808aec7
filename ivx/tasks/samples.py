"""Samples: a contrastive pair and a tokenizer become token ids, positions and answer tokens."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ivx.errors import IvxError, TaskError
from ivx.stats.intervals import clusters
from ivx.tasks.encoder import Encoder
from ivx.tasks.label import label_of
from ivx.tasks.sample import Sample, Unfit, sampled
from ivx.tasks.spelling import ALONE, AS_GIVEN, AUTO, SUM
from ivx.tasks.task import Instruction, Pair, Task
from ivx.tasks.telling import Tellings
from ivx.tasks.way import Way

SPLITS = ("all", "seen", "held-out")
"""`held-out`: wordings of held-out frames with queries kept out of training; `seen`: neither."""


@dataclass(frozen=True)
class Samples:
    """The samples that were built, and warnings about them (one sentence each).

    The other fields hold, sample by sample, the same query told something else, and are empty where there is no such
    task, or where it was not asked for. `others` holds several such lists, task by task.

    Attributes:
        control: told another task, of other queries.
        neutral: told a sentence that asks for nothing; behind no demonstrations.
        others: told further tasks of other queries.
        counter: told the contrast task.
        unpaired: shown demonstrations whose answers are another query's.
    """

    rows: tuple[Sample, ...]
    control: tuple[Sample, ...]
    warnings: tuple[str, ...]
    neutral: tuple[Sample, ...] = ()
    others: tuple[tuple[Sample, ...], ...] = ()
    counter: tuple[Sample, ...] = ()
    unpaired: tuple[Sample, ...] = ()

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


_Made = dict[str, Sample]
"""A query's samples, by what its run was told; `rows` is the sample itself."""


def build(
    pair: Pair,
    tokenizer: Any,
    *,
    target_format: str = "prompt",
    way: Way | None = None,
    samples: int = 50,
    seed: int = 0,
    split: str = "all",
    controls: Collection[str] = (),
) -> Samples:
    """Draw queries and wordings, or demonstrations, the same for the same seed.

    Queries that cannot be measured are left out, with a warning that names them: their answers begin with the same
    token, a word is unknown to the tokenizer, or it merges with what stands around it.

    Args:
        target_format: how the queries are asked where nothing else is to be said of it.
        way: how they are asked; by default by an instruction in the task's own template.
        controls: which of `ivx.vocabulary.CONTROL` samples are made for; those of another task are made always.
    """
    way = way or Way(target_format)
    if split not in SPLITS:
        raise TaskError(f"there is no split {split!r}: use one of {', '.join(SPLITS)}")
    if pair.cased and way.spelling not in (AUTO, *AS_GIVEN, SUM, ALONE):
        raise TaskError(
            f"{pair.task.name} against {pair.contrast.name} is about capitals, and the spelling {way.spelling} changes "
            f"them: use {AUTO}, {', '.join(AS_GIVEN)} or {SUM}"
        )
    encoder = Encoder(tokenizer, whole=way.chats, system=way.system)
    if way.chats:
        assert encoder.turn  # what no prompt can be put into is refused at once
    draw = random.Random(f"{pair.task.name} {seed}")
    wordings, queries = _of_split(pair, split, way)
    if way.wording is not None and not way.demonstrations:
        if way.wording >= len(wordings):
            raise TaskError(f"{pair.task.name} has wordings 0 to {len(wordings) - 1}, none of number {way.wording}")
        wordings = wordings[way.wording : way.wording + 1]
    draw.shuffle(queries)
    tellings = Tellings(pair, way, wordings, queries, draw=draw, seed=seed, controls=controls)
    made: list[_Made] = []
    left: dict[str, str] = {}
    for query in queries:
        told = tellings.of(query)
        try:
            one = {name: sampled(pair, each, query=query, way=way, encoder=encoder) for name, each in told.items()}
        except Unfit as error:
            left[query] = str(error)
            continue
        made.append(one)
        if len(made) == samples and len(made := _aligned(made, left, pair.task)) == samples:
            break
    made = _aligned(made, left, pair.task)
    if not made:
        raise TaskError(f"{pair.task.name}: no query is left to measure; {'; '.join(_told(left))}")

    def told_as(name: str) -> tuple[Sample, ...]:
        return tuple(one[name] for one in made if name in one)

    def told_another(task: Task, row: Sample) -> Sample:
        return sampled(pair, tellings.another(task, row.query), query=row.query, way=way, encoder=encoder)

    return Samples(
        told_as("rows"),
        told_as("control"),
        tuple(_warnings(pair, encoder, way, told_as("rows"), samples, left)),
        told_as("neutral"),
        tuple(tuple(told_another(task, one["rows"]) for one in made) for task in tellings.others),
        told_as("counter"),
        told_as("unpaired"),
    )


def _aligned(made: list[_Made], left: dict[str, str], task: Task) -> list[_Made]:
    """Those whose bare prompts have the tokens around the query that most have, and as many; the others are noted in
    `left`. Queries of a field of their own are held against each other, and have as many tokens as the rest."""
    rows = [one["rows"] for one in made]
    around = [(s.target[s.first : s.query_span[0]], s.target[s.query_span[1] :]) for s in rows]
    fields = [task.field_of(s.query) for s in rows]
    usual = {
        field: Counter(a for a, own in zip(around, fields, strict=True) if own == field).most_common(1)[0][0]
        for field in set(fields)
    }
    lengths = [tuple(map(len, usual[field])) for field in fields]
    most = Counter(lengths).most_common(1)[0][0] if made else ()
    kept = []
    for one, a, field, length in zip(made, around, fields, lengths, strict=True):
        query = one["rows"].query
        if length != most:
            left[query] = "their field has another number of tokens than that of most"
        elif a != usual[field]:
            left[query] = "they merge with the tokens around them"
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


def _of_split(pair: Pair, split: str, way: Way) -> tuple[list[Instruction], list[str]]:
    task = pair.task
    wordings, queries = list(task.instructions), list(pair.queries)
    if not wordings and not way.demonstrations:
        raise TaskError(
            f"{task.name} holds no instruction: ask by demonstrations (demonstrations=8), or name a file of wordings "
            "(FILE?wordings=WORDINGS)"
        )
    if split != "all":
        held = split == "held-out"
        wordings = [w for w in wordings if (w.family in task.held_out) == held]
        queries = [q for q in queries if (q in task.unseen) == held]
    if not queries or not (wordings or way.demonstrations):
        raise TaskError(f"{task.name} has no {split} wordings or queries against {pair.contrast.name}")
    return wordings, queries


def _warnings(
    pair: Pair, encoder: Encoder, way: Way, rows: Sequence[Sample], wanted: int, left: Mapping[str, str]
) -> list[str]:
    found = []
    if len(rows) < wanted:
        found.append(f"{len(rows)} of the {wanted} samples asked for: the pair has no more queries")
    found += _told(left)
    found += pair.notes
    if pair.left_out:
        more = f" and {len(pair.left_out) - 3} more" * (len(pair.left_out) > 3)
        count = "1 row" if len(pair.left_out) == 1 else f"{len(pair.left_out)} rows"
        found.append(f"{count} of the file left out: {'; '.join(pair.left_out[:3])}{more}")
    firsts: dict[int, set[str]] = {}
    for row in rows:
        for option, ids in ((row.answer, row.answer_tokens), (row.contrast, row.contrast_tokens)):
            for token in ids:
                firsts.setdefault(token, set()).add(option)
    shared = [sorted(options) for options in firsts.values() if len(options) > 1]
    if shared:
        found.append(
            f"{len(shared)} answer tokens stand for more than one answer, such as {' and '.join(shared[0][:2])}: "
            "their first tokens are equal"
        )
    echoed = [row.query for row in rows if {*row.answer_tokens} & {*row.target[slice(*row.query_span)]}]
    if echoed:
        found.append(f"{len(echoed)} answers begin with a token of their query, such as {echoed[0]}")
    bare = encoder.tokenizer(rows[0].answer, add_special_tokens=False)["input_ids"][0]
    if way.spelling == AUTO and bare != rows[0].answer_id:
        shown = [label_of(piece) for piece in encoder.tokenizer.convert_ids_to_tokens([rows[0].answer_id, bare])]
        found.append(f"answers are read with their space in front: “{shown[0]}”, not “{shown[1]}”")
    return found


def paired(one: Samples, other: Samples) -> tuple[list[int], list[int]]:
    """The numbers in `one` and in `other` of samples of equal query, in the order of `one`; `IvxError` if none are."""
    where = {sample.query: k for k, sample in enumerate(other.rows)}
    mine = [k for k, sample in enumerate(one.rows) if sample.query in where]
    if not mine:
        raise IvxError("the two checkpoints were asked no query in common, so they cannot be compared: use one task")
    return mine, [where[one.rows[k].query] for k in mine]
