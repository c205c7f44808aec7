"""Mediation: planted ways of an effect, and plain hooks, in float64."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

import ivx
from ivx.analyses.mediation.compute import prompts_of
from ivx.analyses.mediation.result import Mediation
from ivx.errors import IvxError
from ivx.models.model import Model
from ivx.models.registry import EMBEDDED
from ivx.stats.ratios import ratios
from tests.support import oracle
from tests.support.random_models import random_model

TOKENIZER = AutoTokenizer.from_pretrained(EMBEDDED / "tiny-sft", local_files_only=True)
TASK = "tiny:animal/colour"
ASKED: dict[str, Any] = {"layer": 0, "position": "1"}


def planted(layer: int, head: int) -> Model:
    """A llama of which, behind layer 0, one head alone writes anything: the only way to the last token."""
    model = random_model("llama", tokenizer=TOKENIZER)
    wide = model.head_dim
    with torch.no_grad():
        for k, block in enumerate(model.hf.model.layers):
            if k:
                kept = block.self_attn.o_proj.weight[:, head * wide : (head + 1) * wide].clone()
                block.self_attn.o_proj.weight.zero_()
                if k == layer:
                    block.self_attn.o_proj.weight[:, head * wide : (head + 1) * wide] = kept
    return model


def left(found: Mediation, patch: str) -> np.ndarray:
    """f of one set, by sample, in the answer's contrast."""
    rows = {
        name: found.table.filter([r == "effect" and p == name for r, p in keys(found)]).sort_by("sample")
        for name in ("", patch)
    }
    bare, patched = (t["logit"].to_numpy() - t["contrast"].to_numpy() for t in (rows[""], rows[patch]))
    return patched - bare


def keys(found: Mediation) -> list[tuple[str, str]]:
    return list(zip(found.table["role"].to_pylist(), found.table["patch"].to_pylist(), strict=True))


def test_all_of_the_effect_passes_through_the_planted_head() -> None:
    model = planted(2, 1)
    found = ivx.mediation(model, TASK, samples=8, **ASKED)
    total = left(found, found.carriers.put)
    assert np.abs(total).max() > 1e-2
    for one, carrier in zip(found.cells(), found.carriers.every, strict=True):
        wanted = total if (carrier.row, carrier.column) == (2, 1) else np.zeros(8)
        assert total - left(found, one.patch) == pytest.approx(wanted, abs=1e-12), one.label
        assert one.mediated.value == pytest.approx(wanted.mean(), abs=1e-12)
        if one.share is not None:
            assert one.share.value == pytest.approx(float((carrier.row, carrier.column) == (2, 1)), abs=1e-12)
            assert one.share.low == pytest.approx(one.share.value) == pytest.approx(one.share.high)
    planted_one = found.ranked[0]
    assert found.carriers.every[planted_one].label == "L2 h1"
    for one in found.together():  # whoever is in the set beside it adds nothing, and random sets have it or not
        assert one.mediated.value == pytest.approx(total[found.measuring].mean(), abs=1e-12)
        assert abs(one.mediated.against["set"].mean) <= abs(one.mediated.value) + 1e-12
    whole = found.everything()
    assert whole is not None and whole.mediated.value == pytest.approx(total.mean(), abs=1e-12)
    assert whole.direct.value == pytest.approx(0.0, abs=1e-12)


def test_edges_and_components_find_the_planted_way_too() -> None:
    model = planted(1, 3)
    edges = ivx.mediation(model, TASK, samples=4, through="edges", **ASKED)
    total = left(edges, edges.carriers.put)
    for one in edges.cells():
        wanted = total if one.label == "L1 h3" else np.zeros(4)
        # Head 3 of block 1 is read at other tokens; behind it nobody reads them, so only the last token's own counts.
        assert left(edges, one.patch) == pytest.approx(wanted, abs=1e-12), one.label
    assert edges.sizes == () and edges.everything() is None and edges.figure_names == ("carriers",)
    parts = ivx.mediation(model, TASK, samples=4, through="components", layers="1-2", **ASKED)
    shares = {one.label: total - left(parts, one.patch) for one in parts.cells()}
    assert shares["L1 attention"] == pytest.approx(total, abs=1e-12)
    assert shares["L2 attention"] == pytest.approx(np.zeros(4), abs=1e-12)


@pytest.mark.parametrize("through", ["heads", "components", "positions", "edges"])
def test_every_row_is_one_row_of_plain_hooks(through: str) -> None:
    model = random_model("llama", tokenizer=TOKENIZER)
    found = ivx.mediation(model, TASK, samples=4, through=through, top=3, draws=2, **ASKED)
    runs = prompts_of(found.request, found.samples)
    checked = 0
    for row in found.table.to_pylist():
        if row["role"] == "told" or not row["patch"]:
            continue
        part = next(one for one in runs if one.role == row["role"])
        k = row["sample"]
        sources, targets = [list(ids) for ids in part.sources], [list(ids) for ids in part.targets]
        address = part.address(k, row["patch"])
        edits = oracle.edits_of(model.hf, "llama", address, sample=k, sources=sources, targets=targets)
        wanted = oracle.run(model.hf, "llama", targets[k], edits)
        assert row["logit"] == pytest.approx(float(wanted[found.samples.rows[k].answer_id]), abs=1e-9), row["patch"]
        checked += 1
    assert checked >= 8 * len(found.carriers.every)
    cells, total = found.cells(), found.total()
    assert total is not None
    for one in cells:
        assert one.mediated.value + one.direct.value == pytest.approx(total.value, abs=1e-9)
    others = cells[0].mediated.against["set"].mean
    assert others == pytest.approx(np.mean([one.mediated.value for one in cells[1:]]), abs=1e-9)


