"""`ivx.sweep` against the oracle in float64, and the facts of patching that hold on any model."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from transformers import PreTrainedModel

import ivx
from ivx.engine.address import parse
from ivx.engine.draws import draw_of, drawn
from ivx.engine.forward import attention
from ivx.engine.plan import proof
from ivx.errors import AddressError, Cancelled, IvxError
from ivx.models.model import Model
from tests.support import oracle
from tests.support.random_models import random_model

SOURCE = [[5, 17, 33, 8], [9, 2, 40, 11, 77]]
TARGET = [[3, 60, 21, 90, 14], [7, 44, 13]]
ANSWER, CONTRAST = [50, 51], [60, 61]


def oracle_logits(hf: PreTrainedModel, kind: str, address: str, sample: int) -> torch.Tensor:
    """One patched row, written out: patches in the order given, no batching, no sharing."""
    edits = oracle.edits_of(hf, kind, address, sample=sample, sources=SOURCE, targets=TARGET)
    return oracle.run(hf, kind, TARGET[sample], edits)


SITES = ["resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "z"]
ADDRESSES = [f"{site}.{layer}@{end}" for site in SITES for layer in (0, 2) for end in ("0~-1", "-1~2", "1")] + [
    "z.1.3@0~-1",
    "z.1.0@*~-2",
    "resid_post.1@*~0",
    "attn_out.1@1=zero",
    "z.2.1@0=zero",
    "mlp_out.0@-1=mean",
    "resid_post.1@*=mean",
    *(f"{site}.1@0~-1=random" for site in SITES),
    "z.2.3@-1~1=random",
    "resid_post.1@*~0=random",
    "z.1.0@1=random,z.1.2@1~-1=random,mlp_out.2@-1=random",
    "resid_post.0@0~-1,resid_post.2@-1~1",
    "resid_post.1@0~-1,resid_post.1@0~1",
    "z.0.1@0~-1,z.0.2@0~-1,mlp_out.1@1~1,resid_pre.2@*=zero",
    "attn_out.1@0~1,resid_mid.1@0~-1,resid_mid.2@1~0",
]


@pytest.mark.parametrize("engine", ["plan", "hooks"])
@pytest.mark.parametrize("kind", sorted(oracle.NAMES))
def test_sweep_equals_hand_written_single_row_patching(kind: str, engine: str) -> None:
    model = random_model(kind)
    addresses = [a for a in ADDRESSES if not (model.anatomy.parallel and "resid_mid" in a)]
    table = ivx.sweep(
        model,
        source=SOURCE,
        target=TARGET,
        answer=ANSWER,
        contrast=CONTRAST,
        patches=addresses,
        reference=SOURCE,
        engine=engine,
    ).to_pylist()
    assert len(table) == 2 * (len(addresses) + 1)
    for row in table:
        i = row["sample"]
        wanted = (
            oracle_logits(model.hf, kind, row["patch"], i)
            if row["patch"]
            else oracle.run(model.hf, kind, TARGET[i], {})
        )
        base = oracle.run(model.hf, kind, TARGET[i], {}).log_softmax(0)
        told = oracle.run(model.hf, kind, SOURCE[i], {}).log_softmax(0)
        assert row["logit"] == pytest.approx(float(wanted[ANSWER[i]]), abs=1e-9), row["patch"]
        assert row["contrast"] == pytest.approx(float(wanted[CONTRAST[i]]), abs=1e-9)
        assert row["logsumexp"] == pytest.approx(float(wanted.logsumexp(0)), abs=1e-9)
        assert row["rank"] == 1 + int((wanted > wanted[ANSWER[i]]).sum())
        assert float(wanted[row["top_ids"][0]]) == pytest.approx(float(wanted.max()), abs=1e-9)
        q = wanted.log_softmax(0)
        assert row["kl_target"] == pytest.approx(float((base.exp() * (base - q)).sum()), abs=1e-9)
        assert row["kl_reference"] == pytest.approx(float((told.exp() * (told - q)).sum()), abs=1e-9)


def logits(model: Model, **asked: Any) -> dict[str, np.ndarray]:
    table = ivx.sweep(model, **asked)
    found: dict[str, list[float]] = {}
    for row in table.to_pylist():
        found.setdefault(row["patch"], []).append(row["logit"])
    return {patch: np.array(values) for patch, values in found.items()}


def test_facts_of_patching() -> None:
    """method.md §2: self-patches, the last position, the last layer."""
    model = random_model("olmo2")
    asked: dict[str, Any] = {"source": SOURCE, "target": TARGET, "answer": ANSWER}
    own = [f"{site}.{layer}@*" for site in SITES for layer in range(3)]
    found = logits(model, source=TARGET, target=TARGET, answer=ANSWER, patches=own)
    assert all(np.abs(found[patch] - found[""]).max() < 1e-12 for patch in own)

    pair, later = "resid_post.0@-1~-1,resid_post.1@-1~-1", "resid_post.1@-1~-1"
    found = logits(model, patches=[pair, later, "resid_post.2@0~-1"], **asked)
    assert np.array_equal(found[pair], found[later])
    assert np.array_equal(found["resid_post.2@0~-1"], found[""])


def test_a_random_state_is_the_row_s_own() -> None:
    """The same alone as among others; another for another sample, place and head; of the source's norm."""
    model = random_model("llama")
    patches = ["resid_post.1@0~-1=random", "resid_post.1@1~-1=random", "z.1.2@0~-1=random", "attn_out.0@1=random"]
    whole = logits(model, source=SOURCE, target=TARGET, answer=ANSWER, patches=patches)
    for patch in patches:
        for i in range(2):
            alone = logits(model, source=[SOURCE[i]], target=[TARGET[i]], answer=[ANSWER[i]], patches=[patch])
            assert alone[patch][0] == pytest.approx(whole[patch][i], abs=1e-12)
    both = logits(model, source=[SOURCE[0]] * 2, target=[TARGET[0], TARGET[0][:-1]], answer=[50, 50], patches=patches)
    assert all(abs(both[patch][0] - whole[patch][0]) < 1e-12 for patch in patches)
    state = torch.randn(32, dtype=torch.float64)
    one = parse("z.1.2@0~-1=random")[0]
    seen = [draw_of(one, target=[1, 2], source=[3, i], taken=at) for i in (4, 5) for at in (0, 1)]
    assert len(set(seen)) == 4
    part = drawn(state, seen[0], heads=4)
    assert float(part[16:24].norm()) == pytest.approx(float(state[16:24].norm())) and int((part != 0).sum()) == 8
    rounded = drawn(state.bfloat16(), seen[0], heads=4)
    assert torch.nn.functional.cosine_similarity(rounded.double(), part, dim=0) > 0.999


