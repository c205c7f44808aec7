"""Comparison: differences against a slow oracle, transplants against plain hooks, and what cannot be compared."""

from __future__ import annotations

import json
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoTokenizer

import ivx
from ivx.analyses import defaults
from ivx.analyses.compare.differences import accuracies_of, effect_differences, interaction_differences
from ivx.analyses.compare.request import Compared
from ivx.analyses.effects.request import EffectsRequest
from ivx.analyses.transplant.request import TransplantRequest
from ivx.analyses.transplant.result import ROWS, Transplant
from ivx.analyses.vectors.compute import replay as replay_states
from ivx.analyses.vectors.request import VectorsRequest
from ivx.analyses.vectors.result import TABLE as ROWS_OF_VECTORS
from ivx.analyses.vectors.result import Vectors
from ivx.charts.frame import CHOSEN
from ivx.charts.lines import LINES, Dot, Line, colours_of, lines
from ivx.charts.palette import DARK, LIGHT
from ivx.cli.main import main
from ivx.errors import Cancelled, IvxError
from ivx.jobs import compare as module
from ivx.jobs.compute import computed, stored
from ivx.jobs.replay import ReplayRequest, replay
from ivx.models.registry import EMBEDDED, families, steps
from ivx.stats.intervals import means
from ivx.store.store import Store
from tests.support import oracle
from tests.support.random_models import random_model

