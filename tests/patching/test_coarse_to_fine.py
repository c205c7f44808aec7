"""Deep models: every second layer is swept first, the rest after; the rows are the same, and no row is run twice."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from transformers import AutoTokenizer

from ivx.analyses.effects import EFFECTS, SCAN
from ivx.analyses.interactions import INTERACTIONS
from ivx.engine.schema import KEY
from ivx.errors import Cancelled
from ivx.models.registry import EMBEDDED
from ivx.patching import sweeping
from ivx.patching.sweeping import coarse_to_fine
from tests.support.random_models import random_model

TOKENIZER = AutoTokenizer.from_pretrained(EMBEDDED / "tiny-sft", local_files_only=True)
TASK = "tiny:animal/colour"
SORTED = [(name, "ascending") for name in KEY]
ASKED: dict[str, tuple[Any, dict[str, Any]]] = {
    "effects": (EFFECTS, {"sites": ("resid_post", "z")}),
    "noise": (EFFECTS, {"sites": ("resid_post",), "direction": "noise"}),
    "zero": (EFFECTS, {"sites": ("mlp_out",), "direction": "zero"}),
    "scan": (SCAN, {}),
    "interactions": (INTERACTIONS, {"sites": ("resid_post",), "position": "first"}),
}


def test_the_parts_hold_every_patch_once() -> None:
    some = [f"z.{layer}.3@-1~-1" for layer in (3, 2, 11, 10)] + ["resid_post.2@0~-1,resid_post.11@0~-1"]
    assert coarse_to_fine(some, layers=13) == [[some[1], some[3]], [some[0], some[2], some[4]]]
    assert coarse_to_fine(some, layers=12) == [some], "a shallow model is swept as it was"
    assert coarse_to_fine(some[:1], layers=30) == [some[:1]] and coarse_to_fine([], layers=30) == [[]]


def depths(table: pa.Table) -> list[int]:
    """0 for a row at every second layer alone, else 1; those without a patch are left out."""
    layers = [[int(part.split(".")[1].split("@")[0]) for part in p.split(",")] for p in table["patch"].to_pylist() if p]
    return [int(any(layer % 2 for layer in some)) for some in layers]


@pytest.mark.parametrize("name", ["effects", "noise", "zero", "scan", "interactions"])
def test_a_deep_model_is_swept_coarse_to_fine(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model("llama", tokenizer=TOKENIZER, num_hidden_layers=13, check=False)
    analysis, fields = ASKED[name]
    request = analysis.request(model.name, TASK, **{"samples": 2, **fields})
    seen: list[tuple[Any, int, int]] = []
    found = analysis.compute(model, request, on_progress=lambda *of: seen.append(of))
    order = depths(found.table)
    assert order == sorted(order) and {*order} == {0, 1}
    assert seen[-1][1] == seen[-1][2] and all(done <= total for _, done, total in seen)
    middle = next(result for result, *_ in seen if len(depths(result.table)) == order.count(0))
    if name != "interactions":
        site = next(iter(middle.maps))
        done = {cell.layer for cell in middle.cells(site) if cell.state not in ("empty", "estimate")}
        assert done == set(range(0, 13, 2)), "layers that were not run are not drawn as if they were"
    monkeypatch.setattr(sweeping, "DEEP", 100)
    whole = analysis.compute(model, request)
    assert found.run_id == whole.run_id
    one, two = (table.sort_by(SORTED) for table in (found.table, whole.table))
    assert one.select(KEY).equals(two.select(KEY))
    for column in ("logit", "contrast", "logsumexp"):
        assert one[column].to_numpy() == pytest.approx(two[column].to_numpy(), abs=1e-9)


@pytest.mark.parametrize("name", ["effects", "interactions"])
@pytest.mark.parametrize("after", [1, 30])
def test_what_was_cut_short_goes_on(name: str, after: int) -> None:
    model = random_model("llama", tokenizer=TOKENIZER, num_hidden_layers=13, check=False)
    analysis, fields = ASKED[name]
    request = analysis.request(model.name, TASK, **{"samples": 2, **fields})
    last: list[Any] = []

    def stop(result: Any, done: int, total: int) -> None:
        last.append(result)
        if done >= after:
            raise Cancelled

    with pytest.raises(Cancelled):
        analysis.compute(model, request, on_progress=stop)
    known = last[-1].table
    found = analysis.compute(model, request, known=known)
    whole = analysis.compute(model, request)
    assert found.table.group_by(list(KEY)).aggregate([]).num_rows == found.table.num_rows == whole.table.num_rows
