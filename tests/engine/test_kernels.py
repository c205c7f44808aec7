"""Compiled regions: traced they are the block's own code, one graph serves all layers, and what fails falls back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

import ivx
from ivx.engine.forward import regions
from ivx.engine.forward.device import GPU
from ivx.engine.forward.graphs import Failure, Graph, Kernel, traced
from ivx.engine.forward.regions import Part, at
from ivx.engine.forward.seams import AFTER, BEFORE, Seams
from ivx.engine.plan import run
from ivx.models.model import Model
from tests.support.random_models import random_model

WAY = replace(GPU, chunk=64, smallest=64)
KINDS = ["llama", "olmo2", "gemma3_text", "qwen3", "gpt2", "phi"]
TOKENS = 5
SWEEP: dict[str, Any] = {
    "source": [[5, 17, 33, 8, 64, 9], [9, 2, 40, 11, 77]],
    "target": [[3, 60, 21, 90, 14], [7, 44, 13, 9, 2, 40, 11]],
    "answer": [50, 51],
}


@pytest.fixture
def seams(monkeypatch: pytest.MonkeyPatch) -> list[Seams]:
    """The seams of every sweep of a test, which are those of a GPU."""
    made: list[Seams] = []

    class Kept(Seams):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            made.append(self)

    monkeypatch.setattr(run, "Seams", Kept)
    monkeypatch.setattr(run, "way_of", lambda model: WAY)
    monkeypatch.setattr(regions, "_kernels", {})
    return made


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs run as they were traced, operation by operation: all of a region but the compiler."""
    monkeypatch.setattr(regions, "compiled", lambda graph: Kernel(graph.module, graph.reads))


def used(seams: list[Seams]) -> dict[tuple[str, int], Part]:
    """The regions of the last sweep."""
    assert seams[-1].regions is not None
    return seams[-1].regions.used


def patches(model: Model) -> list[str]:
    """Every site at every layer: states that are rewired, and states that are put into a block."""
    sites = ["resid_pre", "resid_post", "attn_out", "mlp_out", "z"] + ["resid_mid"] * (not model.anatomy.parallel)
    found = [f"{site}.{layer}@{p}" for site in sites for layer in range(model.layers) for p in ("0~-1", "-1")]
    return [*found, "z.1.2@1", "attn_out.1@1=mean", "mlp_out.0@2=random", "resid_post.0@1~2,mlp_out.2@-1"]


def apart(model: Model) -> float:
    """Largest difference of a logit, plan against hooks."""
    one, other = (
        ivx.sweep(model, patches=patches(model), engine=engine, **SWEEP)["logit"].to_numpy()
        for engine in ("plan", "hooks")
    )
    return float(np.abs(one - other).max())


def inputs(seams: Seams, name: str, layer: int) -> list[Tensor]:
    """Random states, and what else a layer's region is called with."""
    model = seams.model
    drawn = torch.randn(1, TOKENS, model.width, dtype=model.dtype)
    if name == BEFORE:
        leaves = tree_leaves(seams.arguments[layer])
        return [drawn, *(at(x, torch.arange(TOKENS)) for x in leaves if isinstance(x, Tensor))]
    return [drawn, torch.randn(1, TOKENS, model.heads * model.head_dim, dtype=model.dtype)]


def graphs(model: Model) -> Iterator[tuple[str, int, Graph | Failure, list[Tensor], list[Tensor]]]:
    """Both regions of every layer as graphs, their inputs, and what the block's own code makes of these."""
    with torch.inference_mode():
        seams = Seams(model, longest=8)
        with seams.switched():
            for name, own in seams.own.items():
                for layer, block in enumerate(model.blocks):
                    given = inputs(seams, name, layer)
                    found = [x for x in own(layer)(*given) if isinstance(x, Tensor)]
                    yield name, layer, traced(block, own(layer), given), given, found


def changed(model: Model) -> None:
    """What changes in layer 1 is read before attention, what changes in layer 2 after it."""
    model.module(1, "self_attn.q_norm").variance_epsilon = 0.5  # type: ignore[assignment]
    model.module(2, "mlp").act_fn = nn.ReLU()