TASK = "animal/colour"
N = 7
BASE, SFT = "tiny-base", "tiny-sft"


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {name: ivx.load(name) for name in (BASE, SFT)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def vectors(models: dict[str, Any], store: Store) -> dict[str, Vectors]:
    found = {}
    for name, model in models.items():
        request = VectorsRequest(name, TASK, samples=N)
        computed(store, model, request)
        kept = stored(store, request)
        assert kept is not None
        found[name] = kept
    return found


def effect(found: Any, query: str, patch: str, role: str) -> float:
    """One sample's effect, looked up row by row."""
    k = [sample.query for sample in found.samples.rows].index(query)
    rows = [row for row in found.table.to_pylist() if row["sample"] == k and row["role"] == role]
    level = {row["patch"]: row["logit"] - row["contrast"] for row in rows if row["site"] == "resid_post"}
    return level[patch] - level[""]


def test_differences_are_of_the_same_samples(models: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"sites": ("resid_post",), "position": "first"}
    before = ivx.effects(models[BASE], TASK, samples=N, **asked)
    after = ivx.effects(models[SFT], TASK, samples=N + 2, **asked)
    found = effect_differences(before, after)
    queries = [s.query for s in after.samples.rows if s.query in {s.query for s in before.samples.rows}]
    assert len(queries) == N and [cell.layer for cell in found] == list(range(8))
    changes = []
    for cell in found:
        change, control = (
            np.array([effect(after, q, cell.patch, role) - effect(before, q, cell.patch, role) for q in queries])
            for role in ("effect", "control")
        )
        assert cell.value == pytest.approx(change.mean(), abs=1e-4) and cell.n == N
        assert cell.control == pytest.approx(control.mean(), abs=1e-4)
        assert cell.low <= cell.value <= cell.high
        changes.append(change)
    answers = [next(s.answer for s in after.samples.rows if s.query == query) for query in queries]
    p = means(np.stack(changes), groups=np.unique(answers, return_inverse=True)[1]).p
    order, best = np.argsort(p), 1.0
    for rank in range(len(p), 0, -1):
        best = min(best, p[order[rank - 1]] * len(p) / rank)
        assert found[order[rank - 1]].p == pytest.approx(best)
    assert [c.value for c in effect_differences(after, before)] == pytest.approx([-c.value for c in found])


def test_differences_of_pairs_are_of_the_same_samples(models: dict[str, Any]) -> None:
    before, after = (ivx.interactions(models[name], TASK, samples=N) for name in (BASE, SFT))
    found = interaction_differences(before, after)
    assert len(found) == 21, "the pairs with the last layer follow from the singles alone"
    earlier, later = ({c.patch: c.j for c in result.cells()} for result in (before, after))
    for patch, verdict in found.items():
        assert verdict.value == pytest.approx(later[patch] - earlier[patch], abs=1e-4)


def test_what_a_checkpoint_does_when_told(models: dict[str, Any], vectors: dict[str, Vectors]) -> None:
    for name, model in models.items():
        effects = ivx.effects(model, TASK, sites=("resid_post",), position="first", samples=N)
        found = accuracies_of(effects, vectors[name])
        tops = [oracle.run(model.hf, "olmo2", list(s.instructed), {}).argmax().item() for s in effects.samples.rows]
        right = np.mean([top == s.answer_id for top, s in zip(tops, effects.samples.rows, strict=True)])
        assert found.answer == pytest.approx(right) and found.n == N
        assert found.kind == pytest.approx(np.mean([top in vectors[name].options for top in tops]))
        assert found.answer <= (found.kind or 0.0)


def test_cosines_are_those_of_plain_hooks(models: dict[str, Any], vectors: dict[str, Vectors]) -> None:
    found = vectors[SFT].alike(vectors[BASE])
    for layer in (0, 5):
        cosines = []
        for sample in vectors[SFT].samples.rows:
            one, other = (
                oracle.states(models[name].hf, "olmo2", list(sample.source), ("resid_post", layer))[-1].double()
                for name in (BASE, SFT)
            )
            cosines.append(torch.cosine_similarity(one, other, dim=0).item())
        assert found[layer].whole == pytest.approx(np.mean(cosines), abs=1e-5)
    same = vectors[SFT].alike(vectors[SFT])
    assert all(cell.whole == pytest.approx(1.0) and cell.own == pytest.approx(1.0) for cell in same)
    assert all(cell.norm == pytest.approx(norm) for cell, norm in zip(same, vectors[SFT].norms(), strict=True))


@pytest.mark.parametrize("matched", [False, True])
def test_a_transplant_is_what_plain_hooks_do(
    models: dict[str, Any], vectors: dict[str, Vectors], store: Store, matched: bool
) -> None:
    request = TransplantRequest(SFT, TASK, vectors=vectors[BASE].run_id, matched=matched, samples=N)
    found = computed(store, models[SFT], request)
    receiver, layer = models[SFT].hf, 2
    effects: list[float] = []
    control: list[float] = []
    for k, sample in enumerate(found.samples.rows):
        sources = {"effect": sample.source, "control": found.samples.control[k].source}
        own = oracle.states(receiver, "olmo2", list(sample.source), ("resid_post", layer))[-1]
        bare = oracle.run(receiver, "olmo2", list(sample.target), {})
        for role, into in (("effect", effects), ("control", control)):
            state = oracle.states(models[BASE].hf, "olmo2", list(sources[role]), ("resid_post", layer))[-1]
            state = state * own.norm() / state.norm() if matched else state

            def put(states: torch.Tensor, state: torch.Tensor = state, at: int = sample.first) -> torch.Tensor:
                states = states.clone()
                states[0, at] = state
                return states

            logits = oracle.run(receiver, "olmo2", list(sample.target), {("resid_post", layer): put})
            into.append(float((logits - bare)[sample.answer_id] - (logits - bare)[sample.contrast_id]))
    cell = found.cells()[layer]
    assert cell.effect.value == pytest.approx(np.mean(effects), abs=1e-3)
    assert cell.effect.control == pytest.approx(np.mean(control), abs=1e-3)
    same = abs(cell.norm - cell.own_norm) < 1e-3
    assert same == matched and found.table.schema.equals(ROWS)


def test_an_own_vector_transplanted_is_the_effect(
    models: dict[str, Any], vectors: dict[str, Vectors], store: Store
) -> None:
    found = computed(store, models[SFT], TransplantRequest(SFT, TASK, vectors=vectors[SFT].run_id, samples=N))
    effects = ivx.effects(models[SFT], TASK, sites=("resid_post",), position="first", samples=N).cells("resid_post")
    for cell, own in zip(found.cells(), effects, strict=True):
        assert cell.effect.value == pytest.approx(own.value, abs=1e-3) and cell.effect.state == own.state


def test_a_transplant_is_stored_and_gone_on_with(
    models: dict[str, Any], vectors: dict[str, Vectors], store: Store
) -> None:
    request = TransplantRequest(BASE, TASK, vectors=vectors[SFT].run_id, samples=N, position="last")

    def stop(result: Transplant, done: int, total: int) -> None:
        if done == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        computed(store, models[BASE], request, on_progress=stop)
    whole = computed(store, models[BASE], request)
    again = stored(store, request)
    assert again is not None
    assert again.receipt["resumed_rows"] == N * (1 + 2 * 3) and again.donor == SFT
    assert whole.cells() == again.cells() and len(again.cells()) == 8


@pytest.mark.parametrize("matched", [False, True])
def test_vectors_and_transplants_are_replayed(
    models: dict[str, Any], vectors: dict[str, Vectors], store: Store, matched: bool
) -> None:
    request = TransplantRequest(SFT, TASK, vectors=vectors[BASE].run_id, matched=matched, samples=N, seed=0)
    found = computed(store, models[SFT], request)
    accuracies_of = replay(store, models[SFT], ReplayRequest(SFT, found.run_id, rows=12))
    assert (
        len(accuracies_of.rows) == 12
        and accuracies_of.largest < 1e-4
        and accuracies_of.what == "logit"
        and max(map(abs, accuracies_of.again)) > 1
    )
    accuracies_of = replay(store, models[BASE], ReplayRequest(BASE, vectors[BASE].run_id, rows=12))
    assert len(accuracies_of.rows) == 12 and 0 <= accuracies_of.largest < 1e-4 and accuracies_of.what == "state"


def test_a_replay_finds_a_vector_that_is_another(models: dict[str, Any], vectors: dict[str, Vectors]) -> None:
    found = vectors[BASE]
    states = [[value + 0.5 for value in state] for state in found.table["state"].to_pylist()]
    changed = found.table.set_column(5, "state", pa.array(states, ROWS_OF_VECTORS.field("state").type))
    _, zeros, apart = replay_states(models[BASE], replace(found, table=changed), rows=4, seed=0, beat=lambda: None)
    assert zeros == [0.0] * 4 and min(apart) == pytest.approx(0.5 * found.width**0.5, rel=1e-3)


def test_other_shapes_are_refused(vectors: dict[str, Vectors], store: Store) -> None:
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED / SFT, local_files_only=True)
    other = random_model("olmo2", tokenizer=tokenizer, dtype=torch.float32)
    accuracies_of = (
        f"one shape; tiny-sft .donor. has 8 layers of width {vectors[SFT].width}, .* 3 layers of width 32: choose"
    )
    with pytest.raises(IvxError, match=accuracies_of):
        computed(store, other, TransplantRequest("other", f"tiny:{TASK}", vectors=vectors[SFT].run_id, samples=N))
    theirs = ivx.vectors(other, f"tiny:{TASK}", samples=N)
    with pytest.raises(IvxError, match="of one shape"):
        theirs.alike(vectors[SFT])
    maps = [
        ivx.effects(model, f"tiny:{TASK}", sites=("resid_post",), position="first", samples=3) for model in (SFT, other)
    ]
    with pytest.raises(IvxError, match="have other layers or columns"):
        effect_differences(*maps)


