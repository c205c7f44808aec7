"""Interactions: J against a plain loop of hooks, identities against runs, and what the cells say."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoTokenizer

import ivx
from ivx.analyses.interactions.identities import ERASED, REPEATED, UNREAD, reduced
from ivx.engine.address import Patch, parse
from ivx.engine.linear.curvature import curvature
from ivx.errors import Cancelled, IvxError
from ivx.models.registry import EMBEDDED
from ivx.stats.metrics import find
from ivx.stats.published import published_p
from ivx.tasks.sample import Sample
from tests.support import oracle
from tests.support.random_models import random_model

TOKENIZER = AutoTokenizer.from_pretrained(EMBEDDED / "tiny-sft", local_files_only=True)
MODEL = random_model("gpt2", tokenizer=TOKENIZER)
TASK = "tiny:animal/colour"


def by_hand(sample: Sample, patches: str, source: tuple[int, ...]) -> float:
    """Answer minus contrast of one row: one forward pass, hooks written by hand, nothing of ivx but the address."""
    edits: dict[tuple[str, int], oracle.Edit] = {}
    for patch in parse(patches) if patches else ():
        place = (patch.site, patch.layer)
        theirs = oracle.states(MODEL.hf, "gpt2", list(source), place)[patch.source]

        before = edits.get(place, lambda s: s)

        def edit(state: Tensor, patch: Patch = patch, theirs: Tensor = theirs, before: oracle.Edit = before) -> Tensor:
            state = before(state).clone()
            wide = state.shape[-1] // 4
            part = slice(None) if patch.head is None else slice(patch.head * wide, (patch.head + 1) * wide)
            state[0, patch.position, part] = theirs[part]
            return state

        edits[place] = edit
    logits = oracle.run(MODEL.hf, "gpt2", list(sample.target), edits)
    return float(logits[sample.answer_id] - logits[sample.contrast_id])


ASKED = [
    {"sites": ("resid_post",), "order": 3},
    {"sites": ("attn_out", "mlp_out"), "over": "components", "position": "2"},
    {"sites": ("z",), "over": "heads", "position": "last"},
    {"sites": ("resid_pre",), "over": "positions", "position": "all"},
    {"sites": ("resid_post", "z"), "position": "1", "source_token": "0"},
]


@pytest.mark.parametrize("asked", ASKED)
def test_j_is_what_single_rows_patched_by_hand_give(asked: dict[str, Any]) -> None:
    found = ivx.interactions(MODEL, TASK, samples=3, seed=2, **asked)
    told = asked["sites"] == ("z",)
    taken = 0 if asked.get("source_token") == "0" else None
    for role, sources in (("effect", found.samples.rows), ("control", found.samples.control)):
        effects = found.effects(role)
        texts = [text for sets in found.sets.values() for text in sets]
        assert set(texts) <= effects.keys()
        for text in texts[:: max(1, len(texts) // 40)]:
            for i, (sample, given) in enumerate(zip(found.samples.rows, sources, strict=True)):
                source = given.instructed if told else given.source[: (given.t_inst if taken is None else taken) + 1]
                effect = by_hand(sample, text, source) - by_hand(sample, "", source)
                assert effects[text][i] == pytest.approx(effect, abs=1e-9), text
    effects = found.effects("effect")
    for cell in found.cells()[:40]:
        f = {name: effects[name] for name in (cell.first, cell.second, cell.patch)}
        j = f[cell.patch] - f[cell.first] - f[cell.second]
        assert cell.j == pytest.approx(j.mean(), abs=1e-12) and cell.low <= cell.j <= cell.high
        assert cell.both == pytest.approx(f[cell.patch].mean())
        better = max(f[cell.first].mean(), f[cell.second].mean())
        assert cell.gain == pytest.approx(f[cell.patch].mean() - better)
        theirs = found.effects("control")
        assert cell.control_j == pytest.approx(
            (theirs[cell.patch] - theirs[cell.first] - theirs[cell.second]).mean(), abs=1e-12
        )
    for three in found.triples():
        a, b, c = three.players
        wanted = effects[three.patch] + effects[a] + effects[b] + effects[c]
        wanted = wanted - effects[f"{a},{b}"] - effects[f"{a},{c}"] - effects[f"{b},{c}"]
        assert three.j == pytest.approx(wanted.mean(), abs=1e-12)
    assert len(found.triples()) == (1 if asked.get("order") == 3 else 0)


def test_j_must_beat_random_vectors_too() -> None:
    found = ivx.interactions(MODEL, TASK, samples=12, sites=("resid_post",))
    rows, texts = found.samples.rows, [t for sets in found.sets.values() for t in sets if t not in found.equals]
    table = ivx.sweep(
        MODEL,
        source=[s.source[: s.t_inst + 1] for s in rows],
        target=[s.target for s in rows],
        answer=[s.answer_id for s in rows],
        contrast=[s.contrast_id for s in rows],
        patches=[",".join(f"{part}=random" for part in text.split(",")) for text in texts],
        engine="hooks",
    )
    level = (table["logit"].to_numpy() - table["contrast"].to_numpy()).reshape(-1, len(rows))
    by_hooks = dict(zip(texts, level[1:] - level[0], strict=True))
    drawn, against = found.effects("random"), found.against()
    assert drawn.keys() == {"", *(t for sets in found.sets.values() for t in sets)}
    assert all(drawn[text] == pytest.approx(by_hooks[text], abs=1e-9) for text in texts)
    for cell in found.cells():
        of, j = against[cell.patch], drawn[cell.patch] - drawn[cell.first] - drawn[cell.second]
        assert list(of) == ["task", "random"] and of["random"].mean == pytest.approx(j.mean(), abs=1e-12)
        beaten = [one.is_beaten(cell.j, floor=find("contrast").floor) for one in of.values()]
        assert cell.state != "ok" or all(beaten)
        assert cell.state != "control" or not all(beaten)
    alone = ivx.interactions(MODEL, TASK, samples=3, controls=("task",))
    assert alone.controls == ["task"] and alone.table.num_rows < found.table.num_rows / 4


def test_players_and_their_sets() -> None:
    heads = ivx.interactions(MODEL, TASK, samples=1, sites=("z",), over="heads")
    assert len(heads.players) == 12 and len(heads.sets[2]) == 66 and heads.players[5].label == "L1 h1"
    places = ivx.interactions(MODEL, TASK, samples=1, sites=("attn_out",), over="positions", position="all")
    assert all(places.players[a].layer == places.players[b].layer for a, b in places.sets[2].values())
    with pytest.raises(IvxError, match="no players of one game"):
        ivx.interactions(MODEL, TASK, samples=1, sites=("z", "mlp_out"), position="last")


SITES = ("resid_pre", "z", "attn_out", "resid_mid", "mlp_out", "resid_post")
SINGLES = [f"{site}.{layer}@{p}~-1" for p in (1, -1) for layer in range(3) for site in SITES]


def test_identities_are_those_that_runs_show() -> None:
    """Every pair of sites at one token: the addresses' word against rows that are computed."""
    model = random_model("llama")
    asked: dict[str, Any] = {
        "source": [[5, 17, 33, 8], [9, 2, 40]],
        "target": [[3, 60, 21], [7, 44, 13, 9]],
        "answer": [50, 51],
    }
    pairs = [f"{a},{b}" for p in (1, -1) for a, b in combinations([s for s in SINGLES if f"@{p}~" in s], 2)]
    table = ivx.sweep(model, **asked, patches=[*SINGLES, *pairs], engine="hooks").to_pydict()
    logits: dict[str, list[float]] = {}
    for text, logit in zip(table["patch"], table["logit"], strict=True):
        logits.setdefault(text, []).append(logit)
    reasons = set()
    for text in (*SINGLES, *pairs):
        left, reason = reduced(parse(text), layers=3, lengths={3, 4})
        equal = [
            other
            for size in range(len(parse(text)))
            for part in combinations(text.split(","), size)
            if np.allclose(logits[other := ",".join(part)], logits[text], atol=1e-11, rtol=0)
        ]
        # Sets that equal a smaller one by the addresses do; and no other does, on a model of random weights.
        assert (",".join(map(str, left)) in equal) == bool(reason), text
        assert bool(equal) == bool(reason), text
        reasons.add(reason)
    assert reasons == {"", ERASED, UNREAD, REPEATED}


