"""Aligned pairs: the same query told by both tasks, in wordings whose tokens stand at the same places by role."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ivx.analyses.mechanism.request import FEWEST, MechanismRequest
from ivx.errors import TaskError
from ivx.models.model import Model
from ivx.patching.prepare import following, prepare
from ivx.patching.spelling import spelling_of
from ivx.tasks import catalogue
from ivx.tasks.encoder import Encoder
from ivx.tasks.sample import Sample, Telling, Unfit, sampled
from ivx.tasks.samples import Samples
from ivx.tasks.task import Instruction, Pair
from ivx.tasks.way import Way

Place = tuple[int, int, int | None]
"""Where the roles stand in a told prompt: its length, T_inst, and the task phrase's last token, where that is known."""


@dataclass(frozen=True)
class _Wording:
    """A wording, and the tokens of one told prompt."""

    wording: Instruction
    sample: Sample

    @property
    def place(self) -> Place:
        return len(self.sample.instructed), self.sample.t_inst, self.sample.keyword

    def shared(self, other: _Wording) -> int:
        """In how many tokens both prompts are equal."""
        return sum(a == b for a, b in zip(self.sample.instructed, other.sample.instructed, strict=True))


def asked_of(model: Model, request: MechanismRequest) -> tuple[Samples, dict[str, Any]]:
    """The samples of a request, told the task (`rows`) and told the contrast task (`counter`), and its receipt.

    Raises:
        TaskError: no wording of one task has as many tokens as one of the other's, or too few queries are left.
    """
    samples, receipt = prepare(model, request)
    pair = catalogue.find(request.task, collection=model.collection, against=request.against)
    spelling = spelling_of(model, pair, request.way, samples=request.samples, seed=request.seed).spelling
    way = replace(request.way, spelling=spelling)
    found, kind, wordings = paired(pair, [row.query for row in samples.rows], way, model.tokenizer, seed=request.seed)
    n = len(found)
    if n < FEWEST:
        raise TaskError(
            f"{pair.task.name} against {pair.contrast.name}: {n} queries align, too few to choose heads on one half "
            "and measure them on the other: ask for more samples, or choose another task"
        )
    rows, counter = (tuple(one[k] for one in found) for k in (0, 1))
    same = sum(a == b for one, two in found for a, b in _instructions(one, two))
    every = sum(len(list(_instructions(one, two))) for one, two in found)
    told = (
        f"tokens align by {kind}: {wordings} wordings of {pair.task.name} have a partner of equal length in "
        f"{pair.contrast.name}; {same / every:.0%} of the instructions’ tokens are the same in both"
    )
    receipt |= following(model, rows) | {"samples": n}
    receipt["warnings"] = [*receipt["warnings"], told]
    return Samples(rows, (), (*samples.warnings, told), counter=counter), receipt


def _instructions(one: Sample, other: Sample) -> Iterable[tuple[int, int]]:
    return zip(one.source, other.source, strict=True)


def paired(
    pair: Pair, queries: Sequence[str], way: Way, tokenizer: Any, *, seed: int
) -> tuple[list[tuple[Sample, Sample]], str, int]:
    """Each query told by both tasks, in a wording drawn from those with a partner and in the partner that shares most
    tokens with it; by what they align; and how many wordings of the task have a partner.

    Raises:
        TaskError: there is no partner.
    """
    every = [list(pair.task.instructions), list(pair.contrast.instructions)]
    encoder = Encoder(tokenizer, whole=way.chats, system=way.system)
    alike = every[0] == every[1]  # a file of one column of wordings tells both tasks by the same ones
    one, other = (_told(pair, [] if alike else some, queries[0], way, encoder) for some in every)
    kind, partners = "length, T_inst and the task phrase’s last token", _partners(one, other, keyed=True)
    if not partners:
        kind, partners = "length and T_inst", _partners(one, other, keyed=False)
    if not partners:
        raise TaskError(_lacking(pair, one, other))
    draw = random.Random(f"{pair.task.name} {pair.contrast.name} {seed} mechanism")
    found = []
    for query in queries:
        wording, some = draw.choice(partners)
        partner = draw.choice(some)
        try:
            own, theirs = (sampled(pair, Telling(w), query=query, way=way, encoder=encoder) for w in (wording, partner))
        except Unfit:
            continue
        if _aligned(own, theirs):
            found.append((own, theirs))
    return found, kind, len(partners)


def _told(pair: Pair, wordings: Sequence[Instruction], query: str, way: Way, encoder: Encoder) -> list[_Wording]:
    return [_Wording(w, sampled(pair, Telling(w), query=query, way=way, encoder=encoder)) for w in wordings]


def _partners(
    one: Sequence[_Wording], other: Sequence[_Wording], *, keyed: bool
) -> list[tuple[Instruction, list[Instruction]]]:
    """Wordings with those of the contrast task that stand at the same places and share most tokens with them."""
    by_place: dict[tuple[Any, ...], list[_Wording]] = defaultdict(list)
    for wording in other:
        by_place[wording.place if keyed else wording.place[:2]].append(wording)
    found = []
    for wording in one:
        there = by_place.get(wording.place if keyed else wording.place[:2], [])
        if there:
            most = max(map(wording.shared, there))
            found.append((wording.wording, [each.wording for each in there if wording.shared(each) == most]))
    return found


def _aligned(one: Sample, other: Sample) -> bool:
    """Whether two prompts differ in their instructions alone, and these are of one length."""
    same = len(one.instructed) == len(other.instructed) and one.t_inst == other.t_inst
    return same and one.instructed[one.t_inst + 1 :] == other.instructed[one.t_inst + 1 :]


def _lacking(pair: Pair, one: Sequence[_Wording], other: Sequence[_Wording]) -> str:
    names = f"{pair.task.name} and {pair.contrast.name}"
    if not one or not other:
        return (
            f"{names}: both need wordings of their own, whose tokens are aligned: name a file with the columns "
            "instruction and contrast_instruction, or choose another contrast (against=…)"
        )
    told = [", ".join(map(str, sorted({w.sample.t_inst + 1 for w in some}))) for some in (one, other)]
    return (
        f"{names}: no wordings of equal token length exist (up to the instruction’s end {told[0]} against {told[1]} "
        "tokens), so attention rows of one do not fit the other: choose another contrast (against=…), or name a file "
        "of wordings with as many tokens"
    )
