"""The real family: its text keeps its promises, its passes are exact, its training repeats itself, its cards tell."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig

import ivx
from ivx.models import adapters
from ivx.models.contents import base_of
from ivx.models.registry import ADAPTERS, TAUGHT
from ivx.taught import card, lora
from ivx.taught.corpus import TASKS, Corpus, fingerprint, pairs
from ivx.taught.evaluate import measure
from ivx.taught.forest import forest
from ivx.taught.train import Recipe, Texts, family, follow, prefer
from tests.support import published
from tests.support.tokenizers import tokenizer

SHORT = Recipe(sft_steps=4, dpo_steps=3, sft_wordings=3, dpo_wordings=2, queries=2)


@pytest.fixture(scope="module")
def model() -> ivx.Model:
    """A small random Llama in float64, and a tokenizer to which common words are one token."""
    tok = tokenizer("gpt2", 4000)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tok),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    hf = published.made(config).double()
    hf.model.embed_tokens.weight.data *= 25  # small ones make all logits alike, whatever is taught
    return ivx.wrap(hf, tok, name="little")


def fresh(model: ivx.Model) -> Any:
    return copy.deepcopy(model.hf)


def test_what_is_held_out_never_stands_in_a_row_and_is_the_same_for_both_tasks() -> None:
    corpus = Corpus(seed=3)
    rows = corpus.told(400, 2)
    for name, pair in pairs().items():
        task, other = pair.task, pairs()[pair.contrast.name].task
        families = {wording.family for wording in task.instructions}
        assert len(families) == 15 and len(task.held_out) == 4 and task.held_out < families
        assert abs(len(task.unseen) - len(pair.queries) / 3) < 1
        assert task.unseen == other.unseen and task.held_out == other.held_out
        held = {wording.text for wording in task.instructions if wording.family in task.held_out}
        shown = [row.prompt for row in rows if row.prompt.split(f" {task.field}: ")[0] in held]
        asked = [row.prompt for row in rows if any(f"{task.field}: {query}. " in row.prompt for query in task.unseen)]
        assert not shown and not asked, name
    assert all(row.answer != row.other and row.answer.endswith("\n") for row in rows)


def test_a_forest_has_the_states_of_each_text_alone(model: ivx.Model) -> None:
    draw = torch.Generator().manual_seed(1)
    root = torch.randint(2, 400, (5,), generator=draw).tolist()
    texts = [root, [*root, 7, 8], [*root, 7, 9, 9], [11, *root], [*root, 7, 8, 3], [*root, 7, 8]]
    found = forest(texts)
    assert found.ids.shape[1] == len({tuple(text[: k + 1]) for text in texts for k in range(len(text))})
    with torch.inference_mode():
        states = found.states(model.hf)
        for text, path in zip(texts, found.paths, strict=True):
            alone = model.hf.model(input_ids=torch.tensor([text]), use_cache=False).last_hidden_state[0]
            assert (states[list(path)] - alone).abs().max() < 1e-12


@pytest.mark.parametrize("others", [True, False])
def test_scores_are_those_of_plain_passes(model: ivx.Model, others: bool) -> None:
    corpus, texts = Corpus(seed=5), Texts(model.tokenizer)
    rows = corpus.told(3, 3)
    with torch.inference_mode():
        found = texts.scores(model.hf, rows, others=others)

        def plain(prompt: str, answer: str) -> tuple[float, int]:
            start, ids = len(texts.ids(prompt)), texts.ids(prompt + answer)
            assert ids[:start] == texts.ids(prompt)
            logprobs = model.hf(input_ids=torch.tensor([ids]), use_cache=False).logits[0].log_softmax(dim=1)
            return sum(float(logprobs[at - 1, ids[at]]) for at in range(start, len(ids))), len(ids) - start

        for k, row in enumerate(rows):
            total, count = plain(row.prompt, row.answer)
            assert found.told[k] == pytest.approx(total, abs=1e-10) and found.tokens[k] == count >= 2
            wanted = plain(row.prompt, row.other)[0] if others else total
            assert found.other[k] == pytest.approx(wanted, abs=1e-10)


def test_an_adapter_begins_as_nothing_and_is_merged_as_it_was_taught(model: ivx.Model, tmp_path: Path) -> None:
    ids, hf = torch.tensor([[5, 6, 7, 8]]), fresh(model)
    lora.add(hf, seed=0)
    assert len(list(lora.layers(hf))) == 2 * len(lora.MODULES)
    assert torch.equal(hf(ids).logits, model.hf(ids).logits)
    assert {name.rpartition(".")[2] for name, p in hf.named_parameters() if p.requires_grad} == {"up", "down"}
    with torch.no_grad():
        for _, layer in lora.layers(hf):
            layer.up.normal_(std=0.1)
    lora.save(hf, tmp_path, base="little")
    taught = hf(ids).logits  # of what was written: training goes on from the rounded one
    assert {value.dtype for value in load_file(tmp_path / adapters.WEIGHTS).values()} == {torch.float16}
    merged = adapters.merged(fresh(model), tmp_path)
    assert (merged(ids).logits - taught).abs().max() < 1e-12 < (model.hf(ids).logits - taught).abs().max()
    assert base_of(tmp_path) == "little"


def test_training_is_the_same_for_the_same_seed(model: ivx.Model, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        family(
            ivx.wrap(fresh(model), model.tokenizer, name="little"), tmp_path / name, seed=seed, recipe=SHORT, quiet=True
        )
    for stage in ("sft", "dpo"):
        one, same, other = (load_file(tmp_path / f / f"little-{stage}" / adapters.WEIGHTS) for f in "abc")
        assert all(torch.equal(one[key], same[key]) for key in one)
        assert not all(torch.equal(one[key], other[key]) for key in one)
        assert all(value.isfinite().all() for value in one.values())
    sft, dpo = (load_file(tmp_path / "a" / f"little-{stage}" / adapters.WEIGHTS) for stage in ("sft", "dpo"))
    assert sft.keys() == dpo.keys() and any(not torch.equal(sft[key], dpo[key]) for key in sft)


def test_sft_teaches_the_told_answer_and_dpo_keeps_its_likelihood(model: ivx.Model) -> None:
    rows, texts, recipe = (
        Corpus(seed=9).told(12, 3),
        Texts(model.tokenizer),
        Recipe(sft_steps=40, sft_rate=2e-2, dpo_steps=20, dpo_rate=4e-3),
    )
    hf = fresh(model).float()
    lora.add(hf, seed=0)

    def state() -> tuple[float, float]:
        with torch.inference_mode():
            now = texts.scores(hf, rows, others=True)
        return float(now.told.mean()), float((now.told - now.other).mean())

    start = state()
    follow(hf, texts, recipe, seed=0, quiet=True)
    sft = state()
    prefer(hf, texts, recipe, seed=0, quiet=True)
    dpo = state()
    assert sft[0] > start[0] + 1
    assert dpo[0] > sft[0] and dpo[1] > sft[1], "told answers become likelier, and by more than the contrast's"


def shipped() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ADAPTERS / card.FIGURES).read_text(encoding="utf-8"))
    return found


def test_the_adapters_are_small_whole_and_say_what_they_are() -> None:
    files = [one.adapter / adapters.WEIGHTS for one in TAUGHT if one.adapter]
    assert len(files) == 2 and sum(file.stat().st_size for file in files) <= 10_000_000
    for one, file in zip(TAUGHT, files, strict=True):
        held = load_file(file)
        assert len(held) == 2 * 30 * 7 and {value.dtype for value in held.values()} == {torch.float16}
        assert base_of(file.parent) == one.base == "smollm2"
        told = (file.parent / "README.md").read_text(encoding="utf-8")
        assert "Taught here, with these tasks" in told and "apache-2.0" in told and fingerprint() in told
        assert card.table(shipped()["found"]) in told
    assert shipped()["data"] == fingerprint()


def test_the_family_follows_what_its_cards_say() -> None:
    found = shipped()["found"]
    for task in TASKS:
        before, sft, dpo = (found[name][task]["held-out"] for name in card.NAMES)
        assert min(before["n"], sft["n"], dpo["n"]) >= 48
        assert sft["told"][1] > before["told"][2], "told, its answers come more often than before it was taught"
        assert sft["log-probability"][0] > before["log-probability"][0] + 2
        assert dpo["log-probability"][0] > sft["log-probability"][0] - 1.5, "DPO lowers the answer a little"
        assert dpo["log-probability"][1] < sft["log-probability"][1] - 5, "and the contrast's a good deal"
    # Where the answers come nearly as often untold, nothing is followed: the gate is shut, and the card says so.
    for name, shut in (
        ("smollm2-sft", ["adjective/comparative"]),
        ("smollm2-dpo", ["animal/can-fly", "adjective/comparative"]),
    ):
        assert [task for task in TASKS if not found[name][task]["held-out"]["follows"]] == shut
        told = (ADAPTERS / name / "README.md").read_text(encoding="utf-8")
        assert f"followed by the table's measure: {', '.join(shut)}." in told


@pytest.mark.real
@pytest.mark.slow
def test_the_cards_are_what_is_measured() -> None:
    try:
        ivx.get("smollm2")
    except ivx.IvxError as error:
        pytest.skip(f"no real model here: {error}")
    found = shipped()["found"]
    for name in card.NAMES:
        assert measure(ivx.load(name)) == found[name], name