@pytest.mark.parametrize("engine", ["plan", "hooks"])
@pytest.mark.parametrize("site", SITES)
def test_a_mean_may_be_of_named_states(site: str, engine: str) -> None:
    model = random_model("olmo2")
    address, places = (
        f"{site}.1@1=mean",
        [(SOURCE[0], -1), (SOURCE[1], 2), (TARGET[0], 0), ([4, 8, 15, 16, 23, 42, 11], -1)],
    )
    asked: dict[str, Any] = {"source": SOURCE, "target": TARGET, "answer": ANSWER, "engine": engine}
    found = ivx.sweep(model, patches=[address, f"{site}.0@1~0"], means={address: places}, **asked)
    mean = torch.stack([oracle.states(model.hf, "olmo2", ids, (site, 1))[at] for ids, at in places]).mean(0)

    def edit(state: torch.Tensor) -> torch.Tensor:
        state = state.clone()
        state[0, 1] = mean
        return state

    for i in range(2):
        wanted = oracle.run(model.hf, "olmo2", TARGET[i], {(site, 1): edit})
        assert found["logit"][2 + i].as_py() == pytest.approx(float(wanted[ANSWER[i]]), abs=1e-9)


def test_micro_batches_and_streaming_change_nothing() -> None:
    model = random_model("llama")
    asked: dict[str, Any] = {"source": SOURCE, "target": TARGET, "answer": ANSWER, "patches": ADDRESSES[:20]}
    whole = ivx.sweep(model, **asked)
    for engine in ("plan", "hooks"):
        seen: list[tuple[int, int, int]] = []

        def note(batch: pa.RecordBatch, done: int, total: int, seen: list[tuple[int, int, int]] = seen) -> None:
            seen.append((batch.num_rows, done, total))

        small = ivx.sweep(
            model,
            memory_gb=1e-9,
            engine=engine,
            on_rows=note,
            **asked,
        )
        assert whole.column("patch").equals(small.column("patch"))
        assert np.abs(whole["logit"].to_numpy() - small["logit"].to_numpy()).max() < 1e-12
        assert [s for s in seen if s[0]] == [(1, k + 1, 42) for k in range(42)]


def test_cancelling_leaves_no_trace() -> None:
    model = random_model("gpt2")
    ids = torch.tensor([TARGET[0]])
    before = model.hf(ids).logits

    def stop(batch: pa.RecordBatch, done: int, total: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        ivx.sweep(model, source=SOURCE, target=TARGET, answer=ANSWER, patches=ADDRESSES[:3], on_rows=stop)
    assert torch.equal(model.hf(ids).logits, before)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.hf.modules())


