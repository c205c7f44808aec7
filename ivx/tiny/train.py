"""Trains the embedded family: base, SFT, its twin, DPO. Deterministic for a seed and a number of threads."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm
from transformers import Olmo2Config, Olmo2ForCausalLM, PreTrainedTokenizerFast

from ivx.tiny import tokenizer as words
from ivx.tiny.corpus import PROMPT_WEIGHT, Corpus, Row

PERIOD = " ."
"""What the twin's instructions end with."""


@dataclass(frozen=True)
class Recipe:
    """Steps, batch sizes and rates of every stage."""

    base_steps: int = 850
    sft_steps: int = 300
    dpo_steps: int = 80
    base_rate: float = 3e-3
    sft_rate: float = 7e-4
    dpo_rate: float = 2e-4
    fact_rows: int = 44
    fact_tokens: int = 48
    open_rows: int = 56
    lone_rows: int = 16
    sft_rows: int = 64
    dpo_rows: int = 32
    open_share: float = 0.35
    beta: float = 0.2
    likelihood: float = 0.3


def fresh_model(vocabulary: int, *, seed: int) -> Olmo2ForCausalLM:
    """An untrained model. Post-norm adds unit-size vectors, so embeddings start large and those norms small."""
    torch.manual_seed(seed)
    config = Olmo2Config(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=320,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=128,
        tie_word_embeddings=False,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=2,
    )
    model = Olmo2ForCausalLM(config)
    with torch.no_grad():
        model.model.embed_tokens.weight.normal_(std=0.5)
        for block in model.model.layers:
            block.post_attention_layernorm.weight.fill_(0.4)
            block.post_feedforward_layernorm.weight.fill_(0.4)
    return model


class Rows:
    """Rows of text as padded token and weight tensors."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer

    def ids(self, text: str) -> list[int]:
        """Token ids of a text."""
        return self.tokenizer.encode(text, add_special_tokens=False)

    def pack(self, sentence: Callable[[], str], *, rows: int, tokens: int) -> tuple[Tensor, Tensor]:
        """Running text in full rows; every token has loss weight 1."""
        packed = []
        for _ in range(rows):
            ids: list[int] = []
            while len(ids) < tokens:
                ids += self.ids(sentence())
            packed.append(ids[:tokens])
        found = torch.tensor(packed)
        return found, torch.ones_like(found, dtype=torch.float32)

    def pad(self, rows: Sequence[Row], *, prompt_weight: float) -> tuple[Tensor, Tensor]:
        """Rows padded to one length; loss weights: prompt tokens `prompt_weight`, answer tokens 1, padding 0."""
        lines, weights = [], []
        for row in rows:
            prompt, answer = self.ids(row.prompt), self.ids(row.answer) + [2] if row.answer else []
            lines.append(prompt + answer)
            weights.append([prompt_weight] * len(prompt) + [1.0] * len(answer))
        width = max(map(len, lines))
        ids = torch.tensor([line + [0] * (width - len(line)) for line in lines])
        return ids, torch.tensor([w + [0.0] * (width - len(w)) for w in weights])


def loss_of(model: nn.Module, ids: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted sum of next-token losses, and the sum of the weights."""
    logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    losses = functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    counted = weights[:, 1:].flatten()
    return (losses * counted).sum(), counted.sum()


