"""The time left on a clock that the test drives: bursts, a slow start, rows that take less the deeper they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from transformers import AutoTokenizer

import ivx
from ivx.jobs import job as jobs
from ivx.jobs.job import Job
from ivx.jobs.pace import Pace
from ivx.models.registry import EMBEDDED
from ivx.patching.work import READ, work_of
from tests.support.random_models import random_model

TOKENIZER = AutoTokenizer.from_pretrained(EMBEDDED / "tiny-sft", local_files_only=True)


def test_the_pace_counts_from_the_first_work_and_between_bursts_it_counts_down() -> None:
    pace = Pace()
    assert pace.left(0) is None
    pace.told(100, 40, 1040)  # an earlier start had 40; prompts and estimates follow
    pace.told(160, 40, 1040)
    assert pace.left(170) is None
    pace.told(170, 140, 1040)
    assert pace.left(170) == pytest.approx(90)
    assert pace.left(175) == pytest.approx(85) and pace.left(1000) == 0
    pace.told(180, 240, 1040)
    assert pace.left(180) == pytest.approx(80)
    pace.told(181, 240, 2040)
    assert pace.left(181) == pytest.approx(179), "a total that grows is counted at once"


@pytest.mark.parametrize(
    ("patch", "work"),
    [
        ("", 30 * 10),
        ("resid_post.0@0~-1", 30 * 10),
        ("resid_post.29@0~-1", 10),
        ("resid_post.10@-1~-1", 20),
        ("z.20.3@-2~-1=random", 10 * 2),
        ("z.4.0@*=zero", 26 * 10),
        ("resid_post.3@query~-1", 27 * 5),
        ("resid_post.20@0~-1,resid_post.5@4~-1", 25 * 10),
    ],
)
def test_the_work_of_a_row_is_what_its_patch_reaches(patch: str, work: int) -> None:
    assert work_of(patch, layers=30, length=10) == work + READ


@pytest.mark.parametrize(
    ("sites", "slow_start"), [(("resid_post", "z"), 0.0), (("z", "resid_post"), 500.0), (("attn_out",), 500.0)]
)
def test_after_a_tenth_of_the_work_the_time_left_is_right(
    sites: tuple[str, ...], slow_start: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that takes as long as the states that a row computes, on a clock of its own, with noise of 10 %."""
    model = random_model("llama", tokenizer=TOKENIZER, num_hidden_layers=30, check=False)
    now, rng = [0.0], np.random.default_rng(0)
    monkeypatch.setattr(jobs.time, "monotonic", lambda: now[0])
    seen: list[Any] = []
    ivx.effects(model, "tiny:animal/colour", samples=4, sites=sites, on_progress=lambda *of: seen.append(of))
    job = Job(None)
    job.enter("running")
    now[0] += slow_start
    told: list[tuple[float, float, float]] = []
    rows = 0
    for result, done, total in seen:
        new = result.table.slice(rows).filter(pc.field("role") != "told")
        rows = result.table.num_rows
        length = len(result.samples.rows[0].target)
        took = sum(work_of(p, layers=30, length=length) - READ + 8 for p in new["patch"].to_pylist())
        now[0] += took * rng.uniform(0.9, 1.1)
        job.progress(result, done, total)
        left = job.view().seconds_left
        if left is not None and result.work is not None:
            told.append((now[0], left, result.work[0] / result.work[1]))
    assert seen[-1][0].work[0] == pytest.approx(seen[-1][0].work[1]), "all work is counted, and nothing twice"
    late = [(at, left) for at, left, share in told if 0.1 <= share < 0.95]
    assert late
    for at, left in late:
        assert left == pytest.approx(now[0] - at, rel=0.3)
