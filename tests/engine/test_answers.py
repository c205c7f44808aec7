"""Answers of several tokens: their logit, rank and share are those of plain sums in float64, on every path."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

import ivx
from ivx.engine import readout
from ivx.engine.forward.device import CPU
from ivx.engine.linear.curvature import curvature
from ivx.engine.linear.estimate import estimate
from ivx.engine.plan import run as by_plan
from ivx.engine.readout import SPAN, Answer, Group, Whole, ids_of
from ivx.engine.workload import checked
from ivx.errors import IvxError
from ivx.models.model import Model
from ivx.stats.metrics import find
from tests.support import oracle
from tests.support.random_models import random_model

SOURCE = [[5, 17, 33, 8], [9, 2, 40, 11, 77], [4, 4, 9]]
TARGET = [[3, 60, 21, 90, 14], [7, 44, 13], [8, 45, 14]]
PATCHES = ["resid_post.0@1~-1", "z.1.2@-1~1", "mlp_out.2@-1=zero", "attn_out.1@0~1,resid_pre.2@-1~1"]
KINDS = {"tiny-sft": "olmo2", "gemma2": "gemma2", "gpt_neox": "gpt_neox"}
_models: dict[str, Model] = {}


def model_of(name: str) -> Model:
    if name not in _models:
        _models[name] = ivx.load(name, dtype="float64") if name == "tiny-sft" else random_model(name)
    return _models[name]


def plain(name: str, patch: str, sample: int) -> Tensor:
    """The logits of one row, by hooks written for its architecture."""
    hf, kind = model_of(name).hf, KINDS[name]
    edits = oracle.edits_of(hf, kind, patch, sample=sample, sources=SOURCE, targets=TARGET) if patch else {}
    return oracle.run(hf, kind, TARGET[sample], edits)


def answers(name: str) -> tuple[list[Answer], list[Answer]]:
    """Three tokens of which the likeliest is one, a pair of unlikely ones named twice, and one token alone; others."""
    best, worst = ([int(i) for i in plain(name, "", k).argsort(descending=True)] for k in (0, 1))
    return [(best[40], best[0], best[9]), [worst[-1], worst[-2], worst[-1]], 50], [(best[1], best[60]), 61, (62, 63)]


def asked(name: str) -> dict[str, Any]:
    answer, contrast = answers(name)
    return {"source": SOURCE, "target": TARGET, "answer": answer, "contrast": contrast, "patches": PATCHES}


def check(name: str, table: pa.Table, *, within: float = 1e-9) -> None:
    answer, contrast = answers(name)
    rows = table.to_pylist()
    assert [row["patch"] for row in rows] == [patch for patch in ["", *PATCHES] for _ in TARGET]
    columns = {key: table[key].to_numpy().astype(float) for key in ("logit", "contrast", "logsumexp", "rank")}
    followed, logprob = (find(metric).measure(columns) for metric in ("followed", "logprob"))
    seen = set()
    for k, row in enumerate(rows):
        logits = plain(name, row["patch"], row["sample"]).double()
        own, other = (sorted(set(ids_of(one[row["sample"]]))) for one in (answer, contrast))
        assert abs(row["logit"] - float(logits[own].logsumexp(0))) < within
        assert abs(row["contrast"] - float(logits[other].logsumexp(0))) < within
        assert abs(np.exp(logprob[k]) - float(logits.softmax(0)[own].sum())) < within
        outside = torch.ones(len(logits), dtype=torch.bool)
        outside[own] = False
        assert row["rank"] == 1 + int((logits[outside] > logits[own].max()).sum())
        assert followed[k] == (int(logits.argmax()) in own)
        seen.add(followed[k])
    assert seen == {0.0, 1.0}, "some are followed and some are not"


@pytest.mark.parametrize("engine", ["plan", "hooks"])
@pytest.mark.parametrize("name", KINDS)
def test_a_sum_is_that_of_the_oracle(name: str, engine: str) -> None:
    check(name, ivx.sweep(model_of(name), **asked(name), engine=engine))


@pytest.mark.parametrize("name", KINDS)
def test_a_sum_is_gathered_over_tiles(name: str) -> None:
    model, told = model_of(name), asked(name)
    work = checked(model, **told, reference=None)
    tiled = list(by_plan.run(model, work, memory_gb=1.0, way=replace(CPU, logits=1)))
    assert model.vocabulary > 2 * SPAN
    whole = ivx.sweep(model, **told)
    order = {patch: k for k, patch in enumerate(["", *PATCHES])}
    rows = sorted(pa.Table.from_batches(tiled).to_pylist(), key=lambda row: (order[row["patch"]], row["sample"]))
    check(name, pa.Table.from_pylist(rows, schema=whole.schema))


def test_streamed_weights_and_several_devices_sum_alike() -> None:
    for device, weights in (("cpu", "stream"), ("cpu,cpu", "whole"), ("cpu,cpu", "stream")):
        check(
            "tiny-sft",
            ivx.sweep(ivx.load("tiny-sft", dtype="float64", device=device, weights=weights), **asked("tiny-sft")),
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_token_reads_the_same_bits_beside_a_sum(dtype: torch.dtype) -> None:
    logits = torch.randn(8, 3000, dtype=dtype, generator=torch.Generator().manual_seed(0))
    alone = readout.numbers(Whole(logits), [Group(0, 4, 5, 6, False), Group(4, 8, 7, 8, False)], columns=320)
    beside = readout.numbers(
        Whole(logits), [Group(0, 4, 5, 6, False), Group(4, 8, [7, 9, 2999], [8, 10], False)], columns=320
    )
    assert torch.equal(alone[:4].nan_to_num(), beside[:4].nan_to_num())
    assert (alone[4:, :2] < beside[4:, :2]).all() and (alone[4:, 3] >= beside[4:, 3]).all()
    named = readout.numbers(Whole(logits), [Group(0, 4, (5,), [6, 6], False), Group(4, 8, 7, 8, False)], columns=320)
    assert torch.equal(named.nan_to_num(), alone.nan_to_num())


def test_a_spelling_that_is_ruled_out_adds_nothing_and_one_that_is_no_number_is_told() -> None:
    logits = torch.randn(4, 100)
    logits[:, 3], logits[1, 4], logits[2, 4] = -torch.inf, torch.nan, -torch.inf
    goals = readout.Goals([(3, 4)], [9], logits[:1])
    found = readout.batch(logits, goals=goals, of=[0] * 4, samples=[0] * 4, patches=list("abcd"))
    assert found["logit"].is_valid().to_pylist() == [True, False, False, True]
    assert found["logit"][0].as_py() == float(logits[0, 4]) and found["logit"][3].as_py() == float(logits[3, 4])


@pytest.mark.parametrize("answer", [[()], [(5, 10**6)]])
def test_an_answer_of_no_token_or_an_unknown_one_is_refused(answer: list[Answer]) -> None:
    with pytest.raises(IvxError, match="the answer of sample 0"):
        ivx.sweep(model_of("gemma2"), source=SOURCE[:1], target=TARGET[:1], answer=answer, patches=[])


def test_estimates_and_curvature_are_those_of_the_sum() -> None:
    """By the chain rule from those of its tokens: with p the tokens' shares of the sum, m' = Σ p z' and
    m'' = Σ p z'' + Σ p z'z' − (Σ p z')(Σ p z')."""
    model = model_of("gpt_neox")
    patches = ["resid_post.0@1~-1", "z.1.2@1~-1", "mlp_out.1@-1~-1", "resid_post.1@-1~-1"]
    told: dict[str, Any] = {"source": SOURCE, "target": TARGET, "patches": patches}
    tokens, other = (50, 51, 52), (60, 61)
    mixed: dict[str, Any] = {"answer": [tokens, 50, tokens], "contrast": [other, other, 60]}

    def first(**named: Any) -> tuple[np.ndarray, np.ndarray]:
        table = estimate(model, **told, **named)
        levels = np.stack([table[name].to_numpy().reshape(-1, 3) for name in ("logit", "contrast")])
        return levels[:, 0], levels[:, 1:] - levels[:, :1]

    def second(**named: Any) -> np.ndarray:
        return np.stack([part.numpy() for part in curvature(model, **told, **named) if part is not None])

    level, moved = first(**mixed)
    bent = second(**mixed)
    for k, name in enumerate(("answer", "contrast")):
        for sample in range(3):
            ids = ids_of(mixed[name][sample])
            each = [{"answer": [token] * 3, "contrast": [token] * 3} for token in ids]
            z, slopes = (np.stack([first(**e)[part][0] for e in each]) for part in (0, 1))
            z, slopes = z[:, sample], slopes[:, :, sample]
            total = np.log(np.exp(z).sum())
            p = np.exp(z - total)
            assert abs(level[k, sample] - total) < 1e-9
            assert np.abs(moved[k, :, sample] - p @ slopes).max() < 1e-9
            curves = np.stack([second(**e)[0, sample] for e in each])
            wanted = np.einsum("t,tab->ab", p, curves) + np.einsum("t,ta,tb->ab", p, slopes, slopes)
            wanted -= np.outer(p @ slopes, p @ slopes)
            np.fill_diagonal(wanted, 0)
            assert np.abs(bent[k, sample] - wanted).max() < 1e-9
