"""The embedded family: its text keeps its promises, its training repeats itself, its cards tell what is measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ivx.models.registry import CHECKPOINTS, EMBEDDED
from ivx.tasks.tiny import is_unseen
from ivx.tiny import card, tokenizer
from ivx.tiny.corpus import Corpus
from ivx.tiny.evaluate import measure
from ivx.tiny.train import Recipe, family

SHORT = Recipe(base_steps=3, sft_steps=2, dpo_steps=2, fact_rows=4, open_rows=4, lone_rows=4, sft_rows=8, dpo_rows=4)


def test_held_out_pairs_and_frames_never_stand_in_an_instruction_row() -> None:
    corpus = Corpus(seed=3, ending=" .")
    held = {f for task in corpus.tasks.values() for f in task.held_out}
    assert held and not held & {w.family for every in corpus.wordings.values() for w in every}
    assert not any(is_unseen(name, query) for name, seen in corpus.seen.items() for query in seen)
    rows = [corpus.instructed() for _ in range(300)]
    assert all(" . " in r.prompt and r.answer and r.other and r.answer != r.other for r in rows)


def test_every_word_is_a_token_and_keywords_are_several() -> None:
    tok, corpus = tokenizer.build(), Corpus(seed=0)
    texts = [corpus.sentence() for _ in range(300)] + [corpus.instructed().prompt for _ in range(300)]
    assert not any(tok.unk_token_id in tok.encode(text) for text in texts)
    for task in corpus.tasks.values():
        assert all(len(tok.encode(word)) == 1 for pair in task.answers.items() for word in pair)
        wording = task.instructions[0]
        assert wording.phrase is not None
        phrase = wording.text[slice(*wording.phrase)]
        assert len(tok.encode(phrase.split()[-1])) >= 2


@pytest.mark.slow
def test_training_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        family(tmp_path / name, seed=seed, recipe=SHORT, quiet=True)
    for checkpoint in CHECKPOINTS:
        one, same, other = (load_file(tmp_path / f / checkpoint.name / "model.safetensors") for f in "abc")
        assert all(torch.equal(one[key], same[key]) for key in one)
        assert not all(torch.equal(one[key], other[key]) for key in one)


def reproduces(name: str) -> None:
    shipped = json.loads((EMBEDDED / name / card.FIGURES).read_text(encoding="utf-8"))
    figures = {**measure(EMBEDDED / name), "seeds": shipped["seeds"]}
    assert figures == shipped
    assert card.table(name, figures) in (EMBEDDED / name / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_card_of_tiny_sft_is_what_is_measured() -> None:
    reproduces("tiny-sft")


@pytest.mark.slow
@pytest.mark.parametrize("name", [c.name for c in CHECKPOINTS if c.name != "tiny-sft"])
def test_the_other_cards_are_what_is_measured(name: str) -> None:
    reproduces(name)


def test_the_family_teaches_what_its_cards_say() -> None:
    found = {c.name: json.loads((EMBEDDED / c.name / card.FIGURES).read_text()) for c in CHECKPOINTS}
    assert all(len(figures["seeds"]) == 3 for figures in found.values())
    best = {name: max(f["patched"]["T_inst"]["preference"]) for name, f in found.items()}
    assert best["tiny-sft"] > 0.75 and best["tiny-dpo"] > 0.75 and best["tiny-base"] < best["tiny-sft"] - 0.2
    twin = found["tiny-sft-period"]
    assert max(twin["probe"]["accuracy"]) > 0.95 and best["tiny-sft-period"] < 0.6
    assert max(twin["patched"]["keyword"]["preference"]) > 0.75