def test_two_threads_on_one_model() -> None:
    model = random_model("olmo2")
    asked: dict[str, Any] = {"source": SOURCE, "target": TARGET, "answer": ANSWER, "patches": ADDRESSES[:12]}
    expected, found = ivx.sweep(model, **asked), []
    threads = [threading.Thread(target=lambda: found.append(ivx.sweep(model, **asked))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and all(table.equals(expected) for table in found)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("resid_post.3", "not an address"),
        ("resid.3@0", "no site 'resid'"),
        (f"resid_post.{'9' * 5000}@0", "not an address"),
        (f"resid_post.1@-{'9' * 5000}", "not an address"),
        ("resid_post.9@0~-1", "layers 0 to 2"),
        ("z.1.4@0~-1", "heads 0 to 3"),
        ("attn_out.1.2@0", "only z has heads"),
        ("resid_post.1@4~-1", "sample 1 has 3 tokens"),
        ("resid_post.1@0~-9", "source of sample 0 has 4 tokens"),
        ("resid_post.1@*", "'the same position' is not defined"),
        ("resid_post.1@0=noise", "=zero, =mean, =own or =random, not =noise"),
        ("resid_post.1@0~-1=mean", "takes nothing from the source"),
        ("resid_post.1@0~-9=random", "source of sample 0 has 4 tokens"),
    ],
)
def test_unknown_coordinates_are_refused(address: str, told: str) -> None:
    with pytest.raises(AddressError, match=told):
        ivx.sweep(random_model("olmo2"), source=SOURCE, target=TARGET, answer=ANSWER, patches=[address])


def test_parallel_blocks_have_no_middle() -> None:
    with pytest.raises(AddressError, match="no resid_mid"):
        ivx.sweep(random_model("gpt_neox"), source=SOURCE, target=TARGET, answer=ANSWER, patches=["resid_mid.1@0~-1"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"answer": [1]}, "lists of one length"),
        ({"source": [[], [1]]}, "source of sample 0 is empty"),
        ({"answer": [1, 999]}, "token id 999"),
        ({"attention": "magic"}, "attention='magic'"),
        ({"means": {"z.0@0=mean": [([1, 2], 5)]}}, "prompt of state 0 has 2 tokens, none at 5"),
        ({"means": {"z.0@0=mean": []}}, "no state to average"),
    ],
)
def test_bad_input_is_one_sentence(change: dict, told: str) -> None:
    asked: dict[str, Any] = {"source": SOURCE, "target": TARGET, "answer": ANSWER, "patches": [], **change}
    with pytest.raises(IvxError, match=told):
        ivx.sweep(random_model("llama"), **asked)


@pytest.mark.parametrize(("kind", "table"), [("gpt2", True), ("biogpt", True), ("llama", False)])
def test_a_prompt_beyond_the_table_of_positions_is_one_sentence(kind: str, table: bool) -> None:
    model = random_model(kind)
    most = model.hf.config.max_position_embeddings
    long = [[5 + i % 60 for i in range(most + 1)]]
    assert model.reach == (most if table else None)
    for source, target in ((long, TARGET[:1]), (SOURCE[:1], long)):
        if not table:
            assert len(ivx.sweep(model, source=source, target=target, answer=[7], patches=["resid_post.0@1"])) == 2
            continue
        with pytest.raises(IvxError, match=f"has {most + 1} tokens and this checkpoint knows {most} positions"):
            ivx.sweep(model, source=source, target=target, answer=[7], patches=["resid_post.0@1"])
    if table:
        whole = [ids[:most] for ids in long]
        assert len(ivx.sweep(model, source=whole, target=whole, answer=[7], patches=["resid_post.0@1"])) == 2


@pytest.mark.parametrize("kind", ["exaone4", "gemma2", "gemma3_text", "gpt_oss", "mistral", "phi3", "olmo3", "cohere2"])
def test_prompts_far_beyond_the_sliding_window(kind: str) -> None:
    """Layers that slide and layers that see everything, on 400 tokens: the plan's rows are those of one row of
    hooks."""
    model = random_model(kind, sliding_window=16, max_position_embeddings=512, num_hidden_layers=4)
    long = [[(7 * i + k) % 96 + 3 for i in range(400 - k)] for k in range(2)]
    asked: dict[str, Any] = {
        "answer": ANSWER,
        "patches": ["resid_post.1@5", "z.2.1@390", "resid_post.0@380,mlp_out.3@-1"],
    }
    planned = ivx.sweep(model, source=long[::-1], target=long, engine="plan", **asked)
    for sample in range(2):
        one: dict[str, Any] = {**asked, "answer": [ANSWER[sample]]}
        plain = ivx.sweep(model, source=[long[1 - sample]], target=[long[sample]], engine="hooks", **one)
        mine = planned.filter(pc.equal(planned["sample"], sample))
        assert np.abs(np.subtract(mine["logit"], plain["logit"])).max() < 1e-6
        truth = model.hf(input_ids=torch.tensor([long[sample]]), use_cache=False).logits[0, -1, ANSWER[sample]]
        assert mine["logit"][0].as_py() == pytest.approx(float(truth), abs=1e-6)


@pytest.mark.parametrize("kind", ["exaone4", "mistral", "gemma2"])
def test_the_proof_looks_beyond_a_window_of_any_width(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(kind, sliding_window=4096, num_hidden_layers=4)
    assert proof.unfit(model) is None and model.hf.config.sliding_window == 4096
    monkeypatch.setattr(attention, "window_of", lambda module, options: None)
    assert "differ from plain hooks" in str(proof.unfit(random_model(kind, sliding_window=4096, num_hidden_layers=4)))
