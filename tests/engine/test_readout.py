"""The read-out in tiles of the vocabulary, against float64; the passes of a plan, and how seldom one waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import ivx
from ivx.engine import readout
from ivx.engine.forward import head
from ivx.engine.forward.device import CPU, GPU
from ivx.engine.forward.seams import Seams
from ivx.engine.plan import run as by_plan
from ivx.engine.readout import Group
from ivx.engine.workload import checked
from ivx.models.model import Model
from tests.support.random_models import random_model

LARGE = 262_144
REACHED = {"kl": 1e-5, "logit": 2e-5}
"""Largest deviation from float64 at a vocabulary of 262,144, in nats and logits."""


class Product:
    """Logits of random states and a random unembedding."""

    def __init__(self, hidden: Tensor, weight: Tensor) -> None:
        self.hidden, self.weight, self.vocabulary, self.device = hidden, weight, len(weight), hidden.device

    def tile(self, start: int, stop: int) -> Tensor:
        return self.hidden @ self.weight[start:stop].T

    def at(self, tokens: Tensor) -> Tensor:
        return self.hidden @ self.weight[tokens].T


def states(rows: int, width: int) -> Tensor:
    """An unpatched run, a reference run, one that changes nothing, and others that differ more and more."""
    draw = torch.Generator().manual_seed(1)
    first = torch.randn(1, width, generator=draw).repeat(rows, 1)
    first[1:] += torch.randn(rows - 1, width, generator=draw) * torch.linspace(1e-4, 1, rows - 1)[:, None]
    first[2] = first[0]
    return first


@pytest.mark.parametrize("columns", [LARGE, 51_200, 4096, 5000])
def test_a_large_vocabulary_reads_as_in_float64(columns: int) -> None:
    hidden = states(24, 64)
    weight = torch.randn(LARGE, 64, generator=torch.Generator().manual_seed(2)) * 0.5
    groups = [Group(0, 20, 7, 9, True), Group(20, 24, LARGE - 1, None, False)]
    found = readout.numbers(Product(hidden, weight), groups, columns=columns)
    exact = hidden.double() @ weight.double().T
    log = exact.log_softmax(dim=1)
    for group in groups:
        rows = slice(group.start, group.stop)
        for base in range(1 + group.reference):
            p = log[group.start + base]
            divergence = (p.exp() * (p - log[rows])).sum(dim=1)
            assert (found[rows, 4 + base] - divergence).abs().max() < REACHED["kl"]
        assert (found[rows, 0] - exact[rows, group.answer]).abs().max() < REACHED["logit"]
        ranks = 1 + (exact[rows] > exact[rows, group.answer, None]).sum(dim=1)
        assert (found[rows, 3] - ranks).abs().max() <= 1
    assert found[2, 4] == found[0, 4] == 0 and found[1, 5] == 0
    assert found[20:, 1].isnan().all() and found[20:, 5].isnan().all()
    assert (found[:, 2] - exact.logsumexp(dim=1)).abs().max() < REACHED["logit"]
    best = exact.topk(readout.TOP, dim=1)
    assert (found[:, 16:] - best.values).abs().max() < REACHED["logit"]
    assert (found[:, 6:16] == best.indices).float().mean() > 0.99


def test_float64_logits_are_read_in_float64() -> None:
    hidden, weight = states(12, 16).double(), torch.randn(3000, 16, dtype=torch.float64)
    found = readout.numbers(Product(hidden, weight), [Group(0, 12, 5, 6, True)], columns=320)
    log = (hidden @ weight.T).log_softmax(dim=1)
    for base in (0, 1):
        divergence = (log[base].exp() * (log[base] - log)).sum(dim=1).clamp(min=0)
        assert (found[:, 4 + base] - divergence).abs().max() < 1e-12


def test_what_is_not_a_number_stays_in_its_row() -> None:
    hidden, weight = states(6, 16), torch.randn(2000, 16)
    hidden[3], hidden[4] = torch.nan, torch.inf
    bare = readout.numbers(Product(states(6, 16), weight), [Group(0, 6, 5, 6, True)], columns=640)
    found = readout.numbers(Product(hidden, weight), [Group(0, 6, 5, 6, True)], columns=640)
    assert torch.equal(found[[0, 1, 2, 5]], bare[[0, 1, 2, 5]])
    table = readout.table(found.numpy(), samples=[0] * 6, patches=["p"] * 6)
    assert table["logit"].is_valid().to_pylist() == [True, True, True, False, False, True]
    assert table["top_ids"].is_valid().to_pylist() == [True, True, True, False, False, True]


def test_a_token_that_is_ruled_out_in_both_runs_adds_nothing() -> None:
    logits = torch.randn(4, 100)
    logits[:, 50:] = -torch.inf
    goals = readout.Goals([3], [4], logits[:1], logits[1:2])
    found = readout.batch(logits, goals=goals, of=[0] * 4, samples=[0] * 4, patches=list("abcd"))
    log = logits[:, :50].double().log_softmax(dim=1)
    exact = (log[0].exp() * (log[0] - log)).sum(dim=1)
    assert np.allclose(found["kl_target"].to_numpy(), exact, atol=1e-6)
    logits[2, 10] = -torch.inf  # and one that is ruled out in the row alone: infinitely far apart
    goals = readout.Goals([3], [4], logits[:1])
    found = readout.batch(logits, goals=goals, of=[0] * 4, samples=[0] * 4, patches=list("abcd"))
    assert found["kl_target"].is_valid().to_pylist() == [True, True, False, True]


def prompts(samples: int = 3, tokens: int = 6) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    source, target = draw.integers(3, 90, (2, samples, tokens)).tolist()
    return {"source": source, "target": target, "answer": [7] * samples}


def test_a_patch_that_changes_nothing_has_no_divergence() -> None:
    model = random_model("llama")
    asked = prompts()
    found = ivx.sweep(model, **{**asked, "source": asked["target"]}, patches=["resid_post.0@1", "z.1@*"], engine="plan")
    assert found["kl_target"].to_pylist() == [0.0] * found.num_rows


@pytest.mark.parametrize("kind", ["llama", "gemma2", "cohere", "granite", "gpt2", "phi"])
def test_a_head_in_tiles_is_the_whole_head(kind: str) -> None:
    """Caps and scales behind the unembedding, biases, tied weights."""
    model = random_model(kind)
    seams = Seams(model, longest=4)
    ends = torch.randn(5, model.width, dtype=model.dtype, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        whole, tiled = seams.logits(ends), head.Head(seams, ends)
        assert tiled.whole is None
        found = torch.cat([tiled.tile(i, min(i + 7, model.vocabulary)) for i in range(0, model.vocabulary, 7)], dim=1)
        some = tiled.at(torch.tensor([3, 11]))
    assert (found - whole).abs().max() <= 1e-6 * whole.abs().max()
    assert (some - whole[:, [3, 11]]).abs().max() <= 1e-6 * whole.abs().max()


def test_a_head_that_has_no_tiles_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that normalises over the vocabulary: a tile of it is no part of the whole."""
    model = random_model("llama")
    own = model.hf.forward

    def forward(*args: Any, **named: Any) -> Any:
        found = own(*args, **named)
        found.logits = found.logits - found.logits.mean(dim=-1, keepdim=True)
        return found

    monkeypatch.setattr(model.hf, "forward", forward)
    asked = {**prompts(), "patches": ["resid_post.0@1"]}
    planned, plain = (ivx.sweep(model, engine=engine, **asked) for engine in ("plan", "hooks"))
    assert not head._tiled[model.hf]
    for name in ("logit", "logsumexp", "kl_target"):
        assert np.allclose(planned[name].to_numpy(), plain[name].to_numpy(), atol=1e-6)


