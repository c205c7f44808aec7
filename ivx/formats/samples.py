"""Samples and the columns of maps, written as JSON and read back."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ivx.formats.checks import each, keys, maybe, refuse, span, text, token_id, whole
from ivx.patching.positions import NAME, Column
from ivx.tasks.sample import Sample
from ivx.tasks.samples import Samples
from ivx.tasks.task import Instruction
from ivx.vocabulary import OTHERS

MAX_SAMPLES = 10_000
MAX_TOKENS = 100_000
MAX_NAME = 40
"""Characters of a named position."""
MAX_COLUMNS = 10_000
MAX_LAYERS = 1_000
MAX_WARNINGS = 100
MAX_SPELLINGS = 100
SUMMED = ("answer_ids", "contrast_ids")
"""Fields of `Sample` that are kept only where spellings are summed."""
BESIDE = ("control", "neutral", "counter", "unpaired")
"""Fields of `Samples` that hold each sample told something else, or nothing."""
SAMPLES = ("rows", *BESIDE, "others", "warnings")
"""Keys that `samples_written` writes."""


def samples_written(found: Samples) -> dict[str, Any]:
    """All samples of a result, with the warnings that came with them."""
    return {
        "rows": [sample_written(sample) for sample in found.rows],
        **{name: [sample_written(sample) for sample in getattr(found, name)] for name in BESIDE},
        "others": [[sample_written(sample) for sample in other] for other in found.others],
        "warnings": list(found.warnings),
    }


def samples_read(told: dict[str, Any]) -> Samples:
    """The samples that `samples_written` wrote; raises `IvxError`."""
    rows = tuple(each(told["rows"], "rows", sample_read, most=MAX_SAMPLES, least=1))
    beside = {name: tuple(each(told[name], name, sample_read, most=MAX_SAMPLES)) for name in BESIDE}
    for name, found in beside.items():
        if found and len(found) != len(rows):
            refuse(name, f"no sample or {len(rows)}")

    def other(told: Any, what: str) -> tuple[Sample, ...]:
        return tuple(each(told, what, sample_read, most=len(rows), least=len(rows)))

    others = tuple(each(told["others"], "others", other, most=len(OTHERS)))
    warnings = tuple(each(told["warnings"], "warnings", text, most=MAX_WARNINGS))
    return Samples(rows, warnings=warnings, others=others, **beside)


def layers_read(told: dict[str, Any]) -> int:
    """How many layers the checkpoint has; raises `IvxError`."""
    return whole(told["layers"], "layers", 1, MAX_LAYERS)


def sample_written(sample: Sample) -> dict[str, Any]:
    words, phrase = sample.instruction, sample.instruction.phrase
    return {
        **{
            name: getattr(sample, name)
            for name in ("query", "answer", "contrast", "t_inst", "keyword", "word", "first", "cue")
        },
        **{name: list(getattr(sample, name)) for name in ("source", "instructed", "target", "query_span")},
        "instruction": [words.text, words.family, None if phrase is None else list(phrase)],
        "answer_id": sample.answer_id,
        "contrast_id": sample.contrast_id,
        **{name: list(getattr(sample, name)) for name in SUMMED if getattr(sample, name)},
    }


def sample_read(told: Any, what: str) -> Sample:
    if isinstance(told, dict):  # runs were kept without a cue before it had a name
        told = {"cue": None, **{name: [] for name in SUMMED}} | told
    keys(told, *(field.name for field in fields(Sample)), what=what)
    answer_ids, contrast_ids = (
        tuple(each(told[name], f"{what}, {name}", token_id, most=MAX_SPELLINGS)) for name in SUMMED
    )
    source, instructed, target = (
        tuple(each(told[name], f"{what}, {name}", token_id, most=MAX_TOKENS, least=1))
        for name in ("source", "instructed", "target")
    )
    return Sample(
        instruction=_instruction(told["instruction"], f"{what}, instruction"),
        query=text(told["query"], f"{what}, query"),
        answer=text(told["answer"], f"{what}, answer"),
        contrast=text(told["contrast"], f"{what}, contrast"),
        source=source,
        t_inst=whole(told["t_inst"], f"{what}, t_inst", 0, len(source) - 1),
        keyword=maybe(told["keyword"], f"{what}, keyword", lambda v, w: whole(v, w, 0, len(source) - 1)),
        word=maybe(told["word"], f"{what}, word", lambda v, w: whole(v, w, 0, len(source) - 1)),
        instructed=instructed,
        target=target,
        first=whole(told["first"], f"{what}, first", 0, len(target) - 1),
        query_span=span(told["query_span"], f"{what}, query_span", len(target)),
        answer_id=token_id(told["answer_id"], f"{what}, answer_id"),
        contrast_id=token_id(told["contrast_id"], f"{what}, contrast_id"),
        cue=maybe(told["cue"], f"{what}, cue", lambda v, w: whole(v, w, 0, len(target) - 1)),
        answer_ids=answer_ids,
        contrast_ids=contrast_ids,
    )


def _instruction(told: Any, what: str) -> Instruction:
    if not isinstance(told, list) or len(told) != 3:
        refuse(what, "a list of text, family and phrase")
    words = text(told[0], what)
    return Instruction(words, text(told[1], what), maybe(told[2], what, lambda v, w: span(v, w, len(words))))


def column_read(told: Any, what: str) -> Column:
    if not isinstance(told, list) or len(told) != 3 or not isinstance(told[2], bool):
        refuse(what, "columns of a label, a position, and true or false")
    named = isinstance(told[1], str) and len(told[1]) < MAX_NAME and NAME.fullmatch(told[1])
    position = told[1] if named else whole(told[1], what, -MAX_TOKENS, MAX_TOKENS)
    return Column(text(told[0], what), position, told[2])
