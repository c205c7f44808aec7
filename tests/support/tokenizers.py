"""Small real tokenizers, trained on the tasks' own text."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from ivx.tasks import english


def tokenizer(kind: str, size: int = 900) -> PreTrainedTokenizerFast:
    """A small real tokenizer: byte-level without BOS (GPT-2's kind), with BOS, or with Metaspace (Llama's kind).

    With `size` 4,000 nearly every word is one token, as common words are to a real model.
    """
    text = [w.text for t in english.tasks().values() for w in t.instructions]
    text += [f"{t.field}: {q}. Answer: {a}" for t in english.tasks().values() for q, a in t.answers.items()]
    special = ["<s>", "</s>"]
    trainer: trainers.Trainer
    if kind == "metaspace":
        inner = Tokenizer(models.Unigram())
        inner.pre_tokenizer = pre_tokenizers.Metaspace()
        inner.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=size, special_tokens=["<unk>", *special], unk_token="<unk>")
    else:
        inner = Tokenizer(models.BPE())
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        inner.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=size, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        )
    inner.train_from_iterator(text, trainer)
    if kind != "gpt2":
        inner.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", inner.token_to_id("<s>"))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")


def decoded(tok: PreTrainedTokenizerFast, ids: int | Sequence[int]) -> str:
    """The text of one token, or of several."""
    text = tok.decode(ids if isinstance(ids, int) else list(ids))
    assert isinstance(text, str)
    return text
