"""A sample: one query, told and not told, as token ids, positions and answer tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ivx.errors import TaskError
from ivx.tasks.encoder import Encoder
from ivx.tasks.prompt import Rendering
from ivx.tasks.spelling import SUM, summed
from ivx.tasks.task import Instruction, Pair, Task
from ivx.tasks.way import Way

Ids = tuple[int, ...]
MERGED = "an answer merges with the prompt's last token, or its first token is blank"


@dataclass(frozen=True)
class Sample:
    """One query, asked in one wording; positions index the token tuples.

    Attributes:
        source: ids up to the end of the instruction (I), leading special tokens included; `t_inst` is its last token
            and `keyword` the last token of the task phrase, where that is known. Where the task is shown, it is the
            demonstrations and a dummy query.
        word: first token of the phrase's last word, where that is known.
        instructed: ids of the told prompt (IT).
        target: ids of the bare prompt (TO); `first` is its first token after leading special tokens, `query_span`
            the tokens of the query (end exclusive).
        answer_id, contrast_id: first token of each answer as it would follow the bare prompt.
        cue: last token of the last word behind the query of the bare prompt, where there is one.
        answer_ids, contrast_ids: where spellings are summed, the first tokens of all of them; empty elsewhere.
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
    cue: int | None = None
    answer_ids: tuple[int, ...] = ()
    contrast_ids: tuple[int, ...] = ()

    @property
    def answer_tokens(self) -> tuple[int, ...]:
        """The tokens any of which is the answer."""
        return self.answer_ids or (self.answer_id,)

    @property
    def contrast_tokens(self) -> tuple[int, ...]:
        """The tokens any of which is the contrast."""
        return self.contrast_ids or (self.contrast_id,)


class Telling(NamedTuple):
    """What a run is told before its query.

    Attributes:
        wording: the instruction; where the task is shown, the demonstrations as they stand.
        dummy: the query that ends the source run, and the task that it is one of; None behind an instruction.
    """

    wording: Instruction
    dummy: tuple[str, Task] | None = None


class Unfit(TaskError):
    """One query cannot be measured; the others can. The message is the reason alone."""


def sampled(pair: Pair, telling: Telling, *, query: str, way: Way, encoder: Encoder) -> Sample:
    """The sample of a query.

    Raises:
        Unfit: this query cannot be measured. TaskError: none can, told so.
    """
    bare = _framed(way.bare(pair.task.template, field=pair.task.field_of(query), query=query), encoder)
    told = _framed(_told(pair.task, telling, query, way), encoder)
    source = _source(telling, told, way, encoder)
    source_ids, instructed, target = (encoder.ids(text) for text in (source, told.text, bare.text))
    if telling.dummy is None and instructed[: len(source_ids)] != source_ids:
        raise TaskError(
            f"{pair.task.name}: this tokenizer merges the end of the instruction {telling.wording.text!r} with what "
            "follows, so its last token alone is not its last token in the prompt: end the instruction with a full stop"
        )
    keyword, word = _phrase(telling.wording, told, source, encoder)
    if encoder.unknown(encoder.ids(query)):
        raise Unfit("the tokenizer does not know a word of theirs")
    answer, contrast = pair.task.answers[query], pair.contrast.answers[query]
    read = _summed if way.spelling == SUM else _one
    answer_ids, contrast_ids = read(pair, bare.text, (answer, contrast), way, encoder)
    several = way.spelling == SUM
    return Sample(
        instruction=telling.wording,
        query=query,
        answer=answer,
        contrast=contrast,
        source=source_ids,
        t_inst=len(source_ids) - 1,
        keyword=keyword,
        instructed=instructed,
        target=target,
        first=min(encoder.leading, len(target) - 1),
        query_span=encoder.span(bare.text, *bare.spans["query"]),
        answer_id=answer_ids[0],
        contrast_id=contrast_ids[0],
        word=word,
        cue=encoder.span(bare.text, *bare.spans["cue"])[1] - 1 if "cue" in bare.spans else None,
        answer_ids=answer_ids if several else (),
        contrast_ids=contrast_ids if several else (),
    )


def _one(pair: Pair, prompt: str, options: tuple[str, str], way: Way, encoder: Encoder) -> tuple[Ids, Ids]:
    """The first token of each of two answers in the way's spelling."""
    try:
        answer, contrast = (encoder.following(prompt, option, spelling=way.spelling)[0] for option in options)
    except TaskError as error:
        raise Unfit(MERGED) from error
    if encoder.unknown((answer, contrast)):
        raise Unfit("the tokenizer does not know a word of their answers")
    if answer == contrast:
        raise Unfit("both of their answers begin with the same token")
    return (answer,), (contrast,)


def _summed(pair: Pair, prompt: str, options: tuple[str, str], way: Way, encoder: Encoder) -> tuple[Ids, Ids]:
    """The first tokens of each of two answers in all spellings, without those that may begin either."""
    spellings = summed(cased=pair.cased)
    answer, contrast = (encoder.firsts(prompt, option, spellings=spellings) for option in options)
    if not answer or not contrast:
        raise Unfit(MERGED)
    own, other = (tuple(i for i in one if i not in two) for one, two in ((answer, contrast), (contrast, answer)))
    if not own or not other:
        raise Unfit("every token that an answer of theirs begins with may begin the other")
    return own, other


def _framed(prompt: Rendering, encoder: Encoder) -> Rendering:
    """The prompt, within the chat template where there is one."""
    return prompt.within(*encoder.turn) if encoder.whole else prompt


def _told(task: Task, telling: Telling, query: str, way: Way) -> Rendering:
    part = "instruction" if telling.dummy is None else "shown"
    return way.told(task.template, field=task.field_of(query), query=query, **{part: telling.wording.text})


def _source(telling: Telling, told: Rendering, way: Way, encoder: Encoder) -> str:
    """The text of the source run: up to the instruction's end, or with the dummy query in the query's place."""
    if telling.dummy is None:
        return told.text[: told.spans["instruction"][1]]
    query, task = telling.dummy
    return _framed(_told(task, telling, query, way), encoder).text


def _phrase(wording: Instruction, told: Rendering, source: str, encoder: Encoder) -> tuple[int | None, int | None]:
    """The last token of the task phrase, and the first of its last word, where the wording marks one."""
    if wording.phrase is None:
        return None, None
    offset = told.spans["instruction"][0]
    begin, end = (at + offset for at in wording.phrase)
    last = source.rindex(source[begin:end].split()[-1], begin, end)
    return encoder.span(source, begin, end)[1] - 1, encoder.span(source, last, end)[0]
