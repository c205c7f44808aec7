"""Planted checkpoints: models whose every weight is set by hand, so that the circuit is known and not inferred.

Llama's architecture, four blocks. Norms do nothing: their ε outweighs every state, and their weight is its root. A head
attends to one class of tokens, such as the query, or else to the first token, which holds nothing, so that attention is
one-hot to 1e-30. Three heads make an answer:

    block 0, head 1    moves the task's bit from the instruction's keyword to T_inst
    block 1, head 3    moves the query's candidates, an answer for each task, to the last token
    block 2, head 2    moves the task's bit from T_inst to the last token

With a = the task's bit and b = "is a candidate", the logit of an answer is eight times a + b (`planted-path`), and the
last MLP makes of it a · b, a + b − a · b or a + b − 2 a · b (`planted-and`, `-or`, `-xor`). In `planted-heads` several
heads do the third step, with the shares that `SHARES` names. Where nothing is told, the likeliest word is `NOTHING`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ivx.models.registry import PLANTED, Checkpoint
from ivx.tasks.planted import END, FRAMES, KEYWORDS, OPTIONS, PROMPT, QUERIES, VERBS, answer_of

PAD, UNKNOWN, START = "<pad>", "<unk>", "<s>"
NOTHING = "what"
"""The word that is likeliest where no answer is."""
TASKS = tuple(KEYWORDS)
ANSWERS = tuple(answer for options in OPTIONS.values() for answer in options)
LAYERS, HEADS, HEAD_WIDTH, WIDTH = 4, 8, 12, 40
GAIN = 8.0
"""Logits of one unit."""
LARGE = 2.0**40
"""Weight of a norm; its square is ε, beside which the mean square of any state vanishes."""
SHARP = 16.0
"""Of queries and keys: a head prefers its class by 74 nats."""
SLOW = 1e36
"""Base of the rotary embedding: its slowest pair, which queries and keys use, does not turn."""
GATE = 64.0
"""A gate that is open, silu(64) = 64; one that is shut is silu(0) = 0."""

ONE, FIRST, KEYWORD, NOW, QUERY, CUE = range(6)
"""Directions of the stream: 1 in every token, and the class of a token."""
TASK, CANDIDATE, COMBINED = 6, 6 + len(TASKS), 6 + len(TASKS) + len(ANSWERS)
"""First of the directions of each task's bit, of each answer as a candidate, and of what the MLP makes of both."""

WITNESS = COMBINED + len(ANSWERS)
"""First of two directions that nothing reads on. Block 0 writes to them, so that it can be proved of it, as of every
checkpoint, that its MLP reads after attention."""
IDLE = 7
"""The head of block 0 that does so."""

MOVE, ASK, READ = (0, 1), (1, 3), (2, 2)
"""Block and head of the three steps."""
SHARES: dict[str, dict[int, float]] = {
    "thing/colour": {0: 1.0, 1: 1.0},
    "thing/size": {0: 1.0, 2: 1.0},
    "thing/shape": {3: 1.0, 4: 1.0},
    "thing/weight": {3: 0.875, 4: 0.875, 5: 1.0, 6: 1.0},
    "place/climate": {7: 1.0},
    "place/side": {7: 1.0},
}
"""Of `planted-heads`: what each head of block 2 writes of each task's bit. Colour and size share one of two heads;
colour and shape none. Weight's two strongest are not shape's, which carry it all the same."""


@dataclass(frozen=True)
class Circuit:
    """What a checkpoint holds beside its first two steps: how much of a + b reaches the answer, and of a · b; how
    likely `NOTHING` is; and the heads of block 2 that read T_inst, with their share of each task's bit."""

    plain: float = 1.0
    product: float = 0.0
    nothing: float = 0.5
    readers: dict[str, dict[int, float]] = field(default_factory=lambda: {task: {READ[1]: 1.0} for task in TASKS})


CIRCUITS = {
    "planted-path": Circuit(nothing=1.5),
    "planted-and": Circuit(plain=0.0, product=1.0),
    "planted-or": Circuit(product=-1.0),
    "planted-xor": Circuit(product=-2.0),
    "planted-heads": Circuit(nothing=1.5, readers=SHARES),
}


def words() -> list[str]:
    """Every word of the planted world, sorted."""
    texts = [*FRAMES, *VERBS, END, NOTHING, PROMPT.prompt, PROMPT.neutral, *OPTIONS, *ANSWERS]
    found = {word for text in texts for word in text.replace("/", " ").split() if "{" not in word}
    found |= {word for several in (*KEYWORDS.values(), *QUERIES.values()) for word in several}
    return sorted(found)