def test_identities_hold_with_the_target_s_own_values() -> None:
    model, rng = random_model("olmo2"), np.random.default_rng(0)
    places = [f"{site}.{layer}@{p}" for site in SITES for layer in range(3) for p in (1, -1)] + ["z.1.2@1", "z.2.0@-1"]
    sets = {
        ",".join(places[k] + rng.choice(["=own", "~0"]) for k in rng.permutation(len(places))[: rng.integers(2, 5)])
        for _ in range(200)
    } | {"resid_pre.1@1~0,resid_mid.1@1=own,mlp_out.1@1=own"}
    left = {text: reduced(parse(text), layers=3, lengths={4}) for text in sets}
    names = {text: ",".join(map(str, found.patches)) for text, found in left.items()}
    asked: dict[str, Any] = {"source": [[5, 17, 33]], "target": [[3, 60, 21, 90]], "answer": [50]}
    table = ivx.sweep(model, **asked, patches=sorted({*names, *names.values()} - {""}))
    logit = dict(zip(table["patch"].to_pylist(), table["logit"].to_pylist(), strict=True))
    assert all(abs(logit[text] - logit[name]) < 1e-10 for text, name in names.items())
    assert {found.reason for text, found in left.items() if "=own" in text} == {"", ERASED, UNREAD, REPEATED}


