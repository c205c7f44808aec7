"""`=own`: a place is given the target's own unpatched value, alone and behind other patches."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from torch import Tensor, nn

import ivx
from ivx.engine.hooks.differences import added
from ivx.engine.hooks.generate import generate
from ivx.engine.hooks.given import patched
from ivx.engine.linear.curvature import curvature
from ivx.engine.linear.estimate import estimate
from ivx.engine.plan.run import Item, plan_of
from ivx.engine.workload import checked
from ivx.errors import AddressError, IvxError
from ivx.models.model import Model
from tests.support import oracle
from tests.support.random_models import linear_model, random_model

SOURCE = [[5, 17, 33, 8], [9, 2, 40, 11, 77], [23, 4, 90]]
TARGET = [[3, 60, 21, 90, 14], [7, 44, 13], [3, 60, 21, 8]]
ANSWER, CONTRAST = [50, 51, 52], [60, 61, 62]
ASKED: dict[str, Any] = {"source": SOURCE, "target": TARGET, "answer": ANSWER, "contrast": CONTRAST}
QUICK = ("gemma2", "llama", "phi")
"""Norms before and after, a window, blocks in parallel: the other architectures take a minute."""
MODELS = {kind: random_model(kind) for kind in sorted(oracle.NAMES)}
SITES = ["resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "z"]

OWN = [f"{site}.{layer}@{p}=own" for site in SITES for layer in (0, 2) for p in ("0", "-1", "*")]
OWN += [
    "resid_mid.1@-3=own",
    "z.1.3@0=own",
    "z.0.0@*=own",
    "z.2.1@-2=own",
    ",".join(f"z.1.{head}@1=own" for head in range(4)),
]
OWN += ["resid_post.0@0=own,resid_post.2@1=own", "z.1.2@-1=own,attn_out.1@-1=own,resid_mid.2@*=own,mlp_out.2@*=own"]
ERASED = [
    "resid_post.1@0~-1,resid_post.1@0=own",
    "resid_pre.0@*=zero,resid_pre.0@*=own",
    "resid_post.0@1=mean,resid_pre.1@1=own",
    "z.1.2@0~-1=random,z.1@0=own",
    "z.1.2@0~-1=random,z.1.2@0=own",
    "z.1.0@1~0,attn_out.1@1=own",
    "attn_out.1@0=zero,attn_out.1@0=own",
    "attn_out.2@-1~0,resid_mid.2@-1=own",
    "mlp_out.1@0=mean,mlp_out.1@0=own",
    "resid_mid.1@0~0,mlp_out.1@0~0,resid_post.1@0=own",
    "z.0@2~0,mlp_out.0@2=zero,resid_post.0@2=own",
]
"""Sets that are the unpatched run: nothing was read between a patch and the own value that overwrites it."""
BEHIND = [
    f"{first},{site}.{layer}@{p}=own"
    for first, layer, p in (
        ("resid_post.0@0~-1", 1, "1"),
        ("resid_post.0@0~-1", 2, "*"),
        ("attn_out.0@1=mean", 1, "-3"),
        ("mlp_out.0@1=zero", 1, "*"),
        ("z.0.1@-3~0=random", 2, "-1"),
        ("resid_pre.0@1~0", 1, "1"),
    )
    for site in SITES
]
MIXED = [
    "resid_post.0@0~-1,resid_post.2@0=own",
    "resid_post.0@0~-1,z.1.2@-1=own,z.2.0@-1=own,z.2.3@*=own",
    "resid_post.0@0~-1,resid_mid.1@0=own,z.2.1@-1=own",
    "resid_post.0@0=own,resid_post.1@0~-1",
    "resid_post.1@0=own,resid_post.1@0~-1",
    "resid_mid.1@1=own,resid_mid.1@1=zero,resid_mid.2@1=own",
    "mlp_out.1@1=own,mlp_out.1@1~0",
    "z.1.2@0=own,z.1@0~-1",
    "z.1@0~-1,z.1.2@0=own",
    "resid_post.0@0~-1,z.1@0~-1,z.1.0@0=own,z.1.1@0=own,z.1.2@0=own,z.1.3@0=own",
    "resid_post.0@0~-1,z.1.0@0=own,attn_out.1@0~1,mlp_out.1@0=own",
    "resid_pre.1@0~-1,attn_out.1@0=own,resid_mid.1@1~0,mlp_out.1@1=own",
    "mlp_out.1@0=own,resid_mid.1@0~-1",
    "resid_pre.1@*~0,resid_post.1@0=own,resid_post.1@1=own",
    "attn_out.0@*=zero,mlp_out.1@*=own,resid_post.1@0~-1=random,resid_mid.2@0=own",
]


def of(model: Model, addresses: list[str]) -> list[str]:
    return [a for a in addresses if not (model.anatomy.parallel and "resid_mid" in a)]


def by_row(table: pa.Table) -> dict[tuple[str, int], dict[str, Any]]:
    return {(row["patch"], row["sample"]): row for row in table.to_pylist()}


def same(table: pa.Table, one: str, other: str) -> bool:
    """Whether the rows of two sets are equal, bit for bit."""
    rows = (table.filter(pc.equal(table["patch"], patch)).drop_columns(["patch"]) for patch in (one, other))
    return bool(next(rows).equals(next(rows)))


@pytest.mark.parametrize(
    "kind", [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in sorted(MODELS)]
)
def test_own_equals_one_row_of_plain_hooks(kind: str) -> None:
    model = MODELS[kind]
    addresses = of(model, OWN + ERASED + BEHIND + MIXED)
    tables = [by_row(ivx.sweep(model, patches=addresses, engine=engine, **ASKED)) for engine in ("plan", "hooks")]
    plain = [oracle.run(model.hf, kind, ids, {}) for ids in TARGET]
    moved = 0.0
    for address in addresses:
        for i, ids in enumerate(TARGET):
            edits = oracle.edits_of(model.hf, kind, address, sample=i, sources=SOURCE, targets=TARGET)
            wanted = oracle.run(model.hf, kind, ids, edits)
            if address in OWN + ERASED:
                assert float((wanted - plain[i]).abs().max()) < 1e-11, address
            moved = max(moved, float((wanted - plain[i]).abs().max()))
            for row in (table[address, i] for table in tables):
                assert row["logit"] == pytest.approx(float(wanted[ANSWER[i]]), abs=1e-9), address
                assert row["contrast"] == pytest.approx(float(wanted[CONTRAST[i]]), abs=1e-9), address
                assert row["logsumexp"] == pytest.approx(float(wanted.logsumexp(0)), abs=1e-9), address
    assert moved > 1e-2


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_a_set_of_own_values_is_the_unpatched_run_and_costs_nothing(kind: str) -> None:
    model = MODELS[kind]
    sets = of(model, OWN + ERASED)
    table = ivx.sweep(model, patches=sets, reference=SOURCE, **ASKED)
    for address in sets:
        assert same(table, address, ""), address
    asked = checked(model, patches=sets, reference=SOURCE, **ASKED)
    alone, made = (
        plan_of(model, asked, [Item(i, patch) for i in range(len(TARGET)) for patch in patches])[0]
        for patches in ([""], ["", *sets])
    )
    assert made.cost._replace(rowwise=0) == alone.cost._replace(rowwise=0)
    assert not any(step.edited for step in made.steps)
    assert set(made.rows) == set(alone.rows) and len(alone.rows) == len(TARGET)


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_what_is_given_back_before_it_is_read_does_nothing(kind: str) -> None:
    """Frozen positions and frozen parts: where every way from the patch to the answer is own, nothing passes. Given
    back behind the last block, the patch does all it does."""
    model = MODELS[kind]
    patch, layers = "resid_post.0@0~-1", range(1, model.layers)
    others = ",".join(f"resid_post.{layer}@{p}=own" for layer in layers for p in (-1, -2))
    parts = ",".join(f"{site}.{layer}@*=own" for layer in layers for site in ("attn_out", "mlp_out"))
    heads = (
        ",".join(f"z.{layer}.{h}@*=own" for layer in layers for h in range(model.heads))
        + ","
        + ",".join(f"mlp_out.{layer}@*=own" for layer in layers)
    )
    last = f"{patch},resid_post.{model.layers - 1}@0=own"
    blocked = [f"{patch},{way}" for way in (others, parts, heads)]
    short = [ids[:3] for ids in TARGET]
    table = ivx.sweep(model, patches=[patch, *blocked, last], **{**ASKED, "target": short})
    assert all(same(table, way, "") for way in blocked)
    assert same(table, last, patch) and not same(table, patch, "")


def test_an_own_value_is_numbered_with_the_target_s() -> None:
    """What stands behind a restored place is the target's again wherever nothing before it was moved."""
    model = MODELS["olmo2"]
    ids, told = [5, 17, 33, 8, 64, 9], [9, 2, 40, 11, 77, 80]
    base: dict[str, Any] = {"source": [told], "target": [ids], "answer": [1], "contrast": None, "reference": None}

    def tokens(*patches: str) -> int:
        made, _ = plan_of(model, checked(model, patches=patches, **base), [Item(0, p) for p in ("", *patches)])
        return made.cost.tokens

    plain, single = tokens(), tokens("resid_post.0@5")
    # At the last token a restored state is the target's own: only what lies between is computed, and nobody reads it.
    assert tokens("resid_post.0@5,resid_post.1@5=own") == plain < single
    # In the middle of a prompt the later tokens of block 1 have read the patch; of the restored place no state is new.
    assert tokens("resid_post.0@2") - tokens("resid_post.0@2,resid_post.1@2=own") == 1
    # All heads one by one are z, whatever stood there before.
    heads = ",".join(f"z.1.{head}@2=own" for head in range(4))
    assert tokens("resid_post.0@2,z.1@2=own", f"resid_post.0@2,{heads}") == tokens("resid_post.0@2,z.1@2=own")


