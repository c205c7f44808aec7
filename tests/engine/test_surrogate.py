"""The surrogate in float64: it is the model, it is linear, and its parts sum; paths against plain enumeration."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ivx
from ivx.engine.hooks.sites import Writes
from ivx.engine.linear.ablate import with_edges, with_heads
from ivx.engine.linear.fidelity import own_logits, prove, reconstructed
from ivx.engine.linear.paths import count_paths, strongest
from ivx.engine.linear.published import _along, _logits, published, published_paths
from ivx.engine.linear.records import TOLERANCE, Fidelity, Move, begun, by_heads
from ivx.engine.linear.surrogate import Surrogate
from ivx.errors import IvxError, UnsupportedArchitecture
from tests.support.random_models import random_model

pytestmark = pytest.mark.surrogate
KINDS = (
    "olmo2", "olmo3", "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "gpt2", "gpt_neox",
    "glm4", "granite", "nemotron", "phi", "phi3", "stablelm",
)  # fmt: skip
PROMPTS = [[5, 17, 33, 8, 64, 9, 2, 40, 11, 77], [9, 2, 40, 11, 77, 5, 3, 60, 21, 90]]
ANSWER, CONTRAST = [50, 51], [60, 61]


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_rebuilt_and_every_layer_sums_to_them(kind: str) -> None:
    model = random_model(kind, check=False)
    prove(model)
    found = reconstructed(model, PROMPTS[0])
    assert abs(found.cosine - 1) < 1e-9 and abs(found.ratio - 1) < 1e-9
    parts = Surrogate(model, PROMPTS).sweep(ANSWER, CONTRAST)
    own = [own_logits(model, prompt) for prompt in PROMPTS]
    assert parts.total.tolist() == pytest.approx(
        [float(z[a] - z[c]) for z, a, c in zip(own, ANSWER, CONTRAST, strict=True)],
        abs=1e-9,
    )
    behind = torch.cat([parts.constants, parts.final[:, None]], dim=1).flip(1).cumsum(1).flip(1)
    sums = parts.nodes.sum(-1) + behind
    assert torch.allclose(sums, parts.total[:, None].expand_as(sums), atol=1e-9, rtol=0)
    assert torch.allclose(parts.edges.sum(-1), parts.heads, atol=1e-10, rtol=0)
    into, out = parts.edges.sum((2, 4)), parts.edges.sum((2, 3))
    assert torch.allclose(parts.nodes[:, 1:], parts.stay + into + parts.added, atol=1e-9, rtol=0)
    assert torch.allclose(parts.nodes[:, :-1], parts.stay + out - parts.carried, atol=1e-9, rtol=0)
    assert parts.deviation() < 1e-12
    assert float(parts.edges.triu(1).abs().max()) == 0 and float(parts.edges.abs().max()) > 1e-3
    biased = any(module.bias is not None for module in model.hf.modules() if isinstance(module, nn.LayerNorm))
    assert bool(parts.constants.any()) == (biased or kind == "phi")
    assert not any(m._forward_hooks or m._forward_pre_hooks or "forward" in m.__dict__ for m in model.hf.modules())


@pytest.mark.parametrize("kind", ["cohere2", "olmo", "olmo2", "gemma3_text", "gpt2"])
def test_float32_is_held_to_what_it_can_give(kind: str) -> None:
    prove(random_model(kind, dtype=torch.float32, check=False))


@pytest.mark.parametrize("kind", ["olmo2", "llama", "gemma2", "gpt2", "gpt_neox"])
def test_the_frozen_model_is_linear_and_the_sweep_is_its_derivative(kind: str) -> None:
    model = random_model(kind, check=False)
    run = Surrogate(model, PROMPTS[:1])
    parts = run.sweep(ANSWER[:1], CONTRAST[:1])
    states = run.inputs[0].detach()
    one = torch.ones(1, dtype=states.dtype)
    with torch.no_grad():
        base = run.linear(states, one)
        assert torch.allclose(base[0], own_logits(model, PROMPTS[0]), atol=1e-10)
        assert torch.allclose(run.linear(3 * states, 3 * one), 3 * base, atol=1e-9)
        for token in (0, 4, 9):
            moved = states.clone()
            moved[0, token] *= 1 + 1e-3
            slope = (run.linear(moved, one) - base)[0] / 1e-3
            assert float(slope[ANSWER[0]] - slope[CONTRAST[0]]) == pytest.approx(
                float(parts.nodes[0, 0, token]), abs=1e-8
            )


@pytest.mark.parametrize("kind", ["olmo2", "gpt2"])
def test_a_batch_gives_what_single_prompts_give(kind: str) -> None:
    model = random_model(kind, check=False)
    both = Surrogate(model, PROMPTS).sweep(ANSWER, CONTRAST)
    for i in range(2):
        one = Surrogate(model, PROMPTS[i : i + 1]).sweep(ANSWER[i : i + 1], CONTRAST[i : i + 1])
        for name in ("total", "nodes", "stay", "mlp", "heads", "edges", "added", "carried", "final"):
            assert torch.allclose(getattr(both, name)[i], getattr(one, name)[0], atol=1e-10), name


def test_a_patched_state_is_a_source_of_its_own() -> None:
    model = random_model("olmo2", check=False)
    value = 3 * torch.randn(32, dtype=torch.float64)
    run = Surrogate(model, PROMPTS[:1], writes={("resid_post", 1): Writes([0], [2], [-1], [value])})
    parts = run.sweep(ANSWER[:1])
    assert parts.deviation() < 1e-12 and abs(float(parts.put[0, 1, 2])) > 1e-3
    assert float(parts.put.abs().sum()) == abs(float(parts.put[0, 1, 2])) == abs(float(parts.nodes[0, 2, 2]))
    assert float(parts.stay[0, 1, 2]) == 0 and float(parts.heads[0, 1, :, 2].abs().max()) == 0
    with pytest.raises(IvxError, match="patch resid_post"):
        Surrogate(model, PROMPTS[:1], writes={("mlp_out", 1): Writes([0], [2], [-1], [value])})


class ByHand:
    """A frozen Llama of one prompt, written with its weights and nothing of ivx: every step as a matrix or a vector."""

    def __init__(self, hf: Any, ids: list[int]) -> None:
        self.hf, config = hf, hf.config
        self.layers, self.heads = config.num_hidden_layers, config.num_attention_heads
        with torch.no_grad():
            out = hf(input_ids=torch.tensor([ids]), output_attentions=True, output_hidden_states=True, use_cache=False)
            self.states = [h[0] for h in out.hidden_states[:-1]]
            self.attention = [a[0] for a in out.attentions]
            self.width, self.group = config.head_dim, self.heads // config.num_key_value_heads
            self.scales: list[tuple[torch.Tensor, torch.Tensor]] = []
            self.gates: list[torch.Tensor] = []
            for layer, block in enumerate(hf.model.layers):
                x = self.states[layer]
                middle = x + block.self_attn.o_proj(self.z(layer, x))
                self.scales[layer:] = [(block.input_layernorm(x) / x, block.post_attention_layernorm(middle) / middle)]
                self.gates.append(block.mlp.act_fn(block.mlp.gate_proj(block.post_attention_layernorm(middle))))
                last = middle + block.mlp(block.post_attention_layernorm(middle))
            self.final = (hf.model.norm(last) / last)[-1]

    def z(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        block = self.hf.model.layers[layer]
        v = (
            block.self_attn.v_proj(block.input_layernorm(x))
            .view(len(x), -1, self.width)
            .repeat_interleave(self.group, 1)
        )
        return torch.einsum("hqs,shd->qhd", self.attention[layer], v).flatten(1)

    def head(self, layer: int, head: int, start: int, end: int, x: torch.Tensor) -> torch.Tensor:
        block = self.hf.model.layers[layer]
        rows = slice((head // self.group) * self.width, (head // self.group + 1) * self.width)
        value = block.self_attn.v_proj.weight[rows] @ (self.scales[layer][0][start] * x)
        out = block.self_attn.o_proj.weight[:, head * self.width : (head + 1) * self.width] @ value
        return self.attention[layer][head, end, start] * out

    def mlp(self, layer: int, token: int, x: torch.Tensor) -> torch.Tensor:
        mlp = self.hf.model.layers[layer].mlp
        return x + mlp.down_proj.weight @ (
            self.gates[layer][token] * (mlp.up_proj.weight @ (self.scales[layer][1][token] * x))
        )

    def paths(self, answer: int, contrast: int) -> dict[tuple[int, tuple[Move, ...]], float]:
        """Every path by its start and moves, enumerated."""
        read = self.final * (self.hf.lm_head.weight[answer] - self.hf.lm_head.weight[contrast])
        tokens, found = len(self.states[0]), {}
        steps = [None, *itertools.product(range(self.heads), range(tokens))]
        for start in range(tokens):
            for way in itertools.product(steps, repeat=self.layers):
                x, at, moves = self.states[0][start], start, []
                for layer, step in enumerate(way):
                    if step is not None:
                        if step[1] < at:
                            break
                        moves.append(Move(layer, step[0], at, step[1]))
                        x, at = self.head(layer, *moves[-1][1:], x), step[1]
                    x = self.mlp(layer, at, x)
                else:
                    if at == tokens - 1:
                        found[start, tuple(moves)] = float(read @ x)
        return found


def test_the_strongest_paths_are_those_of_plain_enumeration() -> None:
    model = random_model("llama", check=False, num_hidden_layers=2)
    ids = [5, 17, 33, 8]
    model.hf.set_attn_implementation("eager")  # which rounds its softmax to float32
    run = Surrogate(model, [ids])
    every = strongest(run, 50, 60, k=10_000, slack=0)
    with torch.no_grad():
        truth = ByHand(model.hf, ids).paths(50, 60)
    assert every.settled and len(every.paths) == len(truth) > 150
    assert {(p.start, p.moves): p.value for p in every.paths} == pytest.approx(truth, abs=1e-10)
    assert sum(truth.values()) == pytest.approx(every.total, abs=1e-10)
    few = strongest(run, 50, 60, k=12)
    assert few.settled and few.opened < every.opened
    order = sorted(truth.items(), key=lambda pair: -abs(pair[1]))[:12]
    assert [(p.start, p.moves) for p in few.paths] == [path for path, _ in order]
    parts = run.sweep([50], [60])
    for layer, head, start, end in itertools.product(range(2), range(4), range(4), range(4)):
        through = sum(v for (_, moves), v in truth.items() if Move(layer, head, start, end) in moves)
        assert through == pytest.approx(float(parts.edges[0, layer, head, end, start]), abs=1e-10)
    steps = np.tril(np.full((2, 4, 4), model.heads)) + np.eye(4, dtype=int)
    assert count_paths(steps) == len(truth)
    grouped = by_heads(every.paths)
    assert grouped[()] == pytest.approx(sum(v for (_, moves), v in truth.items() if not moves))
    assert sum(grouped.values()) == pytest.approx(every.total)
    assert not strongest(run, 50, 60, k=12, slack=0, most=3).settled


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox"])
def test_paths_from_biases_complete_the_logit(kind: str) -> None:
    small: dict[str, Any] = {"n_layer": 2} if kind == "gpt2" else {"num_hidden_layers": 2}
    run = Surrogate(random_model(kind, check=False, **small), [[5, 17, 33]])
    found, parts = strongest(run, 50, k=10_000, slack=0), run.sweep([50])
    assert sum(p.value for p in found.paths) == pytest.approx(found.total, abs=1e-10)
    for layer in (0, 1):
        constants = sum(p.value for p in found.paths if p.layer == layer)
        assert constants == pytest.approx(float(parts.constants[0, layer]), abs=1e-10)


def test_paths_are_counted_as_they_are_listed() -> None:
    steps = np.random.default_rng(0).integers(3, size=(4, 3, 3))
    listed = sum(
        np.prod([steps[i, way[i + 1], way[i]] for i in range(4)])
        for way in itertools.product(range(3), repeat=5)
        if way[-1] == 2
    )
    assert count_paths(steps) == listed
    assert count_paths(np.full((40, 10, 10), 32)) == 10**40 * 32**40


def test_the_published_sum_is_far_from_the_logits() -> None:
    model = random_model("olmo2", check=False, num_hidden_layers=4)
    found = published(Surrogate(model, PROMPTS[:1]), 50)
    assert found.paths == 4**4 and not found.drawn and found.kept > 0
    assert found.everything.cosine < 0.9 and found.everything.ratio > 50
    # All 101 tokens but one are among the first 100, so the paths that count are nearly all of them.
    assert found.ranked is not None and found.ranked.ratio == pytest.approx(found.everything.ratio, rel=0.2)


def test_where_published_paths_begin_is_what_enumeration_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ivx.engine.linear.published.RANK", 20)
    model = random_model("olmo2", check=False)
    run, answer = Surrogate(model, PROMPTS[:1]), 50
    found, starts = published_paths(run, answer)
    layers, heads, tokens = model.layers, model.heads, len(PROMPTS[0])
    listed, ranked = [0] * tokens, [0] * tokens
    for ways in itertools.product(range(heads), repeat=layers):
        route = [tokens - 1]
        for layer in reversed(range(layers)):
            route.insert(0, int(run.attention[layer][0, ways[layer], route[0]].argmax()))
        states, scale = _along(run, torch.tensor([route]))
        logits = _logits(run, states, scale)[0]
        listed[route[0]] += 1
        ranked[route[0]] += int((logits > logits[answer]).sum()) < 20
    assert [(one.token, one.ranked, one.listed, one.paths) for one in starts] == [
        (i, ranked[i], listed[i], listed[i]) for i in range(tokens)
    ]
    assert found == published(run, answer) and 0 < sum(ranked) == round(found.kept * found.paths) < found.paths


def test_where_paths_begin_is_counted_as_they_are_listed() -> None:
    steps = np.random.default_rng(1).integers(3, size=(4, 3, 3))
    counts = [0, 0, 0]
    for way in itertools.product(range(3), repeat=5):
        if way[-1] == 2:
            counts[way[0]] += int(np.prod([steps[i, way[i + 1], way[i]] for i in range(4)]))
    assert begun(steps) == counts and sum(counts) == count_paths(steps)


def test_heads_and_edges_left_out_of_the_real_model() -> None:
    model = random_model("qwen3", check=False)
    own = torch.stack([own_logits(model, prompt) for prompt in PROMPTS])
    shape = (2, 3, 4, 10, 10)
    assert torch.allclose(with_edges(model, PROMPTS, torch.ones(shape, dtype=torch.bool)), own, atol=1e-10)
    zero = [torch.zeros(1, 1, 1, dtype=torch.float64)] * 3
    heads = torch.ones(2, 3, 4, dtype=torch.bool)
    heads[:, 1, 2] = heads[:, 2, 0] = False
    left = with_heads(model, PROMPTS, heads, zero)
    edges = heads[..., None, None].expand(shape)
    assert torch.allclose(with_edges(model, PROMPTS, edges), left, atol=1e-10)
    table = ivx.sweep(
        model, source=PROMPTS, target=PROMPTS, answer=ANSWER, patches=["z.1.2@*=zero,z.2.0@*=zero"], engine="hooks"
    )
    assert table["logit"].to_pylist()[2:] == pytest.approx([float(left[i, ANSWER[i]]) for i in range(2)], abs=1e-10)
    assert not any("ivx_frozen" in m.__dict__ for m in model.hf.modules())


@pytest.mark.parametrize("kind", ["mixtral", "qwen3_moe", "gpt_oss"])
def test_what_is_not_linear_is_refused(kind: str) -> None:
    with pytest.raises(UnsupportedArchitecture, match="among experts"):
        prove(random_model(kind, dtype=torch.float32, check=False))


def test_what_only_looks_linear_is_refused() -> None:
    model = random_model("llama", check=False)

    class Squared(nn.Module):
        def __init__(self, inside: nn.Module) -> None:
            super().__init__()
            self.inside = inside

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inside(x) + 0.1 * x**2

    model.hf.model.layers[1].mlp = Squared(model.hf.model.layers[1].mlp)
    with pytest.raises(UnsupportedArchitecture, match="not linear when attention, norm scales and gates are held"):
        prove(model)
    other = random_model("llama", check=False)

    class BatchNorm(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x / (1 + x.abs())

    other.hf.model.layers[0].input_layernorm = BatchNorm()
    with pytest.raises(UnsupportedArchitecture, match="more than one scale a token"):
        prove(other)


def test_half_precision_is_refused() -> None:
    with pytest.raises(IvxError, match="load it with dtype float32 or float64"):
        Surrogate(random_model("llama", dtype=torch.bfloat16, check=False), PROMPTS)


def test_the_tiny_model_is_rebuilt_in_its_own_precision() -> None:
    model = ivx.load("tiny-sft")
    prove(model)
    assert Fidelity(*reconstructed(model, [9, 30, 31, 32, 80])).within(TOLERANCE["float32"])