def test_an_edge_is_path_patching() -> None:
    """Two runs as the field makes them: what the head gives where it alone reads the vector; then that put into a run
    without the vector."""
    model = random_model("llama", tokenizer=TOKENIZER)
    found = ivx.mediation(model, TASK, samples=2, through="edges", **ASKED)
    head, wide, layer = 2, model.head_dim, 2
    patch = next(one.patch for one in found.cells() if one.label == f"L{layer} h{head}")
    for k, sample in enumerate(found.samples.rows):
        target, source = list(sample.target), list(sample.source[: sample.t_inst + 1])
        between = [(site, 1) for site in ("attn_out", "mlp_out")]
        own = oracle.all_states(model.hf, "llama", target, between)
        theirs = oracle.states(model.hf, "llama", source, ("resid_post", 0))[-1]
        kept: list[torch.Tensor] = []

        def put(state: torch.Tensor, theirs: torch.Tensor = theirs) -> torch.Tensor:
            state = state.clone()
            state[0, 1] = theirs
            return state

        def keep(state: torch.Tensor, kept: list[torch.Tensor] = kept) -> torch.Tensor:
            kept.append(state.clone())
            return state

        frozen = {place: lambda _, value=value: value[None] for place, value in own.items()}
        oracle.run(model.hf, "llama", target, {("resid_post", 0): put, ("z", layer): keep, **frozen})

        def give(state: torch.Tensor, kept: list[torch.Tensor] = kept) -> torch.Tensor:
            state, part = state.clone(), slice(head * wide, (head + 1) * wide)
            state[0, 2:, part] = kept[0][0, 2:, part]
            return state

        given: list[dict[Any, Any]] = [{("z", layer): give}, {}]
        levels = [oracle.run(model.hf, "llama", target, edits) for edits in given]
        passed, bare = (float(z[sample.answer_id] - z[sample.contrast_id]) for z in levels)
        assert left(found, patch)[k] == pytest.approx(passed - bare, abs=1e-9) and abs(passed - bare) > 1e-4


def test_frozen_tokens_leave_what_the_last_one_reads_itself() -> None:
    """With every token between frozen, the last one's own reading of the place is all that is left; where it reads
    nothing, so is the effect."""
    model = random_model("llama", tokenizer=TOKENIZER)
    found = ivx.mediation(model, TASK, samples=4, through="positions", layer=0, position="0")
    labels = [one.label for one in found.carriers.every]
    target = found.samples.rows[0].target
    assert "‹query›" in labels and len(labels) <= len(target) - 2
    whole, rows = found.everything(), found.samples.rows
    assert whole is not None
    last = [f"resid_post.{layer}@{p}=own" for layer in (1, 2) for p in range(1, len(target) - 1)]
    wanted = ivx.sweep(
        model,
        source=[rows[0].source[: rows[0].t_inst + 1]],
        target=[target],
        answer=[rows[0].answer_id],
        patches=[",".join([found.carriers.put, *last])],
    )["logit"].to_pylist()
    mine = found.table.filter([r == "effect" and p == whole.patch for r, p in keys(found)]).sort_by("sample")
    assert mine["logit"][0].as_py() == pytest.approx(wanted[1], abs=1e-11)


def test_what_cannot_carry_is_refused() -> None:
    model = random_model("llama", tokenizer=TOKENIZER)
    for asked, told in (
        ({"layer": 2}, "nothing is behind the last layer"),
        ({"layer": 1, "layers": "0-1"}, "none of them is behind layer 1"),
        ({"layer": 0, "through": "positions", "position": "last"}, "no token stands between"),
        ({"layer": 0, "through": "edges", "position": "last"}, "has no edge"),
        ({"layer": 0, "through": "positions", "layers": "1"}, "leave out layers"),
        ({"layer": 0, "through": "mlp"}, "use one of heads"),
    ):
        with pytest.raises(IvxError, match=told):
            ivx.mediation(model, TASK, samples=2, **asked)


def test_a_share_is_of_an_effect_that_is_there() -> None:
    rng = np.random.default_rng(0)
    whole = 4 + rng.normal(size=30)
    half = 0.5 * whole + 0.1 * rng.normal(size=30)
    (exact, noisy) = ratios(np.stack([0.25 * whole, half]), whole)
    assert exact is not None and exact == pytest.approx((0.25, 0.25, 0.25))
    assert noisy is not None and noisy.low < 0.5 < noisy.high and noisy.high - noisy.low < 0.1
    assert ratios(half[None], rng.normal(size=30)) == [None]


def test_a_cut_short_mediation_goes_on_as_it_would_have() -> None:
    model = random_model("llama", tokenizer=TOKENIZER)
    found = ivx.mediation(model, TASK, samples=4, **ASKED)
    from ivx.analyses.mediation import MEDIATION

    part = replace(found, table=found.table.slice(0, found.table.num_rows // 2))
    again = MEDIATION.compute(model, found.request, known=part.table)
    assert again.table.num_rows == found.table.num_rows and again.summary()["together"] == found.summary()["together"]
