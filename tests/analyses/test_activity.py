"""Which heads are among the strongest of their layer: against a plain count, and where the instructions are one."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import spearmanr
from transformers import AutoTokenizer

import ivx
from ivx.analyses.pathways.activity import among, scores_of
from ivx.analyses.pathways.result import Pathways
from ivx.models.registry import EMBEDDED
from tests.support.random_models import random_model

TOKENIZER = AutoTokenizer.from_pretrained(EMBEDDED / "tiny-sft", local_files_only=True)
pytestmark = pytest.mark.surrogate


@pytest.fixture(scope="module")
def found() -> Pathways:
    model = random_model("olmo2", tokenizer=TOKENIZER, check=False)
    return ivx.pathways(model, "tiny:animal/colour", samples=8, ablation="none", paths=0, traced=0)


@pytest.mark.parametrize("k", [1, 2])
def test_rates_are_those_of_a_plain_count(found: Pathways, k: int) -> None:
    told = found.activity(k)
    rates = {(rate.layer, rate.head): rate for rate in told.rates}
    n = len(found.samples.rows)
    by_hand: dict[str, list[float]] = {"here": [], "there": []}
    for run, layer, head in product(by_hand, range(found.layers), range(found.heads)):
        hits = 0
        for item in range(n):
            strengths = {
                row["head"]: abs(row["value"])
                for row in found.table.to_pylist()
                if (row["run"], row["kind"], row["item"], row["layer"]) == (run, "head", item, layer)
            }
            hits += head in sorted(strengths, key=lambda one: -strengths[one])[:k]
        by_hand[run].append(hits / n)
        assert getattr(rates[layer, head], run) == hits / n
    assert told.samples == n == 8 and len(rates) == found.layers * found.heads
    one, two = (np.array(values) for values in by_hand.values())
    assert told.jaccard == pytest.approx(np.minimum(one, two).sum() / np.maximum(one, two).sum())
    assert told.spearman == pytest.approx(spearmanr(one, two).statistic)
    assert told.jaccard_low <= told.jaccard <= told.jaccard_high
    assert all(r.low <= r.difference <= r.high and r.here_low <= r.here <= r.here_high for r in told.rates)


def test_of_each_layer_k_heads_are_among_the_strongest() -> None:
    scores = np.random.default_rng(0).normal(size=(5, 3, 4))
    for k in (1, 2, 4):
        assert (among(scores, k).sum(axis=-1) == k).all()
    assert among(np.array([[[1.0, -3.0, 2.0]]]), 2).tolist() == [[[0, 1, 1]]]


def test_an_instruction_beside_itself_is_the_same(found: Pathways) -> None:
    own = found.table.filter(pa.compute.field("run") == "here")
    other = own.set_column(own.column_names.index("run"), "run", pa.array(["there"] * own.num_rows, own["run"].type))
    told = replace(found, table=pa.concat_tables([own, other])).activity(1)
    assert told.jaccard == told.jaccard_low == 1 and told.spearman == pytest.approx(1) and not told.apart
    shape = (len(found.samples.rows), found.layers, found.heads)
    assert np.array_equal(scores_of(found.table, "here", shape), scores_of(own, "here", shape))


def test_it_is_told_in_the_summary(found: Pathways) -> None:
    told = found.summary()["activity"]
    assert [one["k"] for one in told] == [1, 2] and told[0]["jaccard"] == found.activity(1).jaccard