@pytest.mark.parametrize("engine", ["plan", "hooks"])
def test_a_linear_model_s_restored_pair_is_nought(engine: str) -> None:
    """method.md §9: J° = f(ab) − f(b) − f(a | own b) is 0 where J is all overwriting; a reader curve ends in f(a)."""
    linear, bent = linear_model(), random_model("llama", num_hidden_layers=5)
    for model in (linear, bent):
        players = {layer: f"resid_post.{layer}@1~-1" for layer in range(model.layers)}
        pairs = list(combinations(players, 2))
        sets = [*players.values()]
        sets += [f"{players[a]},{players[b]}" for a, b in pairs]
        sets += [f"{players[a]},resid_post.{b}@1=own" for a, b in pairs]
        table = ivx.sweep(model, patches=sets, engine=engine, **ASKED)
        found = np.array([row["logit"] for row in table.to_pylist()]).reshape(len(sets) + 1, -1)
        f = dict(zip(["", *sets], found - found[0], strict=True))
        whole, rest = [], []
        for a, b in pairs:
            both, restored = f[f"{players[a]},{players[b]}"], f[f"{players[a]},resid_post.{b}@1=own"]
            whole.append(both - f[players[a]] - f[players[b]])
            rest.append(both - f[players[b]] - restored)
            if b == model.layers - 1:
                assert np.abs(restored - f[players[a]]).max() < 1e-12
        assert np.abs(whole).max() > 1e-2
        assert (np.abs(rest).max() < 1e-12) == (model is linear)
        curve = [f[f"{players[0]},resid_post.{b}@1=own"] for b in range(1, model.layers)]
        assert min(np.abs(one - two).max() for one, two in zip(curve[:-1], curve[1:], strict=True)) > 1e-3


