"""A stopped job frees the device within a few passes, whatever it is at."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

from ivx.analyses.base import Analysis
from ivx.analyses.effects.request import EffectsRequest
from ivx.analyses.interactions.request import InteractionsRequest
from ivx.analyses.registry import ANALYSES
from ivx.analyses.vectors import VECTORS
from ivx.jobs.compute import computed
from ivx.jobs.worker import Wake, Worker
from ivx.models.load import load
from ivx.models.model import Model
from ivx.store.store import Store

SFT, TASK = "tiny-sft", "animal/colour"
SMALL: dict[str, Any] = {
    "task": TASK,
    "tasks": (TASK, "animal/can-fly"),
    "samples": 12,
    "sites": ("resid_post",),
    "permutations": 2,
    "wordings": 20,
    "folds": 2,
    "repeats": 1,
    "traced": 1,
    "ablation": "mean",
    "layer": 3,
    "texts": ("look at the limpet .",),
    "ways": ("prompt", "query"),
    "prompt": "animal : limpet . answer :",
    "source": "here is the new animal ; give its own colour",
    "take": "3@-1",
    "put": "3@0",
}
MOST = 6
"""Passes between two moments at which a stop is seen: a lens reads two prompts in one go, all else is at most 4."""


def small(analysis: Analysis[Any, Any], **more: Any) -> Any:
    names = {field.name for field in fields(analysis.request)}
    return analysis.request(SFT, **{name: value for name, value in (SMALL | more).items() if name in names})


@pytest.fixture(scope="module")
def model() -> Model:
    return load(SFT)


@pytest.mark.parametrize("analysis", ANALYSES, ids=[analysis.kind for analysis in ANALYSES])
def test_no_analysis_is_long_at_the_model_without_a_beat(
    analysis: Analysis[Any, Any], model: Model, tmp_path: Path
) -> None:
    vectors = computed(Store(tmp_path), model, small(VECTORS))
    request = small(analysis, vectors=vectors.run_id)
    given = [vectors] if analysis.needs(request) else []
    analysis.compute(model, request, given=given)  # what is proved of a model is proved once
    gap, worst, passes = 0, 0, 0

    def beat(*_: Any) -> None:
        nonlocal gap
        gap = 0

    def passed(*_: Any) -> None:
        nonlocal gap, worst, passes
        gap, passes = gap + 1, passes + 1
        worst = max(worst, gap)

    handle = model.blocks[-1].register_forward_pre_hook(passed)
    try:
        analysis.compute(model, request, on_progress=beat, beat=beat, given=given)
    finally:
        handle.remove()
    assert passes > 1 and worst <= MOST


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize(
    "request_of",
    [
        lambda: EffectsRequest(SFT, TASK, samples=40),
        lambda: InteractionsRequest(SFT, TASK, samples=40),
        lambda: InteractionsRequest(SFT, TASK, samples=40, sites=("z",), over="heads"),
    ],
    ids=["effects", "layers", "heads"],
)
def test_a_job_that_is_stopped_at_its_estimate_ends_with_that_pass(request_of: Any, at: int, tmp_path: Path) -> None:
    worker, request = Worker(Store(tmp_path)), request_of()
    woken = worker.submit(Wake(SFT), session="a")
    assert woken.wait(60) and worker._server.device.model is not None
    graphs, after = 0, 0

    def passed(*_: Any) -> None:
        nonlocal graphs, after
        after += graphs >= at
        graphs += torch.is_grad_enabled()  # only estimates are made with gradients
        if graphs == at:
            worker.leave(request, session="a")

    handle = worker._server.device.model.hf.register_forward_pre_hook(passed)
    job = worker.submit(request, session="a")
    assert job.wait(60)
    handle.remove()
    now = job.view()
    assert now.state == "stopped" and graphs == at and not after
    assert now.result is None or (not now.result.table.num_rows and at > 1)
    free = worker.submit(EffectsRequest(SFT, TASK, samples=2), session="a")
    assert free.wait(60) and free.view().state == "done"
