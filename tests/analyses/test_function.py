"""Function vectors: every row is what plain hooks do in float64, and an instruction's heads are set beside them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

import ivx
from ivx.analyses.function import FUNCTION
from ivx.analyses.function.asked import Asked, asked_of
from ivx.analyses.function.ranking import Head, average, order, overlap
from ivx.analyses.function.request import FunctionRequest
from ivx.analyses.function.result import ADDED, FunctionVectors, layer_of
from ivx.archive import pack, unpack
from ivx.cli.main import main
from ivx.errors import IvxError
from ivx.jobs.compute import computed
from ivx.models.model import Model
from ivx.store.store import Store
from ivx.tasks.sample import Sample
from tests.support import oracle

TASK, N, TOP = "animal/colour", 8, 4
REQUEST = FunctionRequest("tiny-sft", TASK, samples=N, demonstrations=2, heads=TOP, dtype="float64")
EXACT = 1e-9


@pytest.fixture(scope="module")
def model() -> Model:
    return ivx.load("tiny-sft", dtype="float64")


@pytest.fixture(scope="module")
def found(model: Model) -> FunctionVectors:
    return FUNCTION.compute(model, REQUEST)


@pytest.fixture(scope="module")
def asked(model: Model) -> Asked:
    return asked_of(model, REQUEST)[0]


def row(found: FunctionVectors, role: str, patch: str, sample: int) -> dict[str, Any]:
    table = found.table.to_pylist()
    (one,) = [r for r in table if (r["role"], r["patch"], r["sample"]) == (role, patch, sample) and r["site"]]
    return one


def logits(model: Model, ids: Sequence[int], place: tuple[str, int] | None = None, edit: Any = None) -> Tensor:
    return oracle.run(model.hf, "olmo2", list(ids), {} if place is None else {place: edit})


def same(one: dict[str, Any], found: Tensor, sample: Sample) -> None:
    assert one["logit"] == pytest.approx(found[sample.answer_id].item(), abs=EXACT)
    assert one["contrast"] == pytest.approx(found[sample.contrast_id].item(), abs=EXACT)
    assert one["logsumexp"] == pytest.approx(found.logsumexp(0).item(), abs=EXACT)


def last(model: Model, prompts: Sequence[Sequence[int]], site: str, layer: int) -> list[Tensor]:
    return [oracle.states(model.hf, "olmo2", list(ids), (site, layer))[-1] for ids in prompts]


def put(value: Tensor, part: slice = slice(None), *, add: bool = False) -> Callable[[Tensor], Tensor]:
    def edit(states: Tensor) -> Tensor:
        states = states.clone()
        states[0, -1, part] = states[0, -1, part] + value if add else value
        return states

    return edit


def summed(model: Model, prompts: Sequence[Sequence[int]], heads: Sequence[tuple[int, int]]) -> Tensor:
    """The sum of mean shares, by the modules alone: γ ⊙ W_O z / rms(W_O z)."""
    total = torch.zeros(model.width, dtype=torch.float64)
    for layer, head in heads:
        block: Any = model.blocks[layer]
        weight, norm = block.self_attn.o_proj.weight, block.post_attention_layernorm
        part = slice(head * model.head_dim, (head + 1) * model.head_dim)
        for z in last(model, prompts, "z", layer):
            scale = norm(weight @ z) / (weight @ z)  # its own scale: it is computed in float32, whatever the dtype
            total += (weight[:, part] @ z[part]) * scale / len(prompts)
    return total.detach()


def test_heads_take_their_mean(model: Model, found: FunctionVectors, asked: Asked) -> None:
    assert asked.told is not None
    half = asked.ranking
    runs: dict[str, tuple[Sequence[Sample], list[Sequence[int]], list[Sequence[int]]]] = {
        "demonstrations": (
            asked.samples.rows,
            [s.instructed for s in asked.samples.unpaired],
            [s.instructed for s in asked.samples.rows],
        ),
        "counter": (
            asked.turned.rows,
            [s.instructed for s in asked.turned.unpaired],
            [s.instructed for s in asked.samples.counter],
        ),
        "instruction": (
            asked.samples.rows,
            [s.target for s in asked.samples.rows],
            [s.instructed for s in asked.told.rows],
        ),
    }
    for role, (rows, lacking, proper) in runs.items():
        for layer, head in ((0, 1), (3, 6), (model.layers - 1, 0)):
            part = slice(head * model.head_dim, (head + 1) * model.head_dim)
            mean = torch.stack(last(model, proper[half], "z", layer)).mean(0)[part]
            for k in range(N // 2):
                edited = logits(model, lacking[k], ("z", layer), put(mean, part))
                same(row(found, role, f"z.{layer}.{head}@-1=mean", k), edited, rows[k])
                same(row(found, role, "", k), logits(model, lacking[k]), rows[k])
    colours = asked.samples.counter[0]
    assert asked.turned.rows[0].answer == colours.contrast and asked.turned.rows[0].contrast == colours.answer


def test_the_sum_is_added_on_the_other_half(model: Model, found: FunctionVectors, asked: Asked) -> None:
    half = asked.ranking
    own = [s.instructed for s in asked.samples.rows[half]]
    counter = [s.instructed for s in asked.samples.counter[half]]
    vectors = {
        "effect": summed(model, own, found.top()),
        "control": summed(model, counter, found.top("counter")),
    }
    assert np.array(found.vectors["task"]) == pytest.approx(vectors["effect"].numpy(), abs=EXACT)
    assert np.array(found.vectors["counter"]) == pytest.approx(vectors["control"].numpy(), abs=EXACT)
    measured = asked.samples.rows[asked.measured]
    assert not {s.query for s in asked.samples.rows[half]} & {s.query for s in measured}
    for k, sample in enumerate(measured, N // 2):
        same(row(found, "effect", "", k), logits(model, sample.target), sample)
        for role, vector in vectors.items():
            for layer in (0, 4):
                edited = logits(model, sample.target, ("resid_post", layer), put(vector, add=True))
                same(row(found, role, f"resid_post.{layer}@-1", k), edited, sample)


def test_controls_are_of_equal_norm_and_of_other_heads(model: Model, found: FunctionVectors, asked: Asked) -> None:
    """Rows of both, from what the module says of its draws."""
    own = [s.instructed for s in asked.samples.rows[asked.ranking]]
    norm, top = np.linalg.norm(found.vectors["task"]), set(found.top())
    rest = [(i, j) for i in range(model.layers) for j in range(model.heads) if Head(i, j) not in top]
    for k, sample in list(enumerate(asked.samples.rows[asked.measured]))[:2]:
        direction = np.random.default_rng((0, 2, k)).standard_normal(model.width)
        random = torch.from_numpy(direction * norm / np.linalg.norm(direction))
        drawn = np.random.default_rng((0, k)).choice(len(rest), TOP, replace=False)
        heads = summed(model, own, [rest[i] for i in drawn])
        for role, vector in (("random", random), ("heads", heads)):
            edited = logits(model, sample.target, ("resid_post", 2), put(vector, add=True))
            same(row(found, role, "resid_post.2@-1", N // 2 + k), edited, sample)


def test_task_vectors_are_the_effects_of_demonstrations(model: Model, found: FunctionVectors) -> None:
    whole = ivx.effects(
        model, TASK, samples=N, demonstrations=2, position="last", sites=["resid_post"], controls=["counter"]
    )
    queries = [s.query for s in whole.samples.rows]
    rows = {(r["role"], r["patch"], r["sample"]): r["logit"] for r in whole.table.to_pylist()}
    for k, sample in enumerate(found.samples.rows[N // 2 :], N // 2):
        for layer in range(model.layers):
            patch = f"resid_post.{layer}@-1~-1"
            for role, theirs in (("state", "effect"), ("state control", "counter")):
                wanted = rows[theirs, patch, queries.index(sample.query)]
                assert row(found, role, patch, k)["logit"] == pytest.approx(wanted, abs=EXACT)


def test_cosines_are_those_of_vectors(model: Model, found: FunctionVectors) -> None:
    shown = ivx.vectors(model, TASK, samples=N, demonstrations=2)
    told = ivx.vectors(model, TASK, samples=N)
    for one, other in zip(found.alike["state"], told.alike(shown), strict=True):
        assert (one.whole, one.norm, one.norm_before) == pytest.approx((other.whole, other.norm, other.norm_before))
    vector = np.array(found.vectors["task"])
    for layer, one in enumerate(found.alike["function"]):
        states = told.states()[layer]
        cosines = states @ vector / np.linalg.norm(states, axis=1) / np.linalg.norm(vector)
        assert one.whole == pytest.approx(cosines.mean(), abs=1e-6) and one.own is not None


def test_heads_are_ranked_by_their_mean(found: FunctionVectors) -> None:
    for role in ("demonstrations", "counter", "instruction"):
        rows = [r for r in found.table.to_pylist() if r["role"] == role]
        level = {(r["patch"], r["sample"]): r["logit"] - r["logsumexp"] for r in rows}
        means = {patch: np.mean([level[patch, k] - level["", k] for k in range(N // 2)]) for patch, _ in level if patch}
        wanted = sorted(means, key=lambda patch: -means[patch])[:TOP]
        assert [f"z.{h.layer}.{h.head}@-1=mean" for h in found.top(role)] == wanted
        cells = {cell.patch: cell.value for cell in found.head_cells(role)}
        assert cells == pytest.approx(means)
    shared = found.overlap()
    assert shared is not None and shared.shared == len(set(found.top()) & set(found.top("instruction")))
    by_contrast = found.indirect("demonstrations", "contrast")
    assert by_contrast is not None and by_contrast.shape == (found.layers, found.heads, N // 2)


def test_overlap_by_chance_is_counted() -> None:
    """Against all pairs of rankings of few heads, drawn."""
    draw = np.random.default_rng(0)
    drawn = [overlap(*draw.standard_normal((2, 3, 4, 6)), top=3) for _ in range(2000)]
    shared = np.array([one.shared for one in drawn])
    assert shared.mean() == pytest.approx(drawn[0].expected, abs=0.06) and drawn[0].expected == 9 / 12
    for one in drawn[:50]:
        assert one.p == pytest.approx((shared >= one.shared).mean(), abs=0.04)
    effects = draw.standard_normal((3, 4, 6)) + 10 * draw.standard_normal((3, 4, 1))
    same_one = overlap(effects, effects, top=3)
    assert same_one.shared == 3 and same_one.correlation == pytest.approx(1.0) and same_one.alike == (3, 3)
    effects[0, 0, 1] = effects[2, 3] = np.nan
    means = average(effects)
    assert order(means)[-1] == (2, 3) and means[0, 0] == pytest.approx(np.nanmean(effects[0, 0]))


def test_a_run_that_was_cut_short_goes_on(model: Model, found: FunctionVectors) -> None:
    key = ["role", "site", "patch", "sample"]

    def ordered(table: pa.Table) -> pa.Table:
        return table.sort_by([(name, "ascending") for name in key]).combine_chunks()

    for share in (0.1, 0.5, 0.9, 1.0):
        kept = found.table.slice(0, int(share * found.table.num_rows))
        again = FUNCTION.compute(model, REQUEST, known=kept)
        assert again.table.slice(0, kept.num_rows).equals(kept)
        assert ordered(again.table).select(key).equals(ordered(found.table).select(key))
        logit = [ordered(one.table)["logit"].to_numpy() for one in (again, found)]
        assert logit[0] == pytest.approx(logit[1], abs=EXACT)
        assert again.vectors["task"] == pytest.approx(found.vectors["task"], abs=EXACT)


def test_rows_are_replayed_whatever_their_role(model: Model, found: FunctionVectors) -> None:
    again = FUNCTION.replay(model, found, rows=60, seed=1)
    assert again.largest < EXACT and {name[0] for name in again.rows} >= {"demonstrations", "state"}
    assert {name[0] for name in again.rows} & set(ADDED)


def test_it_says_which_sum_it_is(found: FunctionVectors) -> None:
    told = FUNCTION.words.text(found.summary())
    assert found.normed and "not Todd et al.'s sum" in told and "share" in told and "chance gives" in told
    assert found.figure_names == ("heads", "instruction", "layers", "cosines")
    cells = found.cells("followed")
    assert [cell.layer for cell in cells] == list(range(found.layers)) == [layer_of(cell.patch) for cell in cells]
    assert set(cells[0].effect.against) == {"task", "random", "heads"} and set(cells[0].state.against) == {"task"}


def test_a_vector_of_strange_numbers_is_refused(found: FunctionVectors) -> None:
    from ivx.analyses.registry import context, restored

    asked = {"kind": "function", "request": found.receipt["request"], "checkpoint": found.receipt["checkpoint"]}
    strange: list[dict[str, Any]] = [
        {"vectors": {"task": [1.0], "counter": [1.0, 2.0]}},
        {"vectors": {"task": [float("nan")], "counter": [1.0]}},
        {"vectors": {"task": [1e30], "counter": [1.0]}},
        {"vectors": {"task": [1.0]}},
        {"alike": {"function": [], "state": []}},
        {"normed": 1},
    ]
    for changed in strange:
        with pytest.raises(IvxError, match="cannot be used"):
            restored(asked, {**context(found), **changed}, found.table, found.receipt)


def test_what_cannot_be_is_one_sentence(model: Model) -> None:
    for changed, told in (
        ({"demonstrations": 0}, "comes from demonstrations: ask for 1 or more"),
        ({"samples": 3}, "samples is 3: choose 4"),
        ({"heads": 0}, "heads is 0: choose 1"),
        ({"ranking": "kl"}, "ranking 'kl' is not known: use one of logprob, contrast"),
        ({"source_token": "keyword"}, "demonstrations have no task phrase"),
    ):
        with pytest.raises(IvxError, match=told):
            ivx.function(model, TASK, **changed)
    with pytest.raises(IvxError, match="33 heads of 64: choose at most 32"):
        ivx.function(model, TASK, heads=33)


def test_a_task_without_wordings_has_no_instruction_beside_it(tmp_path: Any, model: Model) -> None:
    """Of a file of pairs: heads are ranked and summed; there is no instruction to compare with."""
    words = [f"{word}" for word in model.tokenizer.get_vocab() if word.isalpha() and len(word) > 3][:40]
    for name, shift in (("one", 1), ("other", 2)):
        pairs = [{"input": w, "output": words[(k + shift) % 40]} for k, w in enumerate(words)]
        (tmp_path / f"{name}.json").write_text(json.dumps(pairs))
    task = f"{tmp_path / 'one.json'}?against={tmp_path / 'other.json'}"
    found = ivx.function(model, task, samples=6, demonstrations=2, heads=3)
    assert not found.alike and found.overlap() is None and found.figure_names == ("heads", "layers")
    assert set(found.summary()["heads"]) == {"demonstrations", "counter"}
    back = unpack.unpack(io.BytesIO(pack.of_result(found))).result
    assert back.figures() == found.figures()


def test_the_command_prints_it(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("ivx.store.store.Store", lambda: Store(tmp_path))
    argv = ["function", "--checkpoint", "tiny-sft", "--task", TASK, "--samples", "4", "--heads", "3"]
    assert main([*argv, "--demonstrations", "1", "--json"]) == 0
    assert '"overlap"' in capsys.readouterr().out


def test_a_run_is_kept_in_a_store(tmp_path: Any, model: Model, found: FunctionVectors) -> None:
    kept = computed(Store(tmp_path), model, REQUEST)
    assert kept.run_id == found.run_id and kept.overlap() == found.overlap()