def test_estimates_of_own_values() -> None:
    """To first order an own value moves nothing; what it takes from an earlier patch is exact on a linear model."""
    model = linear_model()
    a, b = "resid_post.1@1~-1", "resid_post.3@1=own"
    exact = by_row(ivx.sweep(model, patches=[a, b, f"{a},{b}"], **ASKED))
    told = by_row(estimate(model, patches=[a, b, f"{a},{b}"], **ASKED))
    bent = curvature(model, patches=[a, b], **{**ASKED, "contrast": None}).logit
    for i in range(len(TARGET)):
        assert told[b, i]["logit"] == told["", i]["logit"] and told[f"{a},{b}", i]["logit"] == told[a, i]["logit"]
        assert told[a, i]["logit"] == pytest.approx(exact[a, i]["logit"], abs=1e-11)
        lost = exact[f"{a},{b}", i]["logit"] - exact[a, i]["logit"]
        assert float(bent[i, 0, 1]) == pytest.approx(lost, abs=1e-11) and abs(lost) > 1e-3
    for value in ("zero", "mean"):
        with pytest.raises(AddressError, match="source's state or =own"):
            curvature(model, patches=[a, f"resid_post.3@1={value}"], **ASKED)


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox", "phi"])
def test_what_an_own_value_takes_from_a_small_patch(kind: str) -> None:
    """Of a state a hundred-thousandth away, estimate and curvature together tell the restored pair to the square of
    that."""
    model = MODELS[kind]
    embedding = model.hf.get_input_embeddings()
    assert isinstance(embedding, nn.Embedding)
    weight, near = embedding.weight, 7
    before = weight[near].detach().clone()
    a = "resid_pre.0@2"
    # Before the near token another prefix, so that every later state of the source is far off.
    asked: dict[str, Any] = {"source": [[80, 90, near, 8, 4]], "target": [[5, 17, 33, 8, 64]], "answer": [50]}
    with torch.no_grad():
        weight[near] = weight[33] + 1e-5 * (before - weight[33])
    try:
        for b in ("resid_post.1@2=own", "z.2.1@*=own", "mlp_out.1@2=own", "attn_out.2@4=own"):
            exact = by_row(ivx.sweep(model, patches=[a, b, f"{a},{b}"], **asked))
            told = by_row(estimate(model, patches=[a], **asked))
            taken = float(curvature(model, patches=[a, b], **asked).logit[0, 0, 1])
            lost = exact[f"{a},{b}", 0]["logit"] - exact[a, 0]["logit"]
            left = exact[f"{a},{b}", 0]["logit"] - exact["", 0]["logit"]
            first = told[a, 0]["logit"] - told["", 0]["logit"] + taken
            assert abs(lost) > 1e-8 and abs(taken - lost) < 2e-3 * abs(lost), (a, b)
            assert abs(first - left) < 2e-3 * max(abs(left), abs(lost)), (a, b)
    finally:
        with torch.no_grad():
            weight[near] = before


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("resid_post.1@0~-1=own", "=own takes nothing from the source: leave out ~-1"),
        ("z.1.0@*~0=own", "=own takes nothing from the source: leave out ~0"),
        ("resid_post.1@0=owned", "=zero, =mean, =own or =random, not =owned"),
        ("resid_post.1@3=own", "target of sample 1 has 3 tokens, none at 3"),
        ("resid_post.1@-4=own", "target of sample 1 has 3 tokens, none at -4"),
        ("resid_post.3@0=own", "layers 0 to 2"),
        ("z.1.4@0=own", "heads 0 to 3"),
        ("mlp_out.1.0@0=own", "only z has heads"),
        ("resid_post.1@0~-1,resid_mid.2@7=own", "none at 7"),
    ],
)
def test_what_has_no_own_value_is_refused(address: str, told: str) -> None:
    with pytest.raises(AddressError, match=told):
        ivx.sweep(MODELS["olmo2"], patches=[address], **ASKED)
    with pytest.raises(AddressError, match="no resid_mid"):
        ivx.sweep(MODELS["phi"], patches=["resid_mid.1@0=own"], **ASKED)


