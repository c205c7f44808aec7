"""The spelling that a model writes an answer in, asked of the model itself.

Behind a chat template some models write "No" where " no" would be read, and a rank or an effect of the wrong one of
them says nothing. The spelling with the largest share in told runs counts, of other queries than those that are
measured, so that nothing is chosen by what it then shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from torch import nn

from ivx.engine.sweep import sweep
from ivx.errors import IvxError
from ivx.models.model import Model
from ivx.tasks.encoder import Encoder
from ivx.tasks.sample import Sample
from ivx.tasks.samples import build
from ivx.tasks.spelling import ALONE, SPELLINGS, SUM, summed, usual, words
from ivx.tasks.task import Pair
from ivx.tasks.way import Way

TRIED = 8
"""Queries whose told runs are looked at."""

_known: WeakKeyDictionary[nn.Module, dict[Any, Spelling]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Spelling:
    """A spelling, or the sum of all, and how it was found.

    Attributes:
        shares: mean probability of each spelling's first token after the told prompt, by spelling; empty where there
            was nothing to choose.
        apart: whether these are other queries than the measured ones.
    """

    spelling: str
    shares: Mapping[str, float]
    apart: bool = True

    @property
    def told(self) -> dict[str, Any]:
        """As it stands in a receipt."""
        return {"chosen": self.spelling, "shares": {name: round(x, 6) for name, x in self.shares.items()}}

    @property
    def sentence(self) -> str:
        """What was found, in words; empty where there was nothing to choose."""
        others = [f"{share:.0%} {words(name)}" for name, share in self.shares.items() if name != self.spelling]
        if not others:
            return ""
        if self.spelling == SUM:
            return f"answers are read {words(SUM)}: {', '.join(others)} of what comes next in {self._of}"
        own = f"{self.shares[self.spelling]:.0%} of what comes next in {self._of}"
        return f"answers are read {words(self.spelling)}: {own}, against {', '.join(others)}"

    @property
    def _of(self) -> str:
        return "told runs of other queries" if self.apart else "told runs of these queries"


def spelling_of(model: Model, pair: Pair, way: Way, *, samples: int, seed: int) -> Spelling:
    """The spelling of a pair's answers in a way of asking; found once for each model in memory."""
    if way.spelling in (*SPELLINGS, ALONE):
        return Spelling(way.spelling, {})
    known = _known.setdefault(model.hf, {})
    key = (pair.fingerprint, way, samples, seed)
    if key not in known:
        known[key] = _found(model, pair, way, samples, seed)
    return known[key]


def _found(model: Model, pair: Pair, way: Way, samples: int, seed: int) -> Spelling:
    rows = build(pair, model.tokenizer, way=way, samples=samples + TRIED, seed=seed).rows
    tried = rows[samples:] or rows[:TRIED]
    encoder = Encoder(model.tokenizer, whole=way.chats, system=way.system)
    prompts = [_prompt(pair, way, row, encoder) for row in tried]
    first = usual(prompts[0])
    options: dict[str, list[int | None]] = {}
    # One that is chosen must be there of nearly all answers; in a sum each adds what it has.
    lacking = len(tried) - 1 if way.spelling == SUM else len(tried) // 4
    for spelling in sorted(summed(cased=pair.cased), key=lambda name: name != first):
        ids = [encoder.first(prompt, row.answer, spelling=spelling) for prompt, row in zip(prompts, tried, strict=True)]
        if ids not in options.values() and sum(one is None for one in ids) <= lacking:
            options[spelling] = ids
    if way.spelling == SUM:
        return Spelling(SUM, {name: _share(model, tried, ids) for name, ids in options.items()}, len(rows) > samples)
    if len(options) < 2:
        return Spelling(next(iter(options), first), {})
    shares = {spelling: _share(model, tried, ids) for spelling, ids in options.items()}
    return Spelling(max(shares, key=lambda name: shares[name]), shares, apart=len(rows) > samples)


def _prompt(pair: Pair, way: Way, row: Sample, encoder: Encoder) -> str:
    bare = way.bare(pair.task.template, field=pair.task.field_of(row.query), query=row.query).text
    return encoder.chat(bare) if way.chats else bare


def _share(model: Model, rows: tuple[Sample, ...], ids: list[int | None]) -> float:
    """Mean probability of these tokens after the told prompts."""
    asked = [(row, token) for row, token in zip(rows, ids, strict=True) if token is not None]
    found = sweep(
        model,
        source=[row.source for row, _ in asked],
        target=[row.instructed for row, _ in asked],
        answer=[token for _, token in asked],
        patches=[],
    )
    logits, total = (found[name].to_numpy().astype(np.float64) for name in ("logit", "logsumexp"))
    share = np.exp(logits - total)
    if not np.isfinite(share).any():
        raise IvxError(f"the logits of {model.name} are not finite on told prompts, so no answer's spelling is known")
    return float(np.nanmean(share))