def test_a_token_that_is_last_for_some_samples_only_is_neither() -> None:
    pair = parse("resid_post.0@2~-1,resid_post.1@2~-1")
    assert reduced(pair, layers=2, lengths={3, 4}).reason == ""
    assert (
        reduced(pair, layers=2, lengths={3}).reason == ERASED and reduced(pair, layers=2, lengths={4}).reason == UNREAD
    )


def test_degenerate_pairs_cost_nothing_and_are_exact() -> None:
    last = ivx.interactions("tiny-sft", "animal/colour", samples=10, position="last")
    cells, singles = last.cells(), {cell.patch: cell.value for cell in last.singles()}
    assert len(cells) == 28 and all(c.state == "degenerate" and c.degenerate == ERASED and c.p is None for c in cells)
    assert all(cell.j == -singles[cell.first] for cell in cells), "exactly, to the last bit"
    assert not any("," in patch for patch in set(last.table["patch"].to_pylist())), "no pair is run"
    first = ivx.interactions("tiny-sft", "animal/colour", samples=10)
    free = [cell for cell in first.cells() if cell.degenerate]
    assert len(free) == 7 and all(c.j == 0 and c.degenerate == UNREAD and "resid_post.7" in c.second for c in free)


def test_only_what_beats_both_halves_is_strict() -> None:
    found = ivx.interactions("tiny-sft", "animal/colour", samples=60)
    for cell in found.cells():
        if cell.strict:
            assert cell.p is not None and cell.gain_low is not None and cell.gain is not None
            assert cell.low > 0 and cell.p < 0.05 and cell.gain_low > 0 and cell.gain > 0 and not cell.degenerate
        if cell.state == "ok":
            assert cell.p is not None and cell.p_control is not None
            assert cell.p < 0.05 and cell.p_control < 0.05 and cell.n == 60
    assert {"ok", "zero", "degenerate"} <= {cell.state for cell in found.cells()}
    assert all(set(cell.signs) <= set("+-0") and len(cell.signs) == 2 for cell in found.cells())
    additivity = found.additivity()
    assert additivity is not None and 0 < additivity < 1
    confirmed = found.confirmed(keep=3)
    whole = {cell.patch: cell for cell in found.cells()}
    assert len(confirmed) == 3 and all(v.value != whole[patch].j for patch, v in confirmed.items())
    assert all(np.sign(v.value) == np.sign(whole[patch].j) and v.p < 0.05 for patch, v in confirmed.items())