def rows(model: Model, asked: dict[str, Any], way: Any, *, memory_gb: float = 1.0) -> list[Any]:
    """A sweep's batches."""
    work = checked(model, contrast=None, reference=asked["source"], **asked)
    with torch.inference_mode():
        return list(by_plan.run(model, work, memory_gb=memory_gb, way=way))


def test_blocks_of_the_read_out_are_equal_in_result() -> None:
    """However few states are read at once, and however few tokens."""
    model = random_model("llama")
    asked = {**prompts(samples=5), "patches": [f"resid_post.{layer}@{p}" for layer in range(2) for p in range(6)]}
    whole = rows(model, asked, CPU)
    small = rows(model, asked, replace(CPU, rows=4, logits=200))
    assert len(whole) == 1 and len(small) > 10
    one, other = ({(r["sample"], r["patch"]): r for b in found for r in b.to_pylist()} for found in (whole, small))
    assert one.keys() == other.keys()
    for key, row in one.items():
        for name in ("logit", "logsumexp", "kl_target", "kl_reference"):
            assert row[name] == pytest.approx(other[key][name], abs=1e-6)
        assert row["top_ids"] == other[key]["top_ids"]


def test_a_pass_is_as_large_as_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model("llama")
    asked = {**prompts(samples=200), "patches": [f"resid_post.{layer}@{p}" for layer in range(2) for p in range(6)]}
    work = checked(model, contrast=None, reference=None, **asked)
    whole = by_plan.parts_of(model, work, CPU)
    assert len(whole) == 1
    little = by_plan.parts_of(model, work, replace(CPU, flops=1.0))
    assert len(little) > 1 and len(little[0]) >= by_plan.ROWS // 2
    made, _ = by_plan.plan_of(model, work, whole[0])
    way = replace(CPU, scores=0, logits=0, rows=16, chunk=64)
    passes = []
    own = by_plan.pass_of
    monkeypatch.setattr(by_plan, "pass_of", lambda *given: passes.append(given[3]) or own(*given))  # type: ignore[func-returns-value]
    found = rows(model, asked, way, memory_gb=by_plan.peak_bytes(model, made, way) / 2.5 / 1e9)
    assert 3 <= len(passes) <= 6  # about as many as the memory needs
    assert sum(batch.num_rows for batch in found) == sum(map(len, passes)) == work.rows


