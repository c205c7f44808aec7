"""The planned engine: random sweeps against the oracle, what it computes, and what it leaves behind."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ivx
from ivx.engine.plan.plan import Plan
from ivx.engine.plan.run import Item, plan_of
from ivx.engine.workload import checked
from ivx.errors import Cancelled
from tests.support.random_models import random_model

KINDS = ("olmo2", "llama", "gpt2", "gemma2", "gpt_neox", "gpt_oss")
MODELS = {kind: random_model(kind) for kind in KINDS}


@st.composite
def sweeps(draw: st.DrawFn) -> tuple[str, dict]:
    """A model and a sweep on it: ragged prompts with chance prefixes, sets of any sites, positions, orders, doubles."""
    kind = draw(st.sampled_from(KINDS))
    model = MODELS[kind]
    prompt = st.lists(st.integers(3, 6), min_size=3, max_size=7)
    n = draw(st.integers(1, 3))
    target = draw(st.lists(prompt, min_size=n, max_size=n))
    source = target if draw(st.booleans()) else draw(st.lists(prompt, min_size=n, max_size=n))
    sites = ["resid_pre", "resid_post", "attn_out", "mlp_out", "z"] + ["resid_mid"] * (not model.anatomy.parallel)

    @st.composite
    def patch(inner: st.DrawFn) -> str:
        site, layer = inner(st.sampled_from(sites)), inner(st.integers(0, model.layers - 1))
        head = f".{inner(st.integers(0, model.heads - 1))}" if site == "z" and inner(st.booleans()) else ""
        position = inner(st.sampled_from(["*", "0", "1", "2", "-1", "-2", "-3"]))
        value = inner(st.sampled_from(["~0", "~-1", "~2", "~-3", "=zero", "=mean", "=own", "~0=random", "~-1=random"]))
        return f"{site}.{layer}{head}@{position}{value}"

    sets = draw(st.lists(st.lists(patch(), min_size=1, max_size=4).map(",".join), min_size=1, max_size=5, unique=True))
    return kind, {"source": source, "target": target, "answer": [50] * n, "patches": sets}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sweeps())
def test_any_sweep_equals_hooks(case: tuple[str, dict]) -> None:
    kind, asked = case
    one, other = (ivx.sweep(MODELS[kind], engine=engine, **asked) for engine in ("plan", "hooks"))
    assert one["patch"].equals(other["patch"]) and one["sample"].equals(other["sample"])
    for name in ("logit", "logsumexp", "kl_target"):
        # Hooks' own rounding where a norm meets a stream that was set to 0 is the tolerance.
        assert np.abs(one[name].to_numpy() - other[name].to_numpy()).max() < 1e-8


def planned(patches: list[str], *, samples: int = 2) -> tuple[int, int]:
    """Tokens that go through a whole block: of the plan, and of a forward pass a row."""
    model = MODELS["olmo2"]
    prompts = [[5, 17, 33, 8, 64, 9 + i] for i in range(samples)]
    sources = [[9, 2, 40, 11, 77, 80 + i] for i in range(samples)]
    asked = checked(
        model, source=sources, target=prompts, answer=[1] * samples, patches=patches, contrast=None, reference=None
    )
    made, _ = plan_of(model, asked, [Item(i, p) for i in range(samples) for p in ("", *patches)])
    return made.cost.tokens, made.cost.rowwise


def test_what_is_equal_is_computed_once() -> None:
    alone, _ = planned([])
    # Samples share five of six tokens; the last layer computes the last token only: 2 × (5 + 2) + 2.
    assert alone == 2 * (5 + 2) + 2
    # A state put where it already is, and a last-layer patch that nothing later reads, cost nothing but their source.
    nothing, _ = planned(["resid_post.2@0"])
    assert nothing == alone
    # At the last position a pair is its later half.
    one, _ = planned(["resid_post.1@-1"])
    pair, _ = planned(["resid_post.1@-1", "resid_post.0@-1,resid_post.1@-1"])
    assert pair == one
    # Patched twice with the same state, in either order, is once.
    twice, _ = planned(["resid_post.1@-1,resid_post.1@-1", "resid_post.1@-1"])
    assert twice == one


def test_a_layer_by_position_sweep_costs_a_fraction() -> None:
    tokens, rowwise = planned([f"resid_post.{i}@{t}" for i in range(3) for t in range(6)])
    assert tokens < rowwise / 3


@pytest.mark.parametrize("moment", [0, 1, 2, 3])
def test_ending_a_sweep_midway_leaves_no_trace(moment: int) -> None:
    model = MODELS["gpt2"]
    ids = torch.tensor([[5, 6, 7, 8]])
    before, kind = model.hf(ids).logits, model.hf.config._attn_implementation
    calls = 0

    def stop(batch: pa.RecordBatch, done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        if calls > moment:
            raise Cancelled

    with pytest.raises(Cancelled):
        ivx.sweep(
            model, source=[[5, 6]], target=[[7, 8, 9]], answer=[1], patches=["z.1.0@0", "mlp_out.1@1"], on_rows=stop
        )
    assert torch.equal(model.hf(ids).logits, before) and model.hf.config._attn_implementation == kind
    assert not any(m._forward_hooks or m._forward_pre_hooks or "forward" in m.__dict__ for m in model.hf.modules())


def test_two_threads_on_one_model_by_plan() -> None:
    asked: dict[str, Any] = {
        "source": [[5, 6, 9]],
        "target": [[7, 8, 9]],
        "answer": [1],
        "patches": ["z.1.0@0", "resid_post.1@1~2"],
    }
    expected, found = ivx.sweep(MODELS["llama"], **asked), []
    threads = [threading.Thread(target=lambda: found.append(ivx.sweep(MODELS["llama"], **asked))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6 and all(table.equals(expected) for table in found)


def test_running_out_of_memory_halves_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from ivx.engine.plan import run

    real, refused = run.execute, []

    def scarce(plan: Plan, *args: Any, **kwargs: Any) -> Any:
        if len(plan.rows) > 3:
            refused.append(len(plan.rows))
            raise torch.OutOfMemoryError("no memory")
        return real(plan, *args, **kwargs)

    asked: dict[str, Any] = {
        "source": [[5, 6, 9]] * 3,
        "target": [[7, 8, 9]] * 3,
        "answer": [1] * 3,
        "patches": ["z.1.0@0", "z.1.1@*"],
    }
    whole = ivx.sweep(MODELS["olmo2"], **asked)
    monkeypatch.setattr(run, "execute", scarce)
    halved = ivx.sweep(MODELS["olmo2"], **asked)
    assert refused and halved["patch"].equals(whole["patch"])
    assert np.abs(halved["logit"].to_numpy() - whole["logit"].to_numpy()).max() < 1e-12
