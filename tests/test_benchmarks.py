"""The page on speed quotes the committed measurements, and the rivals that are timed compute the same thing."""

from __future__ import annotations

import json
from pathlib import Path

import torch

import ivx
from benchmarks import rivals, sweeps
from tests.support.random_models import random_model

SPEED = Path(__file__).parent.parent / "docs" / "speed.md"


def test_the_readme_quotes_the_committed_table() -> None:
    found = json.loads(sweeps.RESULTS.read_text(encoding="utf-8"))
    assert sweeps.table(found["lines"]) in SPEED.read_text(encoding="utf-8")
    assert found["machine"] in SPEED.read_text(encoding="utf-8")


def test_batched_hooks_compute_what_ivx_does() -> None:
    source, target, answer = [[5, 17, 33, 8], [9, 2, 40, 11]], [[3, 60, 21, 90], [7, 44, 13, 9]], [50, 51]
    patches = ["resid_post.1@2", "z.0.1@*", "z.2.3@1", "resid_post.0@1,resid_post.2@1"]
    for kind in ("olmo2", "llama", "gpt2"):
        model = random_model(kind)
        theirs = rivals.hooks(model, source, target, answer, patches)
        ours = ivx.sweep(model, source=source, target=target, answer=answer, patches=patches)["logit"]
        assert (torch.tensor(ours.to_pylist()[2:], dtype=torch.float64) - theirs).abs().max() < 1e-9
