"""Generation against the slow way: one row at a time, every token a whole pass, hooks written by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import ivx
from ivx.engine.hooks.generate import MOST_TOKENS, Push, ends, generate
from ivx.errors import AddressError, Cancelled, IvxError
from tests.support import oracle
from tests.support.random_models import random_model

KINDS = ("olmo2", "llama", "gpt2", "gemma2", "gpt_neox")
MODELS = {kind: random_model(kind) for kind in KINDS}
PROMPTS = [[5, 17, 33, 8, 64], [9, 3, 40], [11, 77, 80, 6, 21], [7, 12, 55, 29, 30, 31, 44]]
SOURCES = [[70, 71, 72, 73], [9, 88, 41, 42], [13, 14], [90, 91, 92, 93, 94, 95, 96, 97]]
TOKENS = 7


def slowly(kind: str, prompt: list[int], edits: dict[tuple[str, int], oracle.Edit], tokens: int) -> list[int]:
    model, ids = MODELS[kind], list(prompt)
    for _ in range(tokens):
        best = int(oracle.run(model.hf, kind, ids, edits).argmax())
        if best in ends(model):
            break
        ids.append(best)
    return ids[len(prompt) :]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "address",
    [
        "",
        "resid_post.1@0~-1",
        "resid_pre.0@-1~0,z.1.2@-1~1",
        "z.2@*~-1,mlp_out.0@1~0,attn_out.1@-2~-2",
        "resid_mid.1@1~-1",
        "mlp_out.1@*=zero,resid_post.0@0~-1=random",
        "resid_post.0@0~-1,mlp_out.1@*=own,resid_post.2@0=own",
    ],
)
def test_patched_text_is_what_plain_hooks_write(kind: str, address: str) -> None:
    if "resid_mid" in address and MODELS[kind].anatomy.parallel:
        pytest.skip("a parallel block has no resid_mid")
    found = generate(MODELS[kind], PROMPTS, source=SOURCES, patches=address, tokens=TOKENS)
    for prompt, source, written in zip(PROMPTS, SOURCES, found, strict=True):
        edits: dict[tuple[str, int], oracle.Edit] = {}
        if address:
            edits = oracle.edits_of(MODELS[kind].hf, kind, address, sample=0, sources=[source], targets=[prompt])
        assert list(written.ids) == slowly(kind, prompt, edits, TOKENS)
        assert len(written.probabilities) == len(written.ids) and all(0 < p <= 1 for p in written.probabilities)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["add", "patch"])
@pytest.mark.parametrize("positions", [(0,), (1, -1), None])
def test_pushed_text_is_what_plain_hooks_write(kind: str, way: str, positions: tuple[int, ...] | None) -> None:
    model = MODELS[kind]
    vectors = torch.randn(len(PROMPTS), model.width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    strengths = [0.5, 1.0, -2.0, 3.0]
    for site, layer in (("resid_post", 1), ("resid_pre", 2), ("attn_out", 0), ("mlp_out", 2)):
        push = Push(site, layer, vectors, strengths, positions, way)
        found = generate(model, PROMPTS, pushes=[push], tokens=TOKENS)
        for k, prompt in enumerate(PROMPTS):

            def edit(state: Tensor, k: int = k, prompt: list[int] = prompt) -> Tensor:
                state = state.clone()
                for p in range(state.shape[1]) if positions is None else [q % len(prompt) for q in positions]:
                    h = state[0, p].clone()
                    state[0, p] = h + strengths[k] * (vectors[k] if way == "add" else vectors[k] - h)
                return state

            assert list(found[k].ids) == slowly(kind, prompt, {(site, layer): edit}, TOKENS)


def test_a_push_after_a_patch_sees_it_and_strength_nought_changes_nothing() -> None:
    model, vector = MODELS["llama"], torch.ones(32, dtype=torch.float64)
    plain = generate(model, PROMPTS, tokens=TOKENS)
    for way in ("add", "patch"):
        assert generate(model, PROMPTS, pushes=[Push("resid_post", 0, vector, 0.0, way=way)], tokens=TOKENS) == plain
    by_patch = generate(model, PROMPTS, source=SOURCES, patches="resid_post.1@0~-1", tokens=TOKENS)
    theirs = torch.stack([oracle.states(model.hf, "llama", s, ("resid_post", 1))[-1] for s in SOURCES])
    pushed = Push("resid_post", 1, theirs, 1.0, (0,), "patch")
    assert [w.ids for w in generate(model, PROMPTS, pushes=[pushed], tokens=TOKENS)] == [w.ids for w in by_patch]
    both = generate(model, PROMPTS, patches="resid_post.1@0=zero", pushes=[pushed], tokens=TOKENS)
    assert [w.ids for w in both] == [w.ids for w in by_patch]


def test_it_ends_at_the_end_token_in_any_company() -> None:
    model = random_model("llama")
    model.hf.config.eos_token_id = model.hf.generation_config.eos_token_id = None
    free = generate(model, PROMPTS, tokens=TOKENS)
    assert all(len(w.ids) == TOKENS and not w.ended for w in free)
    stop = free[0].ids[2]
    model.hf.generation_config.eos_token_id = [stop, 100]
    found = generate(model, PROMPTS, tokens=TOKENS)
    assert found[0].ended and found[0].ids == free[0].ids[: free[0].ids.index(stop)]
    for one, whole in zip(found, free, strict=True):
        assert one.ids == (whole.ids[: whole.ids.index(stop)] if stop in whole.ids else whole.ids)
        assert one.ended == (stop in whole.ids)


def test_company_and_memory_change_no_text() -> None:
    model, patches = MODELS["gemma2"], "resid_post.0@0~-1"
    whole = generate(model, PROMPTS, source=SOURCES, patches=patches, tokens=TOKENS)
    narrow = generate(model, PROMPTS, source=SOURCES, patches=patches, tokens=TOKENS, memory_gb=1e-9)
    assert [w.ids for w in whole] == [w.ids for w in narrow]


@pytest.mark.parametrize("kind", [*KINDS, "cohere2", "gpt_oss"])
def test_prompts_of_other_lengths_beside_it_change_nothing(kind: str) -> None:
    model = MODELS.get(kind) or random_model(kind)
    pushed = Push("resid_post", 1, torch.linspace(-1, 1, model.width, dtype=torch.float64))
    for pushes in ([], [pushed]):
        together = generate(model, PROMPTS, tokens=TOKENS, pushes=pushes)
        for prompt, one in zip(PROMPTS, together, strict=True):
            (alone,) = generate(model, [prompt], tokens=TOKENS, pushes=pushes)
            assert one.ids == alone.ids and one.ended == alone.ended
            assert one.probabilities == pytest.approx(alone.probabilities, abs=1e-12)


def test_no_hook_stays_whatever_happens() -> None:
    model: ivx.Model = MODELS["olmo2"]

    def hooks() -> int:
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.hf.modules())

    def ending() -> Callable[[], None]:
        left = iter([None, None])

        def beat() -> None:
            if next(left, 0) == 0:
                raise Cancelled

        return beat

    push = Push("resid_post", 0, torch.ones(32, dtype=torch.float64))
    with pytest.raises(Cancelled):
        generate(model, PROMPTS, source=SOURCES, patches="z.1@-1~0", pushes=[push], tokens=TOKENS, beat=ending())
    assert hooks() == 0
    assert len(generate(model, PROMPTS, tokens=1)) == len(PROMPTS) and hooks() == 0


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"tokens": 0}, "choose 1 to"),
        ({"tokens": MOST_TOKENS + 1}, "choose 1 to"),
        ({"tokens": 62}, "more than the 64"),
        ({"patches": "resid_post.9@0~0"}, "layers 0 to 2"),
        ({"patches": "resid_post.0@6~0"}, "none at 6"),
        ({"pushes": [Push("resid_post", 0, torch.ones(31))]}, "width 32"),
        ({"pushes": [Push("resid_post", 3, torch.ones(32))]}, "layers 0 to 2"),
        ({"pushes": [Push("stream", 0, torch.ones(32))]}, "there is no site"),
        ({"pushes": [Push("resid_post", 0, torch.ones(32), [1.0, 2.0])]}, "one for each"),
        ({"pushes": [Push("resid_post", 0, torch.ones(32), positions=(5,))]}, "none at 5"),
        ({"pushes": [Push("resid_post", 0, torch.ones(32), way="mix")]}, "add or patch"),
    ],
)
def test_what_cannot_be_is_refused(asked: dict, said: str) -> None:
    with pytest.raises((IvxError, AddressError), match=said):
        generate(MODELS["olmo2"], PROMPTS, **asked)
    with pytest.raises(IvxError, match="is empty"):
        generate(MODELS["olmo2"], [[]])
