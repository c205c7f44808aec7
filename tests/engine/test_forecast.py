"""What a sweep costs, told before it runs, against what it then does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import ivx
from ivx.analyses.behaviour import BEHAVIOUR
from ivx.analyses.behaviour.request import BehaviourRequest
from ivx.analyses.bench.request import BenchRequest
from ivx.analyses.effects.request import ScanRequest
from ivx.analyses.function.request import FunctionRequest
from ivx.analyses.lens.request import LensRequest
from ivx.analyses.registry import analysis_of
from ivx.analyses.separability.request import SeparabilityRequest
from ivx.analyses.vectors.request import VectorsRequest
from ivx.engine.hooks.generate import generate
from ivx.engine.plan import run as by_plan
from ivx.engine.plan.forecast import Counted, Forecast, forecast, of_passes, of_texts
from ivx.engine.workload import checked
from ivx.jobs.compute import Cost
from ivx.request import BaseRequest
from tests.models.test_stream import saved
from tests.support.random_models import random_model
from tests.support.tokenizers import tokenizer

LARGE: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "head_dim": 32,
    "vocab_size": 2000,
    "num_hidden_layers": 4,
}


def asked(layers: int) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(0)
    source, target = torch.randint(3, 90, (2, 6, 12), generator=draw).tolist()
    singles = [f"resid_post.{i}@5" for i in range(layers)]
    pairs = [f"{a},{b}" for k, a in enumerate(singles) for b in singles[k + 1 :]]
    return {"source": source, "target": target, "answer": [7] * 6, "patches": singles + pairs}


def test_the_products_of_a_sweep_are_those_told_before(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model("llama", dtype=torch.float32, **LARGE)
    told = asked(model.layers)
    found = forecast(model, checked(model, contrast=None, reference=None, **told))
    ivx.sweep(model, **told)  # what is found once for a model is no part of it
    passes = []
    own = by_plan.pass_of
    monkeypatch.setattr(by_plan, "pass_of", lambda *given: passes.append(1) or own(*given))  # type: ignore[func-returns-value]
    with FlopCounterMode(display=False) as counted:
        table = ivx.sweep(model, engine="plan", **told)
    assert found.rows == table.num_rows and found.passes == len(passes)
    assert found.read_bytes == 0 and found.seconds > 0
    assert found.flops == pytest.approx(counted.get_total_flops(), rel=0.15)


def test_the_products_of_texts_are_those_told_before() -> None:
    model = random_model("llama", dtype=torch.float32, **LARGE)
    draw = torch.Generator().manual_seed(0)
    prompts = [tuple(torch.randint(3, 90, (length,), generator=draw).tolist()) for length in (9, 9, 12, 12, 12)]
    found = of_texts(model, prompts, tokens=6, rows=5)
    plain: dict[str, Any] = {"source": prompts, "target": prompts, "answer": [7] * 5, "patches": []}
    ivx.sweep(model, **plain)
    with FlopCounterMode(display=False) as counted:
        written = generate(model, prompts, tokens=6)
        ivx.sweep(model, **plain)
    assert not any(text.ended for text in written), "else fewer are written than were told"
    assert found.flops == pytest.approx(counted.get_total_flops(), rel=0.2)
    assert found.passes == 2 * 2 + 5 and found.rows == 5 and found.seconds > 0 and found.memory_bytes > 0
    twice = of_texts(model, prompts * 2, tokens=6, rows=10)
    assert twice.flops == pytest.approx(2 * found.flops) and twice.passes == found.passes


def test_behaviour_tells_its_cost_and_leaves_out_what_is_refused() -> None:
    model = ivx.load("tiny-sft")
    request = BehaviourRequest("tiny-sft", ("animal/colour",), ways=("prompt", "query", "chat"), samples=6, tokens=4)
    told = BEHAVIOUR.steps.cost(model, request)
    found = BEHAVIOUR.compute(model, request)
    assert isinstance(told, Forecast) and told.rows == found.table.num_rows == 24
    longer = BEHAVIOUR.steps.cost(model, BehaviourRequest("tiny-sft", ("animal/colour",), samples=6, tokens=40))
    assert isinstance(longer, Forecast) and longer.flops > 2 * told.flops
    assert BEHAVIOUR.steps.cost(model, BehaviourRequest("tiny-sft", ("animal/colour",), ways=("chat",))) is None


def test_streamed_weights_are_counted_once_a_pass(tmp_path: Path) -> None:
    model = ivx.load(str(saved("llama", tmp_path)), weights="stream")
    assert model.stream is not None
    found = forecast(model, checked(model, contrast=None, reference=None, **asked(model.layers)))
    assert found.passes == 1 and found.read_bytes == model.stream.size
    read = [p.numel() for name, p in model.hf.named_parameters() if ".layers." in name or "lm_head" in name]
    assert found.read_bytes == 2 * sum(read)  # bfloat16; of the embeddings only some rows


@pytest.mark.parametrize("kind", ["effects", "interactions"])
def test_a_request_tells_what_it_will_cost(kind: str) -> None:
    analysis = analysis_of(kind)
    model = ivx.load("tiny-sft")
    kind_of: Any = analysis.request
    request = kind_of("tiny-sft", "animal/colour", samples=5)
    found = Cost.request(request).answered(model, None, beat=lambda: None)
    assert found is not None
    rows = analysis.compute(model, request).table
    assert found.rows == sum(role != "told" for role in rows["role"].to_pylist())
    assert "on this machine" in found.told and f"{found.rows:,} rows" in found.told


ASKED: dict[str, BaseRequest] = {
    "scan": ScanRequest("random llama", "animal/colour", samples=4, spelling="space"),
    "vectors": VectorsRequest("random llama", "animal/colour", samples=4),
    "bench": BenchRequest("random llama", "animal/colour", 1, samples=4, texts=("The fox is here.",)),
    "lens": LensRequest("random llama", "The fox is here."),
    "function": FunctionRequest("random llama", "animal/colour", samples=8, demonstrations=2, heads=3),
}


@pytest.mark.parametrize("kind", ASKED)
def test_the_rows_of_every_analysis_are_those_told_before(kind: str) -> None:
    model = random_model("llama", tokenizer=tokenizer("bos"), max_position_embeddings=256)
    told = analysis_of(kind).steps.cost(model, ASKED[kind])
    table = analysis_of(kind).compute(model, ASKED[kind]).table
    # The told runs come with every sweep, and are not counted in its cost.
    rows = table.filter(pc.field("role") != "told").num_rows if "role" in table.column_names else table.num_rows
    assert isinstance(told, Forecast) and told.rows == rows
    assert told.seconds > 0 and told.passes > 0 and told.memory_bytes > 0 and f"{rows:,} rows" in told.told


def test_probes_tell_their_places_and_no_time() -> None:
    model = random_model("llama", tokenizer=tokenizer("bos"))
    request = SeparabilityRequest(model.name, ("animal/colour", "animal/class"), components=("resid_post", "mlp_out"))
    told = analysis_of("separability").steps.cost(model, request)
    assert isinstance(told, Counted) and told.rows == 2 + 2 * model.layers and "not forecast" in told.told


def test_the_products_of_passes_are_those_told_before() -> None:
    model = random_model("llama", dtype=torch.float32, **LARGE)
    draw = torch.Generator().manual_seed(0)
    prompts = [tuple(torch.randint(3, 90, (length,), generator=draw).tolist()) for length in (9, 9, 12)]
    with FlopCounterMode(display=False) as counted, torch.inference_mode():
        for ids in prompts:
            model.hf(input_ids=torch.tensor([ids]), logits_to_keep=1)
    assert of_passes(model, prompts, rows=3).flops == pytest.approx(counted.get_total_flops(), rel=0.15)