def test_vectors_that_are_not_there_are_refused(models: dict[str, Any], store: Store) -> None:
    with pytest.raises(IvxError, match="run 0123456789ab is not complete in the store"):
        computed(store, models[SFT], TransplantRequest(SFT, TASK, vectors="0123456789ab"))
    other = computed(store, models[SFT], EffectsRequest(SFT, TASK, samples=2, sites=("resid_post",)))
    with pytest.raises(IvxError, match="takes the vectors of one run"):
        computed(store, models[SFT], TransplantRequest(SFT, TASK, vectors=other.run_id))
    with pytest.raises(IvxError, match="choose a site other than z"):
        VectorsRequest(SFT, TASK, component="z")


def test_a_family_is_found_and_each_stands_against_the_stage_before() -> None:
    names = families()["tiny"]
    assert steps(names) == (
        ("tiny-base", "tiny-sft"),
        ("tiny-sft", "tiny-dpo"),
        ("tiny-base", "tiny-sft-period"),
    )
    assert steps(("here", "tiny-sft", "there")) == (("here", "tiny-sft"), ("tiny-sft", "there"))
    assert module.chosen("tiny") == list(names)
    with pytest.raises(IvxError, match="1 checkpoints: compare 2 to 6, or name a family"):
        module.chosen("tiny-sft")


def test_what_every_page_asks_is_asked_here_too() -> None:
    asked = Compared(TASK)
    first = defaults.glance(SFT, TASK) | {"interactions": defaults.interactions(SFT, TASK)}
    for name in ("effects", "separability", "interactions"):
        assert asked.part(name, SFT) == first[name]


def test_nothing_is_computed_twice_and_one_checkpoint_is_there_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[weakref.ref] = []

    def load(name: str, **options: Any) -> Any:
        assert not any(model() is not None for model in loaded), "the one before is let go first"
        model = ivx.load(name, **options)
        loaded.append(weakref.ref(model))
        return model

    monkeypatch.setattr(module, "load", load)
    asked: dict[str, Any] = {"samples": 4, "parts": ("effects",), "transplant": True, "store": Store(tmp_path)}
    found = ivx.compare([BASE, SFT], TASK, **asked)
    assert len(loaded) == 4, "each once for its own parts, and once for what others put into it"
    again = ivx.compare([BASE, SFT], TASK, **asked)
    assert len(loaded) == 4 and again.table.equals(found.table)
    assert set(found.transplants) == {(a, b) for a in (BASE, SFT) for b in (BASE, SFT)}
    spec = found.figure()
    assert "SFT" not in json.dumps(spec["config"]) and len(spec["hconcat"]) == 3
    scales = {json.dumps(layer["encoding"]["color"]) for part in spec["hconcat"] for layer in part["layer"][:1]}
    assert len(scales) == 1, "one scale for all"
    assert not any("name" in layer for part in spec["hconcat"] for layer in part["layer"])


