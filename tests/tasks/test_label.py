"""Tokens as they are drawn: spaces and line breaks are seen, bytes become letters, whatever the vocabulary."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from ivx.tasks.label import label_of


@pytest.mark.parametrize(
    ("piece", "drawn"),
    [
        ("Ġbrown", "␣brown"),
        ("▁brown", "␣brown"),
        ("brown", "brown"),
        ("Ċ", "⏎"),
        ("ĊĊ", "⏎⏎"),
        ("Ġ", "␣"),
        ("ĉ", "⇥"),
        ("cafÃ©", "café"),
        ("café", "café"),
        ("ĠâĨĴ", "␣→"),
        ("âĨ", "âĨ"),
        ("##nverse", "##nverse"),
        ("<|im_start|>", "<|im_start|>"),
        ("▁日本", "␣日本"),
        ("", "␣"),
        ("‹query›", "‹query›"),
        ("\n", "⏎"),
    ],
)
def test_what_does_not_show_is_drawn(piece: str, drawn: str) -> None:
    assert label_of(piece) == drawn


def test_the_labels_of_a_byte_level_vocabulary_are_its_text() -> None:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(["a café\n\tnaïve → word"], trainers.BpeTrainer(vocab_size=400, show_progress=False))
    text = "a café\n\tword → naïve"
    labels = [label_of(made.id_to_token(i)) for i in made.encode(text).ids]
    marks = {"␣": " ", "⏎": "\n", "⇥": "\t"}
    drawn = "".join(labels)
    assert "".join(marks.get(letter, letter) for letter in drawn) == text
