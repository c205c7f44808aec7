"""The vector bench against vectors and runs made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

import ivx
from ivx.analyses.bench import BENCH
from ivx.analyses.bench.compute import SHOWN, bench_texts
from ivx.analyses.bench.request import BenchRequest
from ivx.analyses.bench.result import CONTROL, FREE, NONE, QUERIES, RANDOM, STRENGTHS, VECTOR, Dose
from ivx.analyses.bench.texts import BenchTextRequest
from ivx.errors import AddressError, IvxError
from ivx.stats.intervals import share_interval
from ivx.store.store import Store
from ivx.tasks import catalogue
from ivx.ui.bench.readings import bench_reading
from tests.support import oracle

TASK, LAYER = "animal/colour", 3
TEXTS = ("animal : otter .", "look at the hen .", "animal : limpet .")


@pytest.fixture(scope="module")
def model() -> ivx.Model:
    return ivx.load("tiny-sft")


def mean_by_hand(model: ivx.Model, task: str) -> torch.Tensor:
    wordings = catalogue.tasks("tiny")[task].instructions
    ids = [model.tokenizer(wording.text)["input_ids"] for wording in wordings]
    return torch.stack([oracle.states(model.hf, "olmo2", i, ("resid_post", LAYER))[-1] for i in ids]).mean(dim=0)


@pytest.mark.parametrize("way", ["add", "patch"])
@pytest.mark.parametrize("place", ["first", "every"])
def test_rows_are_what_plain_hooks_write(model: ivx.Model, way: str, place: str) -> None:
    found = ivx.bench(model, TASK, LAYER, place=place, way=way, samples=6)
    control = catalogue.find(TASK, collection="tiny").control
    assert control is not None and found.receipt["control"] == control.name
    vectors = {VECTOR: mean_by_hand(model, TASK), CONTROL: mean_by_hand(model, control.name)}
    assert abs(found.norms[VECTOR] - float(vectors[VECTOR].norm())) < 1e-3 and found.wordings == 240
    rows = [row for row in found.table.to_pylist() if row["role"] != RANDOM]
    assert len(rows) == 6 * (1 + 2 * (len(STRENGTHS) - 1))
    for row in rows:
        ids = model.tokenizer(row["prompt"])["input_ids"]

        def edit(state: torch.Tensor, row: dict = row) -> torch.Tensor:
            if row["role"] == NONE:
                return state
            state, v = state.clone(), vectors[row["role"]]
            for p in range(state.shape[1]) if place == "every" else [0]:
                h = state[0, p].clone()
                state[0, p] = h + row["strength"] * (v if way == "add" else v - h)
            return state

        best = int(oracle.run(model.hf, "olmo2", ids, {("resid_post", LAYER): edit}).argmax())
        assert row["wrote"] == model.tokenizer.decode([best])
        assert row["followed"] == (row["wrote"] == row["expected"])


def test_the_vector_is_found_and_its_controls_stand_beside_it(model: ivx.Model) -> None:
    found = ivx.bench(model, TASK, LAYER, texts=TEXTS)
    points = found.points(QUERIES)
    at = {(p.role, p.strength): p for p in points}
    assert {p.strength for p in points} == set(STRENGTHS) and {p.n for p in points} == {40}
    assert len({at[role, 0.0].share for role in (VECTOR, CONTROL, RANDOM)}) == 1
    best = at[VECTOR, 1.5]
    assert best.state == "ok" and best.low > max(at[role, 1.5].high for role in (CONTROL, RANDOM))
    assert at[VECTOR, 0.25].state == "zero" and at[CONTROL, 1.5].state == ""
    rows = [r for r in found.table.to_pylist() if r["on"] == QUERIES and r["role"] == VECTOR and r["strength"] == 1.5]
    assert best.share == np.mean([r["followed"] for r in rows])
    free = [r for r in found.table.to_pylist() if r["on"] == FREE]
    options = catalogue.tasks("tiny")[TASK].options
    assert len(free) == 3 * (1 + 3 * 8) and {r["expected"] for r in free} == {""}
    for row in free:
        assert row["followed"] == any(word in options for word in row["wrote"].replace(".", " .").split())
    inert = ivx.bench("tiny-sft-period", TASK, LAYER)
    assert all(p.state == "zero" for p in inert.points(QUERIES) if p.role == VECTOR and p.strength > 0)


def test_texts_begin_with_what_the_rows_say(model: ivx.Model) -> None:
    asked = BenchRequest("tiny-sft", TASK, LAYER, texts=TEXTS, samples=10)
    found = BENCH.answer(model, asked)
    texts = BenchTextRequest("tiny-sft", asked, 1.0).answered(model, Store(), beat=lambda: None)
    assert [text.on for text in texts] == [QUERIES] * SHOWN + [FREE] * 3
    assert [text.shown for text in texts[SHOWN:]] == list(TEXTS)
    rows = found.table.to_pylist()
    for k, text in enumerate(texts):
        sample = k if text.on == QUERIES else k - SHOWN
        for role, strength, said in (
            (NONE, 0.0, text.without),
            (VECTOR, 1.0, text.moved),
            (CONTROL, 1.0, text.control),
        ):
            (row,) = [
                r for r in rows if (r["on"], r["role"], r["strength"], r["sample"]) == (text.on, role, strength, sample)
            ]
            assert said.startswith(row["wrote"])
    assert bench_texts(model, replace(asked, samples=4, texts=()), strength=0.0)[0].moved == texts[0].without


def test_what_cannot_be_benched_is_refused(model: ivx.Model) -> None:
    with pytest.raises(AddressError, match="layers 0 to 7"):
        ivx.bench(model, TASK, 8)
    with pytest.raises(IvxError, match="at most 24"):
        ivx.bench(model, TASK, 3, texts=["animal"] * 25)
    with pytest.raises(IvxError, match="free text 2 has 49 tokens"):
        ivx.bench(model, TASK, 3, texts=["animal", "animal " * 49])
    with pytest.raises(IvxError, match="place 'last' is not known"):
        BenchRequest("tiny-sft", TASK, 3, place="last")


def test_a_share_is_covered_as_often_as_it_is_said() -> None:
    """Exactly, by enumeration: Wilson's interval covers 95 % on average over shares, and never far less inside."""
    n, shares = 40, np.linspace(0.05, 0.95, 19)
    ends = [share_interval(hits, n) for hits in range(n + 1)]
    covered = [
        sum(stats.binom.pmf(hits, n, p) for hits, (low, high) in enumerate(ends) if low <= p <= high) for p in shares
    ]
    assert 0.94 < np.mean(covered) < 0.97 and min(covered) > 0.91
    assert share_interval(5, 5)[0] > 0.5 and share_interval(0, 5)[1] < 0.5