@pytest.mark.parametrize("kind", [*KINDS, "cohere2", "gpt_neox", "granite", "phi3", "starcoder2", "deepseek_v2"])
def test_a_traced_region_is_the_blocks_own_code_and_the_same_for_every_layer(kind: str) -> None:
    model = random_model(kind, first_k_dense_replace=9) if kind == "deepseek_v2" else random_model(kind)
    texts: dict[str, set[str]] = {BEFORE: set(), AFTER: set()}
    for name, layer, graph, given, expected in graphs(model):
        assert isinstance(graph, Graph), graph
        block = model.blocks[layer]
        everything = [*given, *block.parameters(), *block.buffers()]
        with torch.inference_mode():
            found = graph.module(*(everything[i] for i in graph.reads))
        assert len(found) == 3 and all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        texts[name].add(graph.text)
    assert [len(found) for found in texts.values()] == [1, 1]


def test_layers_that_compute_something_else_have_other_graphs() -> None:
    model = random_model("olmo2")
    changed(model)
    texts: dict[str, list[str]] = {BEFORE: [], AFTER: []}
    for name, _, graph, *_ in graphs(model):
        assert isinstance(graph, Graph)
        texts[name].append(graph.text)
    a, b, c = texts[BEFORE]
    assert a == c != b
    a, b, c = texts[AFTER]
    assert a == b != c


def test_experts_cannot_be_traced_and_the_rest_is() -> None:
    for name, _, graph, *_ in graphs(random_model("mixtral")):
        assert isinstance(graph, Graph if name == BEFORE else Failure)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("kind", [*KINDS, "gpt_oss", "granite", "mistral", "stablelm"])
def test_patches_at_every_site_equal_hooks_as_on_a_gpu(kind: str, seams: list[Seams]) -> None:
    model = random_model(kind, dtype=torch.float32)
    state = torch.get_rng_state()
    assert apart(model) <= 1e-4
    assert torch.equal(torch.get_rng_state(), state)
    failed = {name for (name, _), part in used(seams).items() if part.failure is not None}
    assert failed == ({AFTER} if kind == "gpt_oss" else set())
    assert {layer for _, layer in used(seams)} == set(range(model.layers))
    assert (seams[-1].kernels or "").startswith("kernels from cache")


@pytest.mark.usefixtures("uncompiled")
def test_weights_are_those_of_the_moment_of_a_call(seams: list[Seams]) -> None:
    model = random_model("llama", dtype=torch.float32)
    assert apart(model) <= 1e-4
    traces = used(seams)
    for module in list(model.blocks[1].modules()):
        for name, weight in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(weight.flip(0)))
    assert apart(model) <= 1e-4
    assert all(used(seams)[key] is part for key, part in traces.items())


@pytest.mark.slow
@pytest.mark.usefixtures("uncompiled")
def test_streamed_weights_go_through_the_same_graphs(seams: list[Seams]) -> None:
    tables = []
    for weights in ("stream", "compact", "whole"):
        model = ivx.load("tiny-base", weights=weights)
        tables.append(ivx.sweep(model, patches=patches(model), **SWEEP))
        assert (seams[-1].kernels or "").startswith("kernels from cache")
        assert apart(model) <= 1e-4
    assert tables[0].equals(tables[2]) and tables[1].equals(tables[2])
    assert len(regions._kernels) == 2


@pytest.mark.usefixtures("uncompiled")
def test_a_block_that_was_changed_is_traced_again(seams: list[Seams]) -> None:
    model = random_model("olmo2", dtype=torch.float32)
    assert apart(model) <= 1e-4
    changed(model)
    assert apart(model) <= 1e-4
    assert all(part.failure is None for part in used(seams).values())


