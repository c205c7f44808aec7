"""Logits that are not finite: their rows are left out, counted and told, in every kind of result, or it is refused."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
import torch

import ivx
from ivx.analyses.base import Analysis
from ivx.analyses.effects import EFFECTS
from ivx.analyses.registry import ANALYSES
from ivx.analyses.transfer import TRANSFER
from ivx.analyses.transplant import TRANSPLANT
from ivx.analyses.vectors import VECTORS
from ivx.archive import pack, unpack
from ivx.cli.output import plain
from ivx.errors import IvxError
from ivx.formats.plain import json_text
from ivx.jobs.compute import computed, stored
from ivx.models.load import load
from ivx.models.model import Model
from ivx.patching.prepare import samples_of
from ivx.store.store import Store
from tests.analyses.test_contract import small

LONG = ("behaviour", "pathways", "scan")
"""Kinds whose test is slow, since they read logits as the others do."""
each = pytest.mark.parametrize(
    "analysis",
    [pytest.param(one, id=one.kind, marks=[pytest.mark.slow] * (one.kind in LONG)) for one in ANALYSES],
)


def damaged(model: Model, *tokens: int) -> Model:
    """The checkpoint with embeddings of these tokens that no arithmetic survives, as an overflow in float16 leaves."""
    found = load(model.name)
    hf: Any = found.hf
    head, embedding = hf.get_output_embeddings(), hf.get_input_embeddings()
    head.weight = torch.nn.Parameter(head.weight.detach().clone())  # what a token reads like stays as it is
    with torch.no_grad():
        embedding.weight[list(tokens)] = torch.inf
    return found


@pytest.fixture(scope="module")
def model() -> Model:
    return load("tiny-sft")


@pytest.fixture(scope="module")
def queries(model: Model) -> list[int]:
    """The last token of each query."""
    return [sample.target[sample.query_span[1] - 1] for sample in samples_of(model, small(EFFECTS))[1].rows]


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in JSON")

    return json.loads(text, parse_constant=refuse)


@each
def test_one_query_that_overflows_is_left_out_of_every_number_or_refused(
    analysis: Analysis[Any, Any], model: Model, queries: list[int], tmp_path: Any
) -> None:
    broken, store = damaged(model, queries[0]), Store(tmp_path)
    try:
        if analysis is TRANSPLANT:
            vectors = computed(store, model, small(VECTORS))
            found = analysis.compute(broken, small(analysis, vectors=vectors.run_id), given=[vectors])
        else:
            found = analysis.compute(broken, small(analysis))
    except IvxError as error:
        assert "not finite in float32" in str(error)
        return
    summary = analysis.summary(found, "contrast", answer=lambda request: None)
    strict(json_text(summary))
    assert plain(analysis.words.text(summary)) and "nan" not in analysis.words.text(summary).lower()
    for spec in found.figures("contrast").values():
        strict(json_text(spec))
    if "logit" not in found.table.column_names:
        return  # nothing that it reads goes through the damaged word
    assert found.table["logit"].null_count and "NaN" not in json_text(found.table.to_pylist())
    assert any("rows are undefined" in warning for warning in found.receipt["warnings"])
    if analysis is not TRANSPLANT:
        run = computed(store, broken, small(analysis))
        again = stored(store, run.request)
        assert again is not None and again.table.equals(run.table)
        passing = ("request", "seconds", "resumed_rows")
        told = [{k: v for k, v in one.summary("followed").items() if k not in passing} for one in (again, run)]
        numbers = [json_text(one) for one in told]
        assert numbers[0] == numbers[1]
        assert unpack.unpack(io.BytesIO(pack.of_result(again))).result.table.equals(run.table)


def test_a_cell_is_of_the_samples_that_are_there(model: Model, queries: list[int]) -> None:
    asked: dict[str, Any] = {"sites": ("resid_post",), "position": "first", "samples": 6}
    whole = ivx.effects(model, "animal/colour", **asked)
    found = ivx.effects(damaged(model, queries[0]), "animal/colour", **asked)
    for metric in ("contrast", "followed", "preference", "reciprocal_rank", "logprob", "kl"):
        for one, other in zip(whole.cells("resid_post", metric), found.cells("resid_post", metric), strict=True):
            values = np.array([row["effect"] for row in whole.detail("resid_post", one.patch, metric)])[1:]
            assert other.value == pytest.approx(values.mean(), abs=1e-5) and other.undefined == 1
    levels = [row for row in whole.detail("resid_post", whole.address("resid_post", 0, 0), "followed")]
    assert len(levels) == 6 and len(found.detail("resid_post", whole.address("resid_post", 0, 0))) == 5


def test_where_nothing_is_finite_the_request_is_refused(model: Model, queries: list[int]) -> None:
    with pytest.raises(IvxError, match="not finite in float32 on any of 6 instructed prompts"):
        ivx.effects(damaged(model, *queries), "animal/colour", samples=6)
    with pytest.raises(IvxError, match="states at resid_post.0 of tiny-sft are not finite"):
        ivx.separability(
            damaged(model, model.tokenizer.convert_tokens_to_ids("##olour")), ("animal/colour", "animal/can-fly")
        )


def test_a_sound_prompt_beside_one_that_overflows_keeps_its_numbers(model: Model, queries: list[int]) -> None:
    """The plan computes what prompts share once; what overflows in one of them must not reach the others."""
    asked: dict[str, Any] = {"samples": 6, "sites": ("resid_post", "mlp_out", "z")}
    whole = ivx.effects(model, "animal/colour", **asked).table
    found = ivx.effects(damaged(model, queries[0]), "animal/colour", **asked).table
    there = np.array(found["logit"].is_valid().to_pylist())
    assert set(np.array(found["sample"])[~there].tolist()) == {0} and (~there).sum() > 10
    key = ["role", "site", "patch", "sample"]
    both = (
        whole.select([*key, "logit"])
        .join(found.select([*key, "logit"]), key, right_suffix=" found", join_type="inner")
        .to_pylist()
    )
    apart = [abs(row["logit"] - row["logit found"]) for row in both if row["logit found"] is not None]
    assert len(apart) == there.sum() and max(apart) < 1e-4


def test_a_query_that_overflows_takes_no_other_with_it(model: Model, queries: list[int]) -> None:
    """The mean that ablated heads write is over all samples: one that is not finite would make all of it so."""
    found = TRANSFER.compute(damaged(model, queries[0]), small(TRANSFER))
    cells = found.cells()
    assert len(cells) == 4 and all(cell.value is not None and cell.n >= 2 for cell in cells)
    assert sum("left out, their logits are not finite" in warning for warning in found.receipt["warnings"]) == 1
