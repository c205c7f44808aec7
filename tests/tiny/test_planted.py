"""Planted checkpoints: every method is held against circuits whose weights were set by hand."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import ivx
from ivx.analyses.transfer.request import TransferRequest
from ivx.errors import IvxError
from ivx.models.model import Model
from ivx.models.registry import PLANTED
from ivx.patching.prepare import samples_of
from ivx.tasks.samples import Samples
from ivx.tiny.planted import ASK, CIRCUITS, GAIN, LAYERS, MOVE, READ, SHARES, made
from tests.analyses.test_contract import small

TASK = "thing/colour"
EXACT = 1e-12
N = 8


@cache
def model(name: str) -> Model:
    return ivx.load(f"planted-{name}", dtype="float64")


@cache
def samples(name: str) -> Samples:
    return samples_of(model(name), small(ivx.analyses.effects.EFFECTS, task=TASK, samples=N))[1]


def told(name: str, patches: list[str], *, bare: bool = False) -> dict[str, np.ndarray]:
    """Logits of the answer `[samples]` by patch, of told runs or of bare ones."""
    rows = samples(name).rows
    found = ivx.sweep(
        model(name),
        source=[row.source for row in rows],
        target=[row.target if bare else row.instructed for row in rows],
        answer=[row.answer_id for row in rows],
        patches=patches,
    )
    return dict(zip(["", *patches], found["logit"].to_numpy().reshape(-1, N), strict=True))


def test_the_shipped_weights_are_those_that_are_set_by_hand() -> None:
    for checkpoint, hf, tokenizer in made():
        assert checkpoint.path is not None
        shipped = load_file(checkpoint.path / "model.safetensors")
        own = hf.state_dict()
        assert own.keys() == shipped.keys()
        assert all(torch.equal(own[name], value.float()) for name, value in shipped.items())
        assert tokenizer.get_vocab() == model(checkpoint.name.removeprefix("planted-")).tokenizer.get_vocab()
    assert set(CIRCUITS) == {one.name for one in PLANTED} and all(one.path for one in PLANTED)


def test_effects_find_the_layers_and_the_head() -> None:
    """T_inst holds the task behind block 0, and block 2 reads it; its head alone acts at the last token."""
    layers = ivx.effects(model("path"), TASK, samples=N)
    first = {cell.layer: cell for cell in layers.cells("resid_post") if cell.column == 0}
    assert {layer for layer, cell in first.items() if cell.state == "ok"} == set(range(MOVE[0], READ[0]))
    assert {round(cell.value, 9) for cell in first.values()} == {0.0, GAIN}
    heads = ivx.effects(model("path"), TASK, samples=N, sites=("z",), position="last").cells("z")
    assert {(cell.layer, cell.column) for cell in heads if abs(cell.value) > EXACT} == {READ}


@pytest.mark.parametrize(("name", "j"), [("path", 0.0), ("and", 1.0), ("or", -1.0), ("xor", -2.0)])
def test_ablated_heads_interact_as_arithmetic_says(name: str, j: float) -> None:
    """a: the instruction's bit, b: the query's; J of ablating both readers, in units of the answer's logit."""
    one, two = (f"z.{layer}.{head}@-1=zero" for layer, head in (READ, ASK))
    found = told(name, [one, two, f"{one},{two}"])
    effect = {patch: logit - found[""] for patch, logit in found.items()}
    assert np.abs(effect[f"{one},{two}"] - effect[one] - effect[two] - j * GAIN).max() < EXACT


def test_no_pair_of_layers_interacts_in_a_linear_circuit() -> None:
    """What overwriting takes away set apart: J° = f(ab) − f(b) − f(a, with the own value given back at b)."""
    pairs = list(combinations(range(LAYERS), 2))
    at = {layer: f"resid_post.{layer}@1~-1" for layer in range(LAYERS)}
    own = {pair: f"{at[pair[0]]},resid_post.{pair[1]}@1=own" for pair in pairs}
    both = {pair: f"{at[pair[0]]},{at[pair[1]]}" for pair in pairs}
    found = told("path", [*at.values(), *own.values(), *both.values()], bare=True)
    assert max(np.abs(found[both[p]] - found[at[p[1]]] - found[own[p]] + found[""]).max() for p in pairs) < EXACT
    overwritten = [np.abs(found[both[a, b]] - found[at[a]] - found[at[b]] + found[""]).max() for a, b in pairs]
    assert max(overwritten) > 1, "overwriting alone makes a linear circuit interact"


def test_pathways_name_the_planted_path() -> None:
    found = ivx.pathways(model("path"), TASK, samples=N, ablation="none", traced=2, paths=3)
    assert {head: round(value, 9) for head, value in found.by_head().items() if abs(value) > EXACT} == {
        MOVE: GAIN,
        READ: GAIN,
    }
    edges = [(part.layer, part.head, part.start, part.end) for part in found.strongest(2)]
    assert edges == [(*MOVE, "keyword", "t_inst"), (*READ, "t_inst", "after:1")]
    assert next(iter(found.routes().items())) == ((MOVE, READ), pytest.approx(GAIN, abs=EXACT))


def test_pathways_miss_what_acts_through_a_gate_and_gradients_do_not() -> None:
    """In AND the instruction opens the gate of the query's candidate. Gates are held, so all goes to the query."""
    found = ivx.pathways(model("and"), TASK, samples=N, ablation="none", traced=0)
    assert {head for head, value in found.by_head().items() if abs(value) > EXACT} == {ASK}
    both = ivx.transfer(model("and"), [TASK, "thing/shape"], samples=N, heads=3, ranking="eap", dtype="float64")
    assert set(both.circuit(TASK)) == {MOVE, READ, ASK}
    missed = ivx.transfer(model("and"), [TASK, "thing/shape"], samples=N, heads=3, dtype="float64")
    assert set(missed.circuit(TASK)) == {ASK} and missed.cell(TASK, TASK).name == "undefined"