def test_a_kernel_that_computes_something_else_is_not_used(seams: list[Seams], monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(graph: Graph) -> Kernel:
        return Kernel(lambda *given: [x + 1e-3 * x.abs().max() for x in graph.module(*given)], graph.reads)

    monkeypatch.setattr(regions, "compiled", wrong)
    assert apart(random_model("llama", dtype=torch.float32)) <= 1e-4
    told = seams[-1].kernels
    assert told is not None and told.startswith("not compiled: compiled code differs from the model's own by 1e-03")


def test_a_kernel_that_fails_is_not_used(seams: list[Seams], monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(graph: Graph) -> Kernel:
        def fail(*_: Tensor) -> list[Tensor]:
            raise RuntimeError("no kernel image\nis available")

        return Kernel(fail, graph.reads)

    monkeypatch.setattr(regions, "compiled", failing)
    assert apart(random_model("llama", dtype=torch.float32)) <= 1e-4
    told = seams[-1].kernels
    assert told is not None and told.startswith("not compiled: no kernel image")


@pytest.mark.slow
def test_without_a_compiler_the_sweep_is_the_same_and_says_so(
    seams: list[Seams], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import torch._inductor.config as config

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    with config.patch({"cpp.cxx": ("no-such-compiler",)}):
        assert apart(random_model("llama", dtype=torch.float32)) <= 1e-4
    told = seams[-1].kernels
    assert told is not None and told.startswith("not compiled: ") and "ompiler" in told


def test_float64_is_left_to_the_models_own_code(seams: list[Seams]) -> None:
    assert apart(random_model("llama")) <= 1e-10
    assert seams[-1].kernels is not None
    assert seams[-1].kernels.startswith("not compiled: float64 is left to the model's own code")


def test_a_cpu_makes_no_kernels() -> None:
    model = random_model("llama", dtype=torch.float32)
    with torch.inference_mode():
        assert Seams(model, longest=4).kernels is None


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "dtype"), [*((kind, torch.float32) for kind in KINDS), ("llama", torch.bfloat16)])
def test_compiled_regions_equal_hooks_and_one_graph_serves_all_layers(
    kind: str, dtype: torch.dtype, seams: list[Seams]
) -> None:
    from torch._dynamo.utils import counters

    counters.clear()
    model = random_model(kind, dtype=dtype)
    assert apart(model) <= (1e-4 if dtype == torch.float32 else 1)
    assert {name for name, _ in used(seams)} == {BEFORE, AFTER} and len(used(seams)) == 2 * model.layers
    assert [part.failure for part in used(seams).values() if part.failure is not None] == []
    assert all(part.proved == {64} for part in used(seams).values())
    found = counters["inductor"]
    assert found["fxgraph_cache_miss"] + found["fxgraph_cache_hit"] == 2


SCRIPT = """
import json, sys
import torch
import ivx
from ivx.engine.plan import run
from torch._dynamo.utils import counters
from tests.engine.test_kernels import SWEEP, WAY, patches
from tests.support.random_models import random_model

told = []
class Kept(run.Seams):
    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        told.append(self)

run.Seams = Kept
run.way_of = lambda model: WAY
model = random_model("llama", dtype=torch.float32)
table = ivx.sweep(model, patches=patches(model), **SWEEP)
print(json.dumps({"told": [one.kernels for one in told], **counters["inductor"], "logit": table["logit"].to_pylist()}))
"""


def cold_and_warm(script: str, folder: Path) -> list[dict[str, Any]]:
    """What two processes say, one after the other, that keep their kernels in a folder that was empty."""
    environment = {k: v for k, v in os.environ.items() if k not in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")}
    found = []
    for _ in range(2):
        ended = subprocess.run(
            [sys.executable, "-c", script],
            env=environment | {"IVX_CACHE": str(folder)},
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(json.loads(ended.stdout.splitlines()[-1]))
    return found


@pytest.mark.slow
def test_a_second_process_starts_warm(tmp_path: Path) -> None:
    cold, warm = cold_and_warm(SCRIPT, tmp_path)
    assert cold["fxgraph_cache_miss"] == 2 and cold["told"][0].startswith("kernels made in ")
    assert "fxgraph_cache_miss" not in warm and warm["fxgraph_cache_hit"] == 2
    assert warm["told"][0].startswith("kernels from cache") and warm["logit"] == cold["logit"]
    assert any((tmp_path / "kernels").iterdir())