def test_compare_on_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    argv = ["compare", "--checkpoints", f"{BASE},{SFT}", "--task", TASK, "--samples", "4", "--pair-samples", "4"]
    argv += ["--tasks", "animal/colour,animal/can-fly", "--wordings", "20", "--transplant"]
    assert main([*argv, "--json", "--out", str(tmp_path / "c.parquet")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["checkpoint"] for row in found["accuracies"]] == [BASE, SFT]
    assert {"value", "low", "high", "p", "control", "state"} <= set(found["differences"][0])
    assert len(found["cosines"]) == 8 and len(found["separability"]) == 16 and not found["refused"]
    assert {(row["donor"], row["checkpoint"]) for row in found["transplant"]} == {
        (a, b) for a in (BASE, SFT) for b in (BASE, SFT)
    }
    table = pq.read_table(tmp_path / "c.parquet")
    assert set(table["what"].to_pylist()) == {
        *("effect", "difference", "separability", "interaction", "interaction difference"),
        *("cosine", "own cosine", "transplant"),
    }
    assert main(argv) == 0
    assert "tiny-sft − tiny-base" in (text := capsys.readouterr().out) and "tiny-base into tiny-sft" in text
    assert main(["compare", "--checkpoints", SFT, "--task", TASK]) == 2
    assert main(["compare", "--checkpoints", f"{SFT},{SFT}", "--task", TASK]) == 2


def test_lines_of_checkpoints_are_told_apart() -> None:
    for palette in (LIGHT, DARK):
        assert colours_of(["base", "SFT", "DPO", "SFT twin"], palette) == [
            palette.faint,
            palette.orange,
            palette.ink,
            palette.blue,
        ]
        assert len(set(colours_of(["SFT", "SFT", "", "", "base", "DPO"], palette))) == 6
    dots = tuple(Dot(layer, layer / 10, layer / 10 - 0.1, layer / 10 + 0.1) for layer in range(3))
    spec = lines([Line("SFT", "#123456", dots)], layers=3, palette=LIGHT, domain=(0, 1), marked=1)
    assert [row["told"] for row in spec["datasets"][LINES]][1] == "SFT, L1: 10% [0%, 20%]"
    assert spec["datasets"][CHOSEN] == [{"layer": 1}]


WAY: dict[str, Any] = {"demonstrations": 4, "template": "{demonstrations} {field} : {query} . answer :"}


def test_every_part_that_asks_is_asked_in_the_way_that_is_named() -> None:
    asked = Compared(TASK, spelling="space", **WAY)
    for name in ("effects", "interactions", "vectors"):
        part: Any = asked.part(name, SFT)
        assert part.way == asked.way and part.way.demonstrations == 4
    assert asked.transplant(SFT, "0" * 12).way == asked.way
    assert asked.part("effects", SFT).controls[-2:] == ("counter", "unpaired")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"template": "no place"}, "holds no {query}"),
        ({"system": "Be brief."}, "system turn belongs to a chat template"),
        ({"demonstrations": 65}, "demonstrations is 65"),
        ({"demonstrations": 4, "source_token": "keyword"}, "demonstrations have no task phrase"),
        ({"spelling": "odd"}, "no spelling 'odd'"),
        ({"target_format": "letter"}, "no target format 'letter'"),
    ],
)
def test_a_way_that_cannot_be_is_refused_before_anything_is_read(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(IvxError, match=told):
        ivx.compare(["no/such", "nor/this"], TASK, **changed)


def test_the_command_asks_in_a_way(capsys: pytest.CaptureFixture[str]) -> None:
    told = ["--checkpoints", f"{BASE},{SFT}", "--task", TASK, "--samples", "4", "--parts", "effects", "--json"]
    assert main(["compare", *told, "--demonstrations", "4", "--template", WAY["template"], "--spelling", "space"]) == 0
    asked = json.loads(capsys.readouterr().out)["request"]
    assert {name: asked[name] for name in WAY} == WAY and asked["spelling"] == "space"
