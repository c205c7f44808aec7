"""Measures a checkpoint: which of the four tasks it follows, told against untold, with an interval for each share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ivx.engine.hooks.generate import generate
from ivx.models.model import Model
from ivx.stats.following import Following, Share
from ivx.tasks.sample import Sample
from ivx.tasks.samples import Samples, build
from ivx.tasks.task import Pair
from ivx.tasks.way import Way
from ivx.tasks.written import begins, forms
from ivx.taught.corpus import Row, line, pairs
from ivx.taught.train import Texts

SAMPLES = 60
"""Queries of each task in each split."""
SEED = 1
TOKENS = 4
"""How many tokens are written after each prompt: one more than the longest answer has."""
SPELLING = "space"
SPLITS = {"held-out": "held out", "seen": "seen"}
"""Queries and wordings that training never saw, and those it was made of."""

Figures = dict[str, dict[str, Any]]


def measure(model: Model) -> Figures:
    """By task and split: shares that follow, told and untold, and how likely both answers are when told."""
    return {name: {split: _measured(model, pair, split) for split in SPLITS} for name, pair in pairs().items()}


def _measured(model: Model, pair: Pair, split: str) -> dict[str, Any]:
    samples = build(
        pair, model.tokenizer, way=Way("prompt", spelling=SPELLING), samples=SAMPLES, seed=SEED, split=split
    )
    rows = samples.rows
    told, told_first = _written(model, rows, [row.instructed for row in rows])
    bare, bare_first = _written(model, rows, [row.target for row in rows])
    following = Following.counted(told, bare)
    answer, contrast = _likelihoods(model, samples, pair)
    return {
        "n": len(rows),
        "told": _shown(following.told),
        "untold": _shown(following.bare),
        "difference": _shown(following.difference),
        "follows": following.follows,
        "first token": [_rounded(np.mean(told_first)), _rounded(np.mean(bare_first))],
        "log-probability": [_rounded(answer), _rounded(contrast)],
    }


def _written(model: Model, rows: tuple[Sample, ...], prompts: list[tuple[int, ...]]) -> tuple[list[bool], list[bool]]:
    """Whether what is written after each prompt begins with the whole answer, and whether its first token is right."""
    whole, first = [], []
    for row, one in zip(rows, generate(model, prompts, tokens=TOKENS), strict=True):
        text = str(model.tokenizer.decode(list(one.ids), clean_up_tokenization_spaces=False))
        own = forms(row.answer, SPELLING, other=(row.query, row.contrast))
        whole.append(any(begins(text, form, ended=one.ended) for form in own))
        first.append(one.ids[:1] == (row.answer_id,))
    return whole, first


def _likelihoods(model: Model, samples: Samples, pair: Pair) -> tuple[float, float]:
    """Mean log-probability of the whole answer and of the contrast's, each with its line break, when told."""
    task = pair.task
    rows = [
        Row(
            task.template.instructed(row.instruction.text, field=task.field_of(row.query), query=row.query),
            line(row.answer),
            line(row.contrast),
        )
        for row in samples.rows
    ]
    with torch.inference_mode():
        found = Texts(model.tokenizer).scores(model.hf, rows, others=True)
    return float(found.told.double().mean()), float(found.other.double().mean())


def _shown(share: Share) -> list[float]:
    """Value, lower and upper end."""
    return [_rounded(value) for value in share]


def _rounded(value: Any) -> float:
    """To the digits that the card shows."""
    return round(float(value), 2) + 0.0
