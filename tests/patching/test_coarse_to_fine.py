"""Deep models: every second layer is swept first, the rest after; the rows are the same, and no row is run twice."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from transformers import AutoTokenizer

import ivx
from ivx.analyses.effects import EFFECTS, SCAN
from ivx.analyses.effects.request import EffectsRequest
from ivx.analyses.interactions import INTERACTIONS
from ivx.engine.schema import KEY
from ivx.errors import Cancelled, IvxError
from ivx.models.registry import EMBEDDED
from ivx.numeral import spans
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


def test_layers_and_heads_that_are_asked_for_are_run_alone() -> None:
    model = random_model("llama", tokenizer=TOKENIZER, num_hidden_layers=13, check=False)
    fields: dict[str, Any] = {"samples": 3, "sites": ("resid_post", "z")}
    whole = ivx.effects(model, TASK, **fields)
    part = ivx.effects(model, TASK, **fields, layers="3-5,12", heads="1,3")
    assert part.run_id != whole.run_id and not whole.part and "layers 3-5,12 and heads 1,3" in part.part
    assert [column.position for column in part.maps["z"]] == [1, 3]
    for site in part.maps:
        cells = {cell.patch: cell for cell in part.cells(site)}
        assert {cell.layer for cell in cells.values()} == {3, 4, 5, 12}
        before = {cell.patch: cell for cell in whole.cells(site)}
        assert all(cell.value == pytest.approx(before[patch].value, abs=1e-9) for patch, cell in cells.items())
    # p is adjusted over what was run: the family is these cells, as if there were no others.
    assert part.table.num_rows == 3 * (1 + 2 * sum(1 + len(part.places(site)) for site in part.maps))
    told = EFFECTS.words.text(part.summary())
    assert part.part in told and "adjusted over these alone" in told
    assert isinstance(part.request, EffectsRequest)
    kept = EFFECTS.saved.read(part.request, EFFECTS.saved.write(part) | {"layers": 13}, part.table, part.receipt)
    assert kept.cells("z") == part.cells("z")


PLAYERS: list[tuple[str, dict[str, Any], int]] = [
    ("layers", {"sites": ("resid_post",), "layers": "3-5,12", "restored": True}, 4),
    ("heads", {"sites": ("z",), "position": "last", "layers": "3,12", "heads": "1,3"}, 4),
    ("positions", {"sites": ("resid_pre",), "position": "all", "layers": "3,12"}, 0),
]


@pytest.mark.parametrize(("over", "fields", "players"), PLAYERS)
def test_layers_and_heads_that_are_asked_for_play_alone(over: str, fields: dict[str, Any], players: int) -> None:
    model = random_model("llama", tokenizer=TOKENIZER, num_hidden_layers=13, check=False)
    part = ivx.interactions(model, TASK, samples=2, over=over, **fields)
    assert {player.layer for player in part.players} == set(spans(fields["layers"]))
    assert part.part in part.notes() and "adjusted over these alone" in part.notes()[-1]
    shown = part.laid()
    assert not shown.layers and shown.rows[-1].startswith("L12")
    assert {(pair.row, pair.column) for pair in shown.pairs} <= {
        (row, column) for row in range(len(shown.rows)) for column in range(len(shown.columns))
    }
    if players:
        assert len(part.players) == players and len(part.cells()) == players * (players - 1) // 2
    kept = INTERACTIONS.saved.read(
        part.request, INTERACTIONS.saved.write(part) | {"layers": 13}, part.table, part.receipt
    )
    assert kept.cells() == part.cells()
    if over == "layers":
        assert part.laid(show="restored").rows == ("L3", "L4", "L5", "L12")
        whole = ivx.interactions(model, TASK, samples=2, **{**fields, "layers": ""})
        before = {cell.patch: cell for cell in whole.cells()}
        assert all(cell.j == pytest.approx(before[cell.patch].j, abs=1e-9) for cell in part.cells())


def test_layers_of_a_scan_are_run_alone() -> None:
    model = random_model("llama", tokenizer=TOKENIZER, num_hidden_layers=13, check=False)
    part = ivx.scan(model, TASK, samples=2, layers="3-5,12")
    assert {cell.layer for cell in part.cells("resid_post")} == {3, 4, 5, 12} and "layers 3-5,12" in part.part


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"layers": "5-4"}, "no list of numbers"),
        ({"layers": "all"}, "no list of numbers"),
        ({"heads": "1,"}, "no list of numbers"),
        ({"layers": "3,13"}, "layers 0 to 12"),
        ({"heads": "4"}, "heads 0 to 3"),
        ({"heads": "1", "sites": ("resid_post",)}, "heads are those of the site z"),
    ],
)
def test_layers_that_are_not_there_are_refused(fields: dict[str, Any], said: str) -> None:
    model = random_model("llama", tokenizer=TOKENIZER, num_hidden_layers=13, check=False)
    with pytest.raises(IvxError, match=said):
        ivx.effects(model, TASK, samples=2, **fields)
