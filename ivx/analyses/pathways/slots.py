"""Slots: what tokens of different prompts have in common, so that their maps can be averaged and compared.

Tokens are aligned by what they do, not by where they stand. Of the instruction: its `keyword` (last token of the task
phrase), `t_inst` (last token), and all others together as `instruction`. Of the prompt behind it: each token before
the query, counted back from it (`before:1` is next to it); the tokens of the `query` together; each token after the
query, counted back from the end (`after:1` is the answer cue). Values of tokens in one slot are summed, so that nothing
is lost: slots sum to the logit as tokens do. Where all samples have one wording, its tokens stay apart, as
`instruction:0` and so on; `coarse` is the slot that such a token has beside other wordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ivx.tasks.label import label_of
from ivx.tasks.sample import Sample

SHARED = ("before", "query", "after")
"""Parts that the prompt has with and without an instruction."""


@dataclass(frozen=True)
class Slot:
    """One column: `key` as above, and what stands there, the token where it is the same in every sample."""

    key: str
    label: str


def coarse(key: str) -> str:
    """The slot of a token of one wording, beside other wordings."""
    return "instruction" if key.startswith("instruction") else key


def keys_of(sample: Sample, *, told: bool, apart: bool = False) -> list[str]:
    """The slot of each token of a sample's instructed prompt, or of its bare one."""
    start = len(sample.source) if told else 0
    length = len(sample.instructed if told else sample.target)
    first, last = (length - len(sample.target) + end for end in sample.query_span)
    keys = []
    for i in range(length):
        if i < sample.first:
            keys.append("special")
        elif i < start:
            inside = f"instruction:{i}" if apart else "instruction"
            keys.append("t_inst" if i == sample.t_inst else "keyword" if i == sample.keyword else inside)
        elif i < first:
            keys.append(f"before:{first - i}")
        else:
            keys.append("query" if i < last else f"after:{length - i}")
    return keys


@dataclass(frozen=True)
class Alignment:
    """The slots of one kind of run, and each sample's tokens in them."""

    slots: tuple[Slot, ...]
    keys: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, samples: Sequence[Sample], tokenizer: object, *, told: bool) -> Alignment:
        """Align instructed or bare prompts; tokens of an instruction stay apart where all samples have the same."""
        apart = told and len({sample.source for sample in samples}) == 1
        keys = tuple(tuple(keys_of(sample, told=told, apart=apart)) for sample in samples)
        met: dict[str, set[int]] = {}
        for sample, found in zip(samples, keys, strict=True):
            for key, token in zip(found, sample.instructed if told else sample.target, strict=True):
                met.setdefault(key, set()).add(token)
        # Tokens of one wording stand in reading order; of several, the keyword stands before T_inst.
        read = {key: i for i, key in enumerate(keys[0][: len(samples[0].source)])} if apart else {}
        slots = []
        for key in sorted(met, key=lambda key: (0, read[key], 0) if key in read else (1, *_order(key))):
            shown = key
            if len(met[key]) == 1 and tokenizer is not None:
                shown = label_of(tokenizer.convert_ids_to_tokens(next(iter(met[key]))))  # type: ignore[attr-defined]
            slots.append(Slot(key, shown))
        return cls(tuple(slots), keys)

    def named(self) -> list[str]:
        """The keys of the slots."""
        return [slot.key for slot in self.slots]


def _order(key: str) -> tuple[int, int]:
    """Left to right, as the tokens stand."""
    name, _, number = key.partition(":")
    place = ("special", "instruction", "keyword", "t_inst", "before", "query", "after").index(name)
    return place, int(number or 0) * (1 if name == "instruction" else -1)


def numbered(keys: Sequence[str], pairs: Sequence[tuple[str, str]]) -> NDArray[np.intp]:
    """For each pair of a sample's tokens `[to, from]`, the index of its pair of slots; −1 where `pairs` lacks it."""
    place = {pair: i for i, pair in enumerate(pairs)}
    return np.array([[place.get((start, end), -1) for start in keys] for end in keys], dtype=np.intp)