def test_areas_are_those_of_a_slow_loop_and_gradients_win_where_a_gate_acts() -> None:
    """Every circuit again by hooks of its own, one prompt at a time, and the areas by hand."""
    found = ivx.pathways(model("and"), TASK, samples=N, ablation="none", paths=0, rankings=("eap", "eap-ig"))
    areas = {area.ranking: area for area in found.found.areas}
    assert set(areas) == {"pathways", "eap", "eap-ig", "random"}
    assert areas["eap"].cpr > areas["pathways"].cpr + 0.3 and areas["eap"].cmd < areas["pathways"].cmd - 0.3
    rows, hf = found.samples.rows, model("and").hf
    prompts = [row.instructed for row in (*rows, *found.there)]
    seen: list[list[torch.Tensor]] = [[] for _ in range(LAYERS)]

    def run(prompt: tuple[int, ...], hook: Any) -> torch.Tensor:
        handles = [
            block.self_attn.o_proj.register_forward_pre_hook(lambda _, args, k=k: hook(k, args[0]))
            for k, block in enumerate(hf.model.layers)
        ]
        with torch.no_grad():
            logits = hf(torch.tensor([prompt])).logits[0, -1]
        for handle in handles:
            handle.remove()
        return logits

    for prompt in prompts:
        run(prompt, lambda k, z: seen[k].append(z[0]))
    means = [torch.cat(parts).mean(0) for parts in seen]
    heads, width = model("and").heads, model("and").head_dim
    order = [READ, MOVE, ASK]  # all that EAP finds; the others do nothing

    def m(kept: set[tuple[int, int]]) -> float:
        def put(k: int, z: torch.Tensor) -> tuple[torch.Tensor]:
            keep = torch.tensor([(k, head) in kept for head in range(heads)]).repeat_interleave(width)
            return (torch.where(keep, z, means[k]),)

        told = [run(row.instructed, put) for row in rows[1::2]]
        return float(np.mean([z[r.answer_id] - z[r.contrast_id] for z, r in zip(told, rows[1::2], strict=True)]))

    every = {(k, head) for k in range(LAYERS) for head in range(heads)}
    whole, nothing = m(every), m(set())
    for size, kept in zip(areas["eap"].sizes, areas["eap"].kept, strict=True):
        assert kept == pytest.approx((m(set(order[:size])) - nothing) / (whole - nothing), abs=1e-9)
    shares = np.array([0, *areas["eap"].sizes]) / len(every)
    curve = np.array([0, *areas["eap"].kept])
    assert areas["eap"].cpr == pytest.approx(np.sum(np.diff(shares) * (curve[1:] + curve[:-1]) / 2), abs=1e-12)
    gap = np.abs(1 - curve)
    assert areas["eap"].cmd == pytest.approx(np.sum(np.diff(shares) * (gap[1:] + gap[:-1]) / 2), abs=1e-12)


def test_what_is_read_at_t_inst_was_moved_there() -> None:
    found = ivx.separability(model("path"), [TASK, "thing/shape"], wordings=32, folds=2, repeats=1, projections=())
    told = {cell.layer: cell.accuracy.value for cell in found.cells("resid_post")}
    assert told[MOVE[0]] == 1.0


def carried(circuit: str, task: str) -> float:
    """What the heads of block 2 in a task's circuit write of another task's bit."""
    return sum(SHARES[task].get(head, 0.0) for head in strongest(circuit))


def strongest(task: str) -> list[int]:
    return sorted(SHARES[task], key=lambda head: -SHARES[task][head])[:2]


def test_the_transfer_of_tasks_that_share_one_of_two_heads() -> None:
    tasks = ["thing/colour", "thing/size", "thing/shape", "thing/weight"]
    found = ivx.transfer(model("heads"), tasks, samples=N, heads=3, fill="zero", dtype="float64")
    for task in tasks:
        assert set(found.circuit(task)) == {MOVE, *((READ[0], head) for head in strongest(task))}
    for one in tasks:
        for two in tasks:
            wanted = carried(one, two) / carried(two, two)
            cell = found.cell(one, two)
            assert (cell.value, cell.low, cell.high) == pytest.approx((wanted,) * 3, abs=1e-9)
    half, none, phantom = (found.cell(*pair) for pair in ((tasks[0], tasks[1]), (tasks[0], tasks[2]), tasks[2:]))
    assert (half.value, half.overlap, half.name) == (pytest.approx(0.5), 0.5, "unresolved")
    assert (none.value, none.overlap, none.name) == (pytest.approx(0.0), 0.2, "specific")
    assert (phantom.value, phantom.overlap, phantom.name) == (pytest.approx(0.875), 0.2, "phantom")
    alike = ivx.transfer(model("heads"), ["place/climate", "place/side"], samples=N, heads=2, dtype="float64")
    assert {cell.name for cell in alike.cells()} == {"itself", "shared"}


def test_a_transfer_that_cannot_be_is_refused() -> None:
    asked: dict[str, Any] = {"samples": N, "heads": 3}
    with pytest.raises(IvxError, match=r"1 tasks are named"):
        ivx.transfer(model("path"), [TASK], **asked)
    with pytest.raises(IvxError, match="draws is 3: choose 10 to 1,000"):
        TransferRequest("planted-path", ("all",), draws=3)