def test_own_in_the_company_of_means() -> None:
    """The states that a set's mean averages are its own places' alone, also where they are named."""
    model, address = MODELS["llama"], "resid_post.0@0~-1,mlp_out.1@1=mean,resid_post.2@1=own,z.2.0@-1=own"
    places = [(SOURCE[0], -1), (TARGET[1], 0)]
    asked = checked(model, patches=[address], means={address: places}, reference=None, **ASKED)
    assert list(map(str, asked.means)) == ["mlp_out.1@1=mean"]
    for engine in ("plan", "hooks"):
        found = by_row(ivx.sweep(model, patches=[address], means={address: places}, engine=engine, **ASKED))
        mean = torch.stack([oracle.states(model.hf, "llama", ids, ("mlp_out", 1))[at] for ids, at in places]).mean(0)
        for i, ids in enumerate(TARGET):
            edits = oracle.edits_of(model.hf, "llama", address, sample=i, sources=SOURCE, targets=TARGET)

            def put(state: Tensor) -> Tensor:
                state = state.clone()
                state[0, 1] = mean  # noqa: B023
                return state

            wanted = oracle.run(model.hf, "llama", ids, edits | {("mlp_out", 1): put})
            assert found[address, i]["logit"] == pytest.approx(float(wanted[ANSWER[i]]), abs=1e-9)


def test_written_text_and_given_vectors() -> None:
    model = MODELS["gpt2"]
    plain = generate(model, TARGET, tokens=6)
    assert [
        w.ids for w in generate(model, TARGET, source=SOURCE, patches="resid_post.1@*=own,z.2@0=own", tokens=6)
    ] == [w.ids for w in plain]
    asked: dict[str, Any] = {"target": TARGET, "answer": ANSWER, "contrast": CONTRAST}
    with pytest.raises(IvxError, match="vectors given are what is written: leave out =own"):
        patched(model, **asked, patches=[("resid_post.1@0=own", torch.zeros(3, model.width))])
    with pytest.raises(IvxError, match="differences given are what is added: leave out =own"):
        (one,) = checked(model, source=TARGET, patches=["resid_post.1@0=own"], reference=None, **asked).patches.values()
        list(added(model, **asked, sets={"": (), "own": one}, differences=[{}] * 3))
