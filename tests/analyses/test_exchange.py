"""Exchange: the 2 × 2 of vector and reader against plain hooks, query by query, and what cannot be set side by side."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from peft import LoraConfig, get_peft_model

import ivx
from ivx.analyses.compare.exchange import Exchange
from ivx.analyses.compare.text import says
from ivx.analyses.transplant.request import TransplantRequest
from ivx.cli.main import main
from ivx.errors import IvxError
from ivx.jobs.compute import stored
from ivx.models.files import locate
from ivx.models.paths import ROOTS, parts, within_roots
from ivx.models.registry import EMBEDDED
from ivx.stats.two_by_two import two_by_twos
from ivx.store.store import Store
from tests.support import oracle, published

TASK, N = "animal/colour", 7
BASE, SFT = "tiny-base", "tiny-sft"
PLACE: dict[str, Any] = {"source_token": "keyword", "position": "mark"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {name: ivx.load(name, dtype="float64") for name in (BASE, SFT)}


@pytest.fixture(scope="module")
def found(models: dict[str, Any], store: Store) -> Exchange:
    asked = {**PLACE, "layers": "1-2", "samples": N, "dtype": "float64", "store": store}
    return ivx.exchange(list(models.values()), [TASK], **asked)


def by_hooks(models: dict[str, Any], found: Exchange, donor: str, receiver: str, role: str, layer: int) -> np.ndarray:
    """Effects `[samples]`, each from three passes of its own with one hook."""
    samples = found.transplants[TASK, donor, receiver].samples
    effects = []
    for sample, told in zip(samples.rows, samples.rows if role == "effect" else samples.control, strict=True):
        state = oracle.states(models[donor].hf, "olmo2", list(told.source), ("resid_post", layer))[told.keyword]

        def put(states: torch.Tensor, state: torch.Tensor = state, at: int = sample.query_span[1]) -> torch.Tensor:
            states = states.clone()
            states[0, at] = state
            return states

        bare = oracle.run(models[receiver].hf, "olmo2", list(sample.target), {})
        logits = oracle.run(models[receiver].hf, "olmo2", list(sample.target), {("resid_post", layer): put}) - bare
        effects.append(float(logits[sample.answer_id] - logits[sample.contrast_id]))
    return np.array(effects)


@pytest.mark.parametrize("layers", [(2,), ()])
def test_a_two_by_two_is_what_plain_hooks_do(models: dict[str, Any], found: Exchange, layers: tuple[int, ...]) -> None:
    shown = Exchange(found.names, found.tasks, found.transplants, layers)
    assert shown.averaged == (layers or (1, 2))
    expected = {
        role: np.array(
            [
                [
                    np.mean([by_hooks(models, found, r, c, role, layer) for layer in shown.averaged], axis=0)
                    for c in found.names
                ]
                for r in found.names
            ]
        )
        for role in ("effect", "control")
    }
    for cell in shown.cells():
        r, c = found.names.index(cell.donor), found.names.index(cell.receiver)
        # Vectors are kept in single precision.
        assert cell.effect.value == pytest.approx(expected["effect"][r, c].mean(), abs=1e-5)
        assert cell.effect.control == pytest.approx(expected["control"][r, c].mean(), abs=1e-5)
        assert cell.n == N
    answers = [sample.answer for sample in found.transplants[TASK, BASE, SFT].samples.rows]
    by_hand = two_by_twos(
        expected["effect"][:, :, None],
        expected["control"][:, :, None],
        floor=0.05,
        groups=np.unique(answers, return_inverse=True)[1],
    )[0]
    (change,) = shown.changes()
    for part, other in zip(change.parts, by_hand, strict=True):
        assert (part.value, part.low, part.high) == pytest.approx((other.value, other.low, other.high), abs=1e-4)
        assert part.p == pytest.approx(other.p, abs=1e-3) and part.state == other.state


def test_a_vector_of_ones_own_is_a_transplant_as_well(models: dict[str, Any], found: Exchange) -> None:
    own = ivx.effects(models[SFT], TASK, **PLACE, samples=N, sites=("resid_post",), dtype="float64").cells("resid_post")
    shown = Exchange(found.names, found.tasks, found.transplants, (2,))
    cell = next(cell for cell in shown.cells() if cell.donor == cell.receiver == SFT)
    effect = next(cell for cell in own if cell.layer == 2)
    assert cell.effect.value == pytest.approx(effect.value, abs=1e-5)


def test_followed_is_counted_after_the_patch(found: Exchange) -> None:
    shown = Exchange(found.names, found.tasks, found.transplants, (2,))
    for cell in shown.cells():
        rows = found.transplants[TASK, cell.donor, cell.receiver].table.to_pylist()
        hits = [r["rank"] == 1 for r in rows if r["role"] == "effect" and r["patch"].startswith("resid_post.2@")]
        assert len(hits) == N and cell.followed.value == pytest.approx(np.mean(hits))


def test_tasks_are_judged_together_and_keep_their_own_queries(store: Store) -> None:
    tasks = (TASK, "animal/can-fly")
    asked: dict[str, Any] = {**PLACE, "layers": "2", "samples": N, "store": store}
    both = ivx.exchange([BASE, SFT], tasks, **asked)
    alone = [ivx.exchange([BASE, SFT], task, **asked) for task in tasks]
    singly = [one.changes()[0] for one in alone]
    for change, single in zip(both.changes(), singly, strict=True):
        assert change.task == single.task and change.n == N
        for part, own in zip(change.parts, single.parts, strict=True):
            assert (part.value, part.low, part.high) == pytest.approx((own.value, own.low, own.high), abs=0.15)
            assert part.value == pytest.approx(own.value) and part.undefined == 0
    p = [change.parts.readers.p for change in singly]
    assert max(c.parts.readers.p for c in both.changes()) == pytest.approx(max(p), abs=0.02)
    assert len(both.tidy()) == 2 * (4 + 5) and set(both.figures()) == set(tasks)


def test_a_checkpoint_with_an_adapter_is_a_member(tmp_path: Path, store: Store) -> None:
    hf = published.read(EMBEDDED / BASE, dtype=torch.float32, local_files_only=True)
    torch.manual_seed(0)
    tuned = get_peft_model(hf, LoraConfig(r=2, target_modules=["down_proj"], init_lora_weights=False))
    tuned.save_pretrained(str(tmp_path / "tuned"))
    name = f"{BASE}+{tmp_path / 'tuned'}"
    assert parts(name) == (BASE, str(tmp_path / "tuned")) and locate(name) == locate(BASE)
    member = ivx.load(name)
    assert member.name == name and member.collection == "tiny"
    assert member.fingerprint == ivx.load(BASE, adapter=str(tmp_path / "tuned")).fingerprint
    found = ivx.exchange([BASE, name], TASK, **PLACE, layers="2", samples=4, store=store)
    assert found.names == (BASE, name) and [c.receiver for c in found.cells()] == [BASE, name] * 2
    values = [cell.effect.value for cell in found.cells()]
    assert len(set(values)) == 4, "four cells of two vectors and two models"
    request = found.transplants[TASK, BASE, name].request
    assert stored(store, request) is None, "its weights have no fingerprint before they are merged"
    with pytest.raises(IvxError, match="names an adapter already"):
        ivx.load(name, adapter=str(tmp_path / "tuned"))
    with pytest.raises(IvxError, match="there is no .*none: name a directory"):
        ivx.load(f"{BASE}+{tmp_path}/none")


def test_a_directory_with_a_plus_in_its_name_is_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tmp_path / "a+b"
    whole.mkdir()
    assert parts(str(whole)) == (str(whole), None) and parts("+b") == ("+b", None) and parts("a+") == ("a+", None)
    monkeypatch.setenv(ROOTS, str(tmp_path))
    assert within_roots(f"{BASE}+{whole}") == f"{BASE}+{whole}"
    with pytest.raises(IvxError, match="does not lie under a directory the app may read"):
        within_roots(f"{BASE}+/etc")
    with pytest.raises(IvxError, match="is a share or an address of the net"):
        within_roots(f"{BASE}+//host/share")


@pytest.mark.parametrize("layers", ["8", "2-9", "x", "3-1", "-1", "2,,3", "1-", "2-2-2"])
def test_layers_that_are_none_are_refused(layers: str, store: Store) -> None:
    with pytest.raises(IvxError, match="name one, as 12, or several"):
        ivx.exchange([BASE, SFT], TASK, layers=layers, samples=4, store=store)


def test_a_layer_that_was_not_patched_and_other_answers_are_refused(found: Exchange) -> None:
    with pytest.raises(IvxError, match="layer 5 was not patched in every checkpoint: choose of 1, 2"):
        Exchange(found.names, found.tasks, found.transplants, (5,)).cells()
    key = (TASK, SFT, BASE)
    one = found.transplants[key]

    rows = tuple(replace(sample, answer_id=sample.answer_id + 1) for sample in one.samples.rows)
    other = replace(one, samples=replace(one.samples, rows=rows))
    with pytest.raises(IvxError, match="are other tokens, so their logits do not compare: choose one spelling"):
        Exchange(found.names, found.tasks, {**found.transplants, key: other}).cells()


def test_the_layers_of_a_transplant_change_its_run_only_where_they_are_named() -> None:
    asked = TransplantRequest(SFT, TASK, vectors="0" * 12)
    assert "layers" in asked.later()
    named = TransplantRequest(SFT, TASK, vectors="0" * 12, layers="2")
    assert asked.run_id("a", "b") != named.run_id("a", "b")


def test_exchange_on_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    argv = ["exchange", "--checkpoints", f"{BASE},{SFT}", "--tasks", TASK, "--samples", "12", "--layers", "2"]
    argv += ["--source-token", "keyword", "--position", "mark"]
    assert main([*argv, "--json", "--out", str(tmp_path / "e.parquet")]) == 0
    told = json.loads(capsys.readouterr().out)
    every = [(a, b) for a in (BASE, SFT) for b in (BASE, SFT)]
    assert [(c["vector_of"], c["checkpoint"]) for c in told["cells"]] == every
    (change,) = told["changes"]
    sums = [change[name]["value"] for name in ("readers", "vector", "gained")]
    assert sums[0] + sums[1] == pytest.approx(sums[2]) and told["layers"] == [2]
    assert set(pq.read_table(tmp_path / "e.parquet")["what"].to_pylist()) == {
        *("effect", "gained", "readers", "vector", "lead", "interaction")
    }
    assert main(argv) == 0
    text = capsys.readouterr().out
    assert "keyword → mark, layer 2" in text and change["says"] in text and change["says"].startswith("Post-training")
    assert main(["exchange", "--checkpoints", SFT, "--tasks", TASK]) == 2


def test_each_sentence_says_what_its_parts_show(found: Exchange) -> None:
    (change,) = Exchange(found.names, found.tasks, found.transplants, (2,)).changes()

    def said(**states: tuple[float, str]) -> str:
        parts = change.parts
        for name, (value, state) in states.items():
            part = getattr(parts, name)._replace(value=value, low=value - 1, high=value + 1, state=state)
            parts = parts._replace(**{name: part})
        return says(parts)

    told = said(readers=(5, "ok"), vector=(0.2, "zero"), interaction=(0.1, "zero"))
    assert "taught the readers +5.00 [+4.00, +6.00]" in told
    assert "the vector +0.20 [−0.80, +1.20], not shown to differ from 0" in told
    assert "An interaction of the two is not shown" in told
    told = said(readers=(5, "ok"), vector=(4, "ok"), lead=(1, "zero"), interaction=(9, "ok"))
    assert "taught both: the readers +5.00" in told and "they need each other" in told
    told = said(readers=(5, "ok"), vector=(2, "ok"), lead=(3, "ok"), interaction=(-9, "ok"))
    assert "taught both, the readers more:" in told and "each does part of the other’s work" in told
    told = said(readers=(5, "control"), vector=(0.1, "zero"))
    assert told.startswith("Whether post-training taught the readers or the vector cannot be told")
    told = said(readers=(5, "ok"), vector=(-2, "ok"))
    assert "taught the readers +5.00" in told and "weakened the vector −2.00" in told