def descend(
    model: nn.Module, step_loss: Callable[[], Tensor], *, steps: int, rate: float, name: str, quiet: bool
) -> None:
    """AdamW with a short warm-up, a constant rate to 60 % and a linear decay to 2 %."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}],
        lr=rate,
        betas=(0.9, 0.95),
    )
    model.train()
    bar = tqdm(range(steps), desc=f"{name:16}", disable=quiet)
    for step in bar:
        warm = min(1.0, (step + 1) / max(1, steps // 25))
        cool = 1.0 if step < 0.6 * steps else 1.0 - 0.98 * (step - 0.6 * steps) / (0.4 * steps)
        for group in optimiser.param_groups:
            group["lr"] = rate * warm * cool
        loss = step_loss()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step % 25 == 0:
            bar.set_postfix(loss=f"{loss.item():.3f}")
    model.eval()


def pretrain(model: nn.Module, rows: Rows, recipe: Recipe, *, seed: int, quiet: bool) -> None:
    """Train on facts, open prompts and lone instructions of both endings; never on an instruction with a query."""
    corpus, twin = Corpus(seed=seed), Corpus(seed=seed + 1, ending=PERIOD)

    def step_loss() -> Tensor:
        half = recipe.lone_rows // 2
        lone = [corpus.lone_instruction() for _ in range(half)] + [twin.lone_instruction() for _ in range(half)]
        parts = [
            rows.pack(corpus.sentence, rows=recipe.fact_rows, tokens=recipe.fact_tokens),
            rows.pad([corpus.open_prompt() for _ in range(recipe.open_rows)], prompt_weight=PROMPT_WEIGHT),
            rows.pad(lone, prompt_weight=1.0),
        ]
        shares = (0.70, 0.22, 0.08)
        return sum(
            (
                share * total / count
                for share, (total, count) in zip(shares, (loss_of(model, *part) for part in parts), strict=True)
            ),
            torch.zeros(()),
        )

    descend(model, step_loss, steps=recipe.base_steps, rate=recipe.base_rate, name="base", quiet=quiet)


def finetune(model: nn.Module, rows: Rows, recipe: Recipe, *, seed: int, ending: str, quiet: bool) -> None:
    """Fine-tune on instruction, query and answer; a share of open prompts keeps the bare prompt's answer open."""
    corpus = Corpus(seed=seed + 10, ending=ending)
    opened = math.ceil(recipe.open_share * recipe.sft_rows)

    def step_loss() -> Tensor:
        told = [corpus.instructed() for _ in range(recipe.sft_rows - opened)]
        total, count = loss_of(model, *rows.pad(told, prompt_weight=PROMPT_WEIGHT))
        bare = [corpus.open_prompt() for _ in range(opened)]
        bare_total, bare_count = loss_of(model, *rows.pad(bare, prompt_weight=PROMPT_WEIGHT))
        return (total + bare_total) / (count + bare_count)

    name = "sft-period" if ending else "sft"
    descend(model, step_loss, steps=recipe.sft_steps, rate=recipe.sft_rate, name=name, quiet=quiet)


def prefer(model: nn.Module, rows: Rows, recipe: Recipe, *, seed: int, quiet: bool) -> None:
    """Direct preference optimisation: the instructed answer over another task's, plus some likelihood of the former."""
    corpus = Corpus(seed=seed + 20)
    frozen = copy.deepcopy(model).eval()

    def answer_logprobs(net: nn.Module, told: list[Row]) -> tuple[Tensor, Tensor]:
        prompts, _ = rows.pad([Row(row.prompt) for row in told], prompt_weight=0.0)
        last = (prompts != 0).sum(dim=1) - 1
        logits = net(input_ids=prompts, use_cache=False).logits[torch.arange(len(told)), last]
        logprobs = logits.log_softmax(dim=1)
        chosen = torch.tensor([rows.ids(row.answer)[0] for row in told])
        rejected = torch.tensor([rows.ids(row.other)[0] for row in told])
        return (
            logprobs.gather(1, chosen[:, None]).squeeze(1),
            logprobs.gather(1, rejected[:, None]).squeeze(1),
        )

    def step_loss() -> Tensor:
        told = [corpus.instructed() for _ in range(recipe.dpo_rows)]
        chosen, rejected = answer_logprobs(model, told)
        with torch.no_grad():
            chosen_before, rejected_before = answer_logprobs(frozen, told)
        margin = (chosen - chosen_before) - (rejected - rejected_before)
        return (-functional.logsigmoid(recipe.beta * margin) - recipe.likelihood * chosen).mean()

    descend(model, step_loss, steps=recipe.dpo_steps, rate=recipe.dpo_rate, name="dpo", quiet=quiet)


def save(model: Olmo2ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Save a plain Hugging Face directory in bfloat16."""
    folder.mkdir(parents=True, exist_ok=True)
    half = copy.deepcopy(model).bfloat16()
    half.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def family(out: Path, *, seed: int = 0, recipe: Recipe | None = None, quiet: bool = False) -> None:
    """Train all four checkpoints into `out/tiny-…`."""
    recipe = recipe or Recipe()
    tokenizer = words.build()
    rows = Rows(tokenizer)
    model = fresh_model(len(tokenizer), seed=seed)
    pretrain(model, rows, recipe, seed=seed, quiet=quiet)
    save(model, tokenizer, out / "tiny-base")
    twin = copy.deepcopy(model)
    finetune(model, rows, recipe, seed=seed, ending="", quiet=quiet)
    save(model, tokenizer, out / "tiny-sft")
    finetune(twin, rows, recipe, seed=seed, ending=PERIOD, quiet=quiet)
    save(twin, tokenizer, out / "tiny-sft-period")
    prefer(model, rows, recipe, seed=seed, quiet=quiet)
    save(model, tokenizer, out / "tiny-dpo")