def test_the_published_test_passes_at_any_data() -> None:
    draw = np.random.default_rng(0)
    for n, shift in product((10, 100), (-5.0, 0.0, 5.0)):
        both, parts = draw.normal(size=(2, n))
        assert published_p(both + shift, parts) < 1e-6
    found = ivx.interactions(MODEL, TASK, samples=3)
    assert found.published_test().keys() == found.sets[2].keys()
    assert max(found.published_test().values()) < 1e-3


def test_pairs_stream_in_beside_their_estimates() -> None:
    seen = []
    found = ivx.interactions(
        "tiny-sft", "animal/colour", samples=4, on_progress=lambda result, *done: seen.append((result.cells(), *done))
    )
    cells, done, total = seen[0]
    assert done == 0 and len(cells) == 28 and {c.state for c in cells} == {"estimate"} and any(c.j for c in cells)
    assert seen[-1][1] == seen[-1][2] == total == 4 * 3 * (28 + 1) and seen[-1][0] == found.cells()

    def stop(*_: object) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        ivx.interactions(MODEL, TASK, samples=2, on_progress=stop)


def test_the_preview_is_the_mixed_derivative() -> None:
    """Against central differences: each patch moves its state a small share of the way."""
    source, target = [5, 17, 33, 8], [3, 60, 21, 90, 14]
    patches = ["resid_post.0@1~-1", "attn_out.1@1~-1", "z.1.2@1~-1", "z.1.3@1~-1", "mlp_out.1@2~-1", "resid_pre.2@1~0"]
    model = random_model("gpt2")
    about: dict[str, Any] = {"source": [source] * 2, "target": [target] * 2, "answer": [50, 7], "patches": patches}
    alone, (logit, other) = curvature(model, **about), curvature(model, **about, contrast=[60, 9])
    assert alone.contrast is None and torch.equal(alone.logit, logit) and other is not None

    def run(shares: dict[str, float], token: int) -> float:
        edits: dict[tuple[str, int], oracle.Edit] = {}
        for text, share in shares.items():
            patch = parse(text)[0]
            place = (patch.site, patch.layer)
            theirs = oracle.states(model.hf, "gpt2", source, place)[patch.source]

            before = edits.get(place, lambda s: s)

            def edit(
                state: Tensor,
                patch: Patch = patch,
                share: float = share,
                theirs: Tensor = theirs,
                before: oracle.Edit = before,
            ) -> Tensor:
                state = before(state).clone()
                wide = state.shape[-1] // 4
                part = slice(None) if patch.head is None else slice(patch.head * wide, (patch.head + 1) * wide)
                state[0, patch.position, part] += share * (theirs[part] - state[0, patch.position, part])
                return state

            edits[place] = edit
        return float(oracle.run(model.hf, "gpt2", target, edits)[token])

    h = 1e-3
    for (a, one), (b, two) in combinations(enumerate(patches), 2):
        for told, sample, token in ((logit, 0, 50), (other, 1, 9)):
            wanted = sum(s * t * run({one: s * h, two: t * h}, token) for s in (1, -1) for t in (1, -1)) / (4 * h * h)
            assert float(told[sample, a, b]) == pytest.approx(wanted, rel=1e-4, abs=1e-6), (one, two)
            assert told[sample, b, a] == told[sample, a, b]


def test_the_preview_leaves_the_model_as_it_was() -> None:
    ids = torch.tensor([[5, 6, 7]])
    before = MODEL.hf(ids).logits
    curvature(MODEL, source=[[5, 6]], target=[[7, 8, 9]], answer=[1], patches=["resid_post.0@0~-1", "z.1.0@0~-1"])
    assert torch.equal(MODEL.hf(ids).logits, before)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in MODEL.hf.modules())