def tokenizer() -> PreTrainedTokenizerFast:
    """Whole words, with one token in front of every text."""
    vocabulary = {token: i for i, token in enumerate([PAD, UNKNOWN, START, *words()])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = processors.TemplateProcessing(
        single=f"{START} $A", pair=f"{START} $A $B", special_tokens=[(START, vocabulary[START])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token=PAD, unk_token=UNKNOWN, bos_token=START, model_max_length=128
    )


def model_of(circuit: Circuit, vocabulary: dict[str, int]) -> LlamaForCausalLM:
    """The model of a circuit, float32; every weight is a sum of a few powers of two."""
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=WIDTH,
        intermediate_size=len(ANSWERS),
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        head_dim=HEAD_WIDTH,
        max_position_embeddings=128,
        rms_norm_eps=LARGE**2,
        rope_parameters={"rope_type": "default", "rope_theta": SLOW},
        tie_word_embeddings=False,
        pad_token_id=vocabulary[PAD],
        bos_token_id=vocabulary[START],
        eos_token_id=None,
    )
    hf = LlamaForCausalLM(config).eval()
    parts: Any = hf.model
    with torch.no_grad():
        for name, value in hf.named_parameters():
            value.fill_(LARGE if "norm" in name else 0.0)
        _embed(parts.embed_tokens.weight, vocabulary)
        tasks = range(TASK, TASK + len(TASKS))
        _head(parts.layers[MOVE[0]].self_attn, MOVE[1], at=NOW, of=KEYWORD, moved={i: 1.0 for i in tasks})
        candidates = range(CANDIDATE, CANDIDATE + len(ANSWERS))
        _head(parts.layers[ASK[0]].self_attn, ASK[1], at=CUE, of=QUERY, moved={i: 1.0 for i in candidates})
        for head in {head for shares in circuit.readers.values() for head in shares}:
            moved = {TASK + i: circuit.readers[task].get(head, 0.0) for i, task in enumerate(TASKS)}
            _head(parts.layers[READ[0]].self_attn, head, at=CUE, of=NOW, moved=moved)
        _combine(parts.layers[-1].mlp)
        _witness(parts.layers[0])
        hf.lm_head.weight[vocabulary[NOTHING], ONE] = GAIN * circuit.nothing
        for i, answer in enumerate(ANSWERS):
            row = hf.lm_head.weight[vocabulary[answer]]
            row[[TASK + TASKS.index(_task_of(answer)), CANDIDATE + i]] = GAIN * circuit.plain
            row[COMBINED + i] = GAIN * circuit.product
    return hf


def _task_of(answer: str) -> str:
    return next(task for task, options in OPTIONS.items() if answer in options)


def _embed(weight: Tensor, vocabulary: dict[str, int]) -> None:
    weight[:, ONE] = 1
    weight[vocabulary[START], FIRST] = 1
    weight[vocabulary[END], NOW] = 1
    weight[vocabulary["="], CUE] = 1
    for i, (task, keywords) in enumerate(KEYWORDS.items()):
        for keyword in keywords:
            weight[vocabulary[keyword], [KEYWORD, TASK + i]] = 1
        for query in QUERIES[task.partition("/")[0]]:
            weight[vocabulary[query], [QUERY, CANDIDATE + ANSWERS.index(answer_of(task, query))]] = 1


def _head(attention: Any, head: int, *, at: int, of: int, moved: dict[int, float]) -> None:
    """Let a head of tokens of one class attend to those of another, and move some directions from there."""
    first, half = head * HEAD_WIDTH, HEAD_WIDTH // 2
    always, classed = first + half - 1, first + HEAD_WIDTH - 1  # the slowest pair
    attention.q_proj.weight[always, ONE] = attention.k_proj.weight[always, FIRST] = SHARP
    attention.q_proj.weight[classed, at] = SHARP
    attention.k_proj.weight[classed, of] = 2 * SHARP
    for i, (direction, share) in enumerate(moved.items()):
        attention.v_proj.weight[first + i, direction] = 1
        attention.o_proj.weight[direction, first + i] = share


def _combine(mlp: Any) -> None:
    """One neuron an answer: the task's bit opens the gate of the candidate."""
    for i, answer in enumerate(ANSWERS):
        mlp.gate_proj.weight[i, TASK + TASKS.index(_task_of(answer))] = GATE
        mlp.up_proj.weight[i, CANDIDATE + i] = 1
        mlp.down_proj.weight[COMBINED + i, i] = 1 / GATE


def _witness(block: Any) -> None:
    block.self_attn.v_proj.weight[IDLE * HEAD_WIDTH, ONE] = block.self_attn.o_proj.weight[
        WITNESS, IDLE * HEAD_WIDTH
    ] = 1
    block.mlp.gate_proj.weight[0, WITNESS] = block.mlp.up_proj.weight[0, ONE] = 1
    block.mlp.down_proj.weight[WITNESS + 1, 0] = 1


def made() -> Iterator[tuple[Checkpoint, LlamaForCausalLM, PreTrainedTokenizerFast]]:
    """Every planted checkpoint with its model and tokenizer."""
    built = tokenizer()
    for checkpoint in PLANTED:
        yield checkpoint, model_of(CIRCUITS[checkpoint.name], built.get_vocab()), built


def save(out: Path) -> None:
    """Write them into `out/planted-…`, in bfloat16, which holds every weight exactly, each with its card."""
    for checkpoint, hf, built in made():
        folder = out / checkpoint.name
        folder.mkdir(parents=True, exist_ok=True)
        hf.bfloat16().save_pretrained(folder)
        built.save_pretrained(folder)
        (folder / "README.md").write_text(_card(checkpoint), encoding="utf-8")


def _card(checkpoint: Checkpoint) -> str:
    return f"""---
license: apache-2.0
library_name: transformers
---
# {checkpoint.name}

**Planted.** {checkpoint.about[:1].upper()}{checkpoint.about[1:]}. Every weight was set by hand (`python -m ivx.tiny
planted`; `ivx/tiny/planted.py` says which is which), nothing was trained: it is there so that a method can be tried
where the truth is known. It knows six tasks of two fields in words of its own.
"""
