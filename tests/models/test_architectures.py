"""The table of architectures: each from a small random config, by plan, against plain hooks in float64.

Hooks themselves are held against hand-written patching in `test_sweep`, and against `doctor`'s facts on every one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ivx
from ivx.engine.address import SITES
from ivx.engine.forward.device import GPU, Way
from ivx.engine.plan import run
from ivx.engine.plan.proof import unfit
from ivx.errors import UnsupportedArchitecture
from ivx.models.anatomy import ANATOMIES
from ivx.models.model import Model
from tests.support.random_models import LATENT, ROUNDED_WITHIN, random_model

pytestmark = pytest.mark.architectures
SOURCE = [[5, 17, 33, 8, 64, 9], [9, 2, 40, 11, 77]]
TARGET = [[3, 60, 21, 90, 14], [7, 44, 13, 9, 2, 40, 11]]
HOOKS_ONLY = {"bitnet", "diffllama", "doge"}
"""Attention that does more to the heads' outputs than to project them, or asks for it with arguments of its own."""
REFUSED = ("bloom", "falcon", "gptj", "opt")
MODELS = Path(__file__).parents[2] / "docs" / "models.md"


def patches(model: Model) -> list[str]:
    """Every workload in small: each site × layer × position, heads at one and all positions, pairs, ablations."""
    sites = [site for site in SITES if site != "resid_mid" or not model.anatomy.parallel]
    layers = range(model.layers)
    found = [f"{s}.{i}@{p}" for s in sites for i in layers for p in ("0~-1", "2", "-1")]
    found += [f"z.{i}.{h}@{p}" for i in layers for h in range(model.heads) for p in ("1", "*~-1")]
    found += [f"resid_post.{i}@1~-1,resid_post.{j}@1~-1" for i in layers for j in layers if i < j]
    found += [f"{s}.1@{p}={kind}" for s in sites for p in ("1", "*") for kind in ("zero", "mean")]
    found += [f"{s}.{i}@{p}=random" for s in sites for i in layers for p in ("1~-1", "*~0")]
    found += [f"z.1.{h}@1=random" for h in range(model.heads)]
    found += [f"{before}{s}.1@{p}=own" for before in ("", "resid_post.0@1~-1,") for s in sites for p in ("1", "*")]
    # Hooks reach the middle of a block by adding a difference; what is left of 0 there, a norm makes large again.
    return [patch for patch in found if patch != "resid_mid.1@*=zero"]


def apart(model: Model, **asked: Any) -> float:
    """Largest difference of any sufficient number, plan against hooks."""
    answer: dict[str, Any] = {
        "source": SOURCE,
        "target": TARGET,
        "answer": [50, 51],
        "contrast": [60, 61],
        "reference": SOURCE,
    }
    one, other = (
        ivx.sweep(model, patches=patches(model), engine=engine, **answer, **asked) for engine in ("plan", "hooks")
    )
    assert one["patch"].equals(other["patch"]) and one["sample"].equals(other["sample"])
    numbers = ("logit", "contrast", "logsumexp", "kl_target", "kl_reference")
    return max(float(np.abs(one[n].to_numpy() - other[n].to_numpy()).max()) for n in numbers)


@pytest.mark.parametrize("kind", sorted(ROUNDED_WITHIN))
def test_by_plan_equals_hooks_where_the_architecture_rounds_to_float32_itself(kind: str) -> None:
    model = random_model(kind, dtype=torch.float32)
    assert unfit(model) is None
    assert apart(model) <= 1e-3


@pytest.mark.parametrize("kind", sorted(set(ANATOMIES) - HOOKS_ONLY - ROUNDED_WITHIN))
def test_by_plan_equals_hooks_in_float64(kind: str) -> None:
    model = random_model(kind)
    assert unfit(model) is None
    assert apart(model) <= 1e-10


@pytest.mark.parametrize("kind", sorted(HOOKS_ONLY))
def test_what_the_plan_cannot_do_falls_back_and_says_so(kind: str) -> None:
    model = random_model(kind)
    table = ivx.sweep(model, source=SOURCE, target=TARGET, answer=[50, 51], patches=["resid_post.1@0~-1"])
    assert table.schema.metadata[b"ivx.engine"].startswith(b"hooks: ")


@pytest.mark.parametrize("kind", REFUSED)
def test_unknown_architectures_are_refused_with_the_missing_fact(kind: str) -> None:
    with pytest.raises(UnsupportedArchitecture, match="what its attention and MLP add to the residual stream"):
        random_model(kind)


@pytest.mark.parametrize("kind", ["olmo2", "llama", "gpt2"])
def test_float32_errs_no_more_than_twice_as_hooks_do(kind: str) -> None:
    exact, rounded = random_model(kind), random_model(kind, dtype=torch.float32)
    asked: dict[str, Any] = {"source": SOURCE, "target": TARGET, "answer": [50, 51], "patches": patches(exact)}
    truth = ivx.sweep(exact, engine="hooks", **asked)["logit"].to_numpy()
    plan, hooks = (
        np.abs(ivx.sweep(rounded, engine=engine, **asked)["logit"].to_numpy() - truth) for engine in ("plan", "hooks")
    )
    assert plan.max() <= 2 * hooks.max() and plan.mean() <= 2 * hooks.mean()


def test_micro_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "way_of", lambda model: Way(chunk=5, scores=100, rows=7, logits=300))
    for kind in ("olmo2", "gemma2", "phi"):
        assert apart(random_model(kind)) <= 1e-10


@pytest.mark.parametrize(
    "kind", ["olmo2", "llama", "gpt2", "gemma2", "gpt_oss", "mistral", "mixtral", "phi", "cohere2"]
)
def test_padded_and_together_as_on_a_gpu(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "way_of", lambda model: replace(GPU, chunk=32, smallest=8, scores=2000, compiled=False))
    assert apart(random_model(kind)) <= 1e-10


@pytest.mark.parametrize("kind", ["deepseek_v2", "deepseek_v3"])
@pytest.mark.parametrize(("rope", "nope", "value"), [(4, 8, 8), (8, 16, 16), (8, 16, 12), (4, 8, 10)])
def test_heads_whose_keys_and_values_are_of_unlike_width(kind: str, rope: int, nope: int, value: int) -> None:
    """As in the released checkpoints: keys of 64 + 128, values of 128."""
    widths: dict[str, Any] = LATENT | {"qk_rope_head_dim": rope, "qk_nope_head_dim": nope, "v_head_dim": value}
    model = random_model(kind, dtype=torch.float32, **widths)
    assert model.head_dim == value and unfit(model) is None
    assert apart(model) <= 1e-3


def test_the_readme_names_every_architecture() -> None:
    text = MODELS.read_text(encoding="utf-8")
    assert f"| by plan | {', '.join(sorted(set(ANATOMIES) - HOOKS_ONLY))} |" in text
    assert f"| refused | {', '.join(REFUSED)}, and all others |" in text
    assert not HOOKS_ONLY or f"| by hooks | {', '.join(sorted(HOOKS_ONLY))} |" in text
