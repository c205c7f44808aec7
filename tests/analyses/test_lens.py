"""The lens against the model's own logits and plain hooks; its texts against generation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

import ivx
from ivx.analyses.lens import LENS
from ivx.analyses.lens.request import LensRequest
from ivx.analyses.lens.request import place_of as place
from ivx.engine.address import Spot
from ivx.engine.hooks.generate import generate
from ivx.engine.hooks.lens import TOP, cone, drop, lens
from ivx.errors import AddressError, TaskError
from ivx.models.load import load
from ivx.patching import gate
from ivx.tasks.encoder import Encoder
from tests.support import oracle
from tests.support.random_models import random_model

KINDS = ("olmo2", "llama", "gpt2", "gemma2", "gpt_neox")
MODELS = {kind: random_model(kind) for kind in KINDS}
SOURCE, TARGET = [70, 71, 72, 73, 74], [5, 17, 33, 8, 64, 90]


def logits(kind: str, ids: list[int], edits: dict, *, layer: int, position: int) -> torch.Tensor:
    """The stream after one block at one token, put behind the last block and read by the model itself."""
    model = MODELS[kind]
    found: list[torch.Tensor] = []

    def keep(state: torch.Tensor) -> torch.Tensor:
        state = edits.get(("resid_post", layer), lambda s: s)(state)
        found.append(state[0, position].clone())
        return state

    oracle.run(model.hf, kind, ids, {**edits, ("resid_post", layer): keep})

    def last(state: torch.Tensor) -> torch.Tensor:
        state = state.clone()
        state[0, -1] = found[0]
        return state

    return oracle.run(model.hf, kind, ids, {("resid_post", model.layers - 1): last}).softmax(dim=0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_layer_is_what_the_model_says(kind: str) -> None:
    model = MODELS[kind]
    own = model.hf(input_ids=torch.tensor([TARGET])).logits[0].softmax(dim=1).topk(TOP)
    found = lens(model, TARGET)
    assert (found.top_ids[-1] == own.indices.numpy()).all() and found.deviation < 1e-12
    assert np.abs(found.shares[-1] - own.values.detach().numpy()).max() < 1e-10


@pytest.mark.parametrize("kind", ["bitnet", "gpt_oss", "cohere", "granite"])
def test_the_last_layer_is_what_the_model_says_whatever_its_tail(kind: str) -> None:
    model = random_model(kind)
    own = model.hf(input_ids=torch.tensor([TARGET])).logits[0].softmax(dim=1).topk(TOP)
    assert np.abs(lens(model, TARGET).shares[-1] - own.values.detach().numpy()).max() < 1e-6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("take", "put"), [(Spot(1, -1), Spot(1, 0)), (Spot(2, 1), Spot(0, 2)), (Spot(0, 0), Spot(2, 3))]
)
def test_a_patched_grid_is_what_plain_hooks_read(kind: str, take: Spot, put: Spot) -> None:
    model = MODELS[kind]
    theirs = oracle.states(model.hf, kind, SOURCE, ("resid_post", take.layer))[take.position]

    def edit(state: torch.Tensor) -> torch.Tensor:
        state = state.clone()
        state[0, put.position] = theirs
        return state

    found = drop(model, SOURCE, TARGET, take=take, put=put)
    plain = lens(model, TARGET)
    for layer in range(model.layers):
        for position in range(len(TARGET)):
            share = logits(kind, TARGET, {("resid_post", put.layer): edit}, layer=layer, position=position)
            before = logits(kind, TARGET, {}, layer=layer, position=position)
            best = share.topk(TOP)
            assert found.lens.top_ids[layer, position].tolist() == best.indices.tolist()
            assert np.abs(found.lens.shares[layer, position] - best.values.numpy()).max() < 1e-10
            assert abs(found.change[layer, position] - float((share - before).abs().sum() / 2)) < 1e-10
            assert abs(plain.shares[layer, position, 0] - float(before.max())) < 1e-10


@pytest.mark.parametrize("put", [Spot(0, 0), Spot(1, 2), Spot(2, 5), Spot(2, 1)])
def test_nothing_outside_the_cone_moves_and_all_inside_does(put: Spot) -> None:
    found = drop(MODELS["llama"], SOURCE, TARGET, take=Spot(1, 3), put=put)
    assert (found.cone == cone(put, layers=3, tokens=6)).all()
    assert np.abs(found.moved[~found.cone]).max() < 1e-12 and np.abs(found.change[~found.cone]).max() < 1e-12
    assert found.moved[found.cone].min() > 1e-6 and found.change[found.cone].min() > 1e-9


def test_a_cell_that_is_not_there_is_refused() -> None:
    for take, put in ((Spot(3, 0), Spot(0, 0)), (Spot(0, 5), Spot(0, 0)), (Spot(0, 0), Spot(0, 6))):
        with pytest.raises(AddressError):
            drop(MODELS["llama"], SOURCE, TARGET, take=take, put=put)


def test_free_prompts_are_read_patched_and_refused() -> None:
    model = ivx.load("tiny-sft")
    source, target = "here is the new animal ; give its own colour", "animal : limpet . answer :"
    plain, told = ivx.lens(model, target), ivx.lens(model, source)
    assert (plain.text, plain.layers, plain.first, plain.unknown) == ("mollusc", 8, 0, 0)
    assert told.tokens[-1] == "##olour" and told.cell(Spot(3, -1)).position == len(told.tokens) - 1
    found = ivx.lens(model, target, source=source, take="3@-1", put="3@0")
    assert (found.text, found.control) == ("grey", "mollusc") and all(c["passed"] for c in found.receipt["checks"])
    ids = [model.tokenizer(text)["input_ids"] for text in (source, target)]
    (written,) = generate(model, ids[1:], source=ids[:1], patches="resid_post.3@0~-1", tokens=12)
    assert model.tokenizer.decode(list(written.ids)) == found.text
    assert found.table.num_rows == 8 * 6 * TOP and found.cells[-1].top[0][0] == "grey"
    # Across layers there is no address, and nothing of the target's own layer is taken.
    across = ivx.lens(model, target, source=source, take=place(Spot(2, -1)), put=place(Spot(4, 0)))
    assert across.receipt["patch"] == "resid_post.2@-1 → resid_post.4@0" and across.cells[-1].change > 0
    for text, chat, said in (("  ", False, "is empty"), ("animal " * 49, False, "49 tokens"), ("a", True, "no chat")):
        with pytest.raises(TaskError, match=said):
            ivx.lens(model, text, chat=chat)


def test_a_chat_turn_is_the_templates_own() -> None:
    tokenizer = AutoTokenizer.from_pretrained(load("tiny-sft").source, local_files_only=True)
    tokenizer.chat_template = "{% for m in messages %}here is {{ m.content }} . {% endfor %}answer :"
    turn = [{"role": "user", "content": "the animal"}]
    wanted = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_dict=False)
    assert Encoder(tokenizer).free("the animal", chat=True, what="prompt", most=48) == tuple(wanted)


def test_texts_that_ask_a_task_say_first_whether_it_is_followed() -> None:
    prompt, task = "animal : limpet . answer :", "animal/colour"
    free, asked = (ivx.lens("tiny-base", prompt, task=name) for name in ("", task))
    assert gate.sentence(free.receipt) == "" and free.run_id != asked.run_id
    assert free.table.equals(asked.table)
    said = gate.sentence(asked.receipt)
    assert said.startswith("tiny-base does not follow animal/colour") and "what the layers read" in said
    assert LENS.words.text(asked.summary()).startswith(said)
    assert gate.sentence(ivx.lens("tiny-sft", prompt, task=task).receipt) == ""


def test_a_lens_without_a_task_keeps_its_id() -> None:
    asked = LensRequest("tiny-sft", "animal : limpet . answer :")
    assert asked.run_id("0" * 16, asked.about("tiny")) == "5bceef64edcb"
