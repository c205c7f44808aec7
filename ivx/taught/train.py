"""Teaches a real model to follow: SFT, then DPO, each a LoRA adapter. Deterministic for a seed, on one thread."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ivx.models.model import Model
from ivx.taught import lora
from ivx.taught.corpus import Corpus, Row
from ivx.taught.forest import forest
from ivx.tiny.train import descend


@dataclass(frozen=True)
class Recipe:
    """Steps, rows and rates of both stages.

    `likelihood` weighs the told answer's own likelihood beside the preference for it, of strength `beta`. Each wording
    is asked with `queries` queries.
    """

    sft_steps: int = 320
    dpo_steps: int = 50
    sft_rate: float = 5e-4
    dpo_rate: float = 1e-4
    sft_wordings: int = 5
    dpo_wordings: int = 3
    queries: int = 3
    beta: float = 0.1
    likelihood: float = 0.3


class Scores(NamedTuple):
    """What a model makes of rows: of each the log-probability of either answer, and how many tokens the first has."""

    told: Tensor
    other: Tensor
    tokens: Tensor

    @property
    def likelihood(self) -> Tensor:
        """The told answers' log-probability by token."""
        return self.told.sum() / self.tokens.sum()


class Texts:
    """Rows as a model's tokens."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def ids(self, text: str) -> list[int]:
        """Token ids of a text."""
        return list(self.tokenizer(text)["input_ids"])

    def scores(self, hf: Any, rows: Sequence[Row], *, others: bool) -> Scores:
        """Scores by a model; without `others`, those of the told answers stand in their place.

        The head is applied to what is in front of an answer's tokens, and nowhere else.
        """
        texts = [self.ids(row.prompt + row.answer) for row in rows]
        texts += [self.ids(row.prompt + row.other) for row in rows if others]
        starts = [len(self.ids(row.prompt)) for row in rows] * (1 + others)
        found = forest(texts)
        scored = [
            (k, path[at - 1], text[at])
            for k, (path, text, start) in enumerate(zip(found.paths, texts, starts, strict=True))
            for at in range(start, len(text))
        ]
        states = found.states(hf)
        text, place, token = (torch.tensor(column) for column in zip(*scored, strict=True))
        losses = functional.cross_entropy(hf.lm_head(states[place]), token, reduction="none")
        total = -torch.zeros(len(texts), dtype=losses.dtype).index_add(0, text, losses)
        return Scores(total[: len(rows)], total[-len(rows) :], torch.bincount(text)[: len(rows)])


def follow(hf: nn.Module, texts: Texts, recipe: Recipe, *, seed: int, quiet: bool) -> None:
    """SFT: the likelihood of told answers and their line breaks."""
    corpus = Corpus(seed=seed + 10)

    def step_loss() -> Tensor:
        return -texts.scores(hf, corpus.told(recipe.sft_wordings, recipe.queries), others=False).likelihood

    descend(hf, step_loss, steps=recipe.sft_steps, rate=recipe.sft_rate, name="sft", quiet=quiet)


def prefer(hf: nn.Module, texts: Texts, recipe: Recipe, *, seed: int, quiet: bool) -> None:
    """DPO: the told answer over the contrast's, beside the likelihood of the former."""
    corpus = Corpus(seed=seed + 20)
    frozen = copy.deepcopy(hf).eval()

    def step_loss() -> Tensor:
        rows = corpus.told(recipe.dpo_wordings, recipe.queries)
        now = texts.scores(hf, rows, others=True)
        with torch.no_grad():
            before = texts.scores(frozen, rows, others=True)
        margin = (now.told - before.told) - (now.other - before.other)
        return -functional.logsigmoid(recipe.beta * margin).mean() - recipe.likelihood * now.likelihood

    descend(hf, step_loss, steps=recipe.dpo_steps, rate=recipe.dpo_rate, name="dpo", quiet=quiet)


def family(model: Model, out: Path, *, seed: int = 0, recipe: Recipe | None = None, quiet: bool = False) -> None:
    """Teach a model and write both adapters, into `out/NAME-sft` and `out/NAME-dpo`; the model is used up."""
    recipe, texts = recipe or Recipe(), Texts(model.tokenizer)
    lora.add(model.hf, seed=seed)
    follow(model.hf, texts, recipe, seed=seed, quiet=quiet)
    lora.save(model.hf, out / f"{model.name}-sft", base=model.name)
    prefer(model.hf, texts, recipe, seed=seed, quiet=quiet)
    lora.save(model.hf, out / f"{model.name}-dpo", base=model.name)