class Waits(TorchDispatchMode):
    """Counts what would make a device wait: values that are asked for, and masks whose places are sought."""

    def __init__(self, seen: Counter) -> None:
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name()
        masked = "index" in name and any(
            isinstance(x, Tensor) and x.dtype == torch.bool for x in (args[1] if isinstance(args[1], list) else [])
        )
        if masked or name in ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal"):
            self.seen[name] += 1
        return func(*args, **(kwargs or {}))


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    """Waits, and tensors made of the host's numbers, each of which is a copy to the device."""
    seen: Counter = Counter()

    def counting(owner: Any, name: str) -> None:
        own = getattr(owner, name)

        def call(*args: Any, **named: Any) -> Any:
            seen[name] += 1
            return own(*args, **named)

        monkeypatch.setattr(owner, name, call)

    for owner, name in (
        *((torch, name) for name in ("tensor", "from_numpy", "as_tensor")),
        *((Tensor, name) for name in ("tolist", "item", "cpu", "numpy")),
    ):
        counting(owner, name)
    with Waits(seen):
        yield seen
    monkeypatch.undo()


def test_a_pass_copies_and_waits_a_fixed_number_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the layers, rows and patches: one copy of all indices, one of what is read, one answer."""
    found = []
    for layers, samples in ((2, 2), (4, 5)):
        model = random_model("llama", num_hidden_layers=layers)
        every = range(layers)
        patches = [f"{site}.{i}@{p}" for i in every for p in range(3) for site in ("resid_post", "attn_out", "mlp_out")]
        patches += [f"z.{i}.{h}@*" for i in every for h in range(model.heads)] + [f"resid_mid.{i}@2" for i in every]
        patches += ["resid_post.0@1=mean", "mlp_out.1@*=zero", "z.1@2=mean"]
        asked = {**prompts(samples=samples), "patches": patches}
        way = replace(GPU, compiled=False)
        rows(model, asked, way)  # what is found once for a model
        work = checked(model, contrast=None, reference=asked["source"], **asked)
        seams = Seams(model, longest=6, way=way)
        part = by_plan.parts_of(model, work, way)[0]
        made, distinct = by_plan.plan_of(model, work, part)
        with torch.inference_mode(), counted(monkeypatch) as seen:
            list(by_plan.pass_of(model, seams, work, part, made, distinct, by_plan.Tables(), lambda: None))
        found.append(dict(seen))
    assert found[0] == found[1]
    assert sum(found[0].values()) <= 12, found[0]
