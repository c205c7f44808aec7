"""On a GPU: the same numbers as hooks on a CPU, kernels that the next process finds, and a device that is not asked."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ivx
from ivx.engine.forward.seams import Seams
from ivx.engine.plan import run
from ivx.models.load import wrap
from ivx.models.model import Model
from tests.engine.test_kernels import SWEEP, cold_and_warm, patches
from tests.support.random_models import random_model

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")]
KINDS = ["llama", "olmo2", "gemma3_text", "gemma2", "qwen3", "gpt2", "phi", "gpt_oss", "deepseek_v3"]


@pytest.fixture
def seams(monkeypatch: pytest.MonkeyPatch) -> list[Seams]:
    """The seams of every sweep of a test."""
    made: list[Seams] = []

    class Kept(Seams):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            made.append(self)

    monkeypatch.setattr(run, "Seams", Kept)
    return made


def on_gpu(model: Model, dtype: torch.dtype = torch.float32) -> Model:
    """A copy of a model there."""
    there = copy.deepcopy(model.hf).to(torch.device("cuda"), dtype)  # type: ignore[arg-type]  # wrong stub
    return wrap(there, None, name=model.name)


@pytest.mark.parametrize("kind", KINDS)
def test_patches_at_every_site_equal_hooks_on_a_cpu(kind: str, seams: list[Seams]) -> None:
    exact = random_model(kind, dtype=torch.float32)
    truth = ivx.sweep(exact, patches=patches(exact), engine="hooks", **SWEEP)["logit"].to_numpy()
    found = ivx.sweep(on_gpu(exact), patches=patches(exact), engine="plan", **SWEEP)["logit"].to_numpy()
    assert np.abs(found - truth).max() <= 1e-3
    told = seams[-1].kernels
    assert told is not None and told.startswith("kernels ") and "padded" not in told


@pytest.mark.parametrize("kind", ["llama", "olmo2"])
def test_bfloat16_errs_no_more_than_twice_as_hooks_do(kind: str) -> None:
    exact = random_model(kind)
    truth = ivx.sweep(exact, patches=patches(exact), engine="hooks", **SWEEP)["logit"].to_numpy()
    rounded = on_gpu(exact, torch.bfloat16)
    plan, hooks = (
        np.abs(ivx.sweep(rounded, patches=patches(exact), engine=engine, **SWEEP)["logit"].to_numpy() - truth)
        for engine in ("plan", "hooks")
    )
    assert plan.mean() <= 2 * hooks.mean()


def test_a_pass_does_not_wait_for_the_device(seams: list[Seams]) -> None:
    """How often is not a matter of layers, patches or samples."""
    model = on_gpu(random_model("llama", dtype=torch.float32))
    ivx.sweep(model, patches=patches(model), **SWEEP)  # proofs and kernels
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ivx.sweep(model, patches=patches(model), **SWEEP)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    waits = [str(one.message) for one in caught if "synchroniz" in str(one.message)]
    assert len(waits) <= 20, waits


SCRIPT = """
import json
import torch
import ivx
from ivx.engine.plan import run
from torch._dynamo.utils import counters
from tests.engine.test_gpu import on_gpu
from tests.engine.test_kernels import SWEEP, patches
from tests.support.random_models import random_model

told = []
class Kept(run.Seams):
    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        told.append(self)

run.Seams = Kept
model = on_gpu(random_model("llama", dtype=torch.float32))
ivx.sweep(model, patches=patches(model), engine="plan", **SWEEP)
print(json.dumps({"told": [one.kernels for one in told], **counters["inductor"]}))
"""


def test_a_second_process_starts_warm(tmp_path: Path) -> None:
    cold, warm = cold_and_warm(SCRIPT, tmp_path)
    assert cold["fxgraph_cache_miss"] >= 2 and cold["told"][0].startswith("kernels made in ")
    assert "fxgraph_cache_miss" not in warm and warm["fxgraph_cache_hit"] == cold["fxgraph_cache_miss"]
    assert all(told.startswith("kernels from cache") for told in warm["told"])