def test_a_reading_names_the_controls_and_says_when_there_is_nothing() -> None:
    def curve(shares: dict[float, float], states: str, n: int = 40) -> list[Dose]:
        rows = [
            (VECTOR, s, share, state) for (s, share), state in zip(shares.items(), ["", *states.split()], strict=True)
        ]
        rows += [(role, s, 0.3, "") for role in (CONTROL, RANDOM) for s in shares]
        return [
            Dose(role, s, share, max(0, share - 0.1), min(1, share + 0.1), n, state) for role, s, share, state in rows
        ]

    shares = {0.0: 0.3, 1.0: 0.9, 2.0: 1.0, 4.0: 0.1}
    said = bench_reading(curve(shares, "ok ok zero"), 1.0)
    assert "90%" in said and "no vector 30%, another task’s 30%, random 30%" in said
    assert "Beyond both controls at 1, 2, most at 2." in said and said.endswith("At 4 it is down to 10%.")
    assert "from 1 on" not in said
    assert bench_reading(curve(shares, "zero control zero"), 2.0).endswith("no evidence here.")
    assert "too few for a test" in bench_reading(curve(shares, "zero zero zero", n=5), 2.0)
    # Less than without a vector is no success, however significant.
    assert "no evidence" in bench_reading(curve({0.0: 0.9, 1.0: 0.1, 2.0: 0.1, 4.0: 0.0}, "ok ok ok"), 1.0)
    assert bench_reading([], 1.0) == ""
