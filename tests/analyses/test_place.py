"""The search for a place: every row against one patched by hand, the choice made again from its rows, and what it says
of the embedded family."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

import ivx
from ivx.analyses.place import PLACE
from ivx.analyses.place.compute import cost_of
from ivx.analyses.place.request import PlaceRequest
from ivx.analyses.place.result import Place
from ivx.analyses.place.search import Pair, Panel, sinks
from ivx.errors import IvxError
from ivx.jobs.compute import computed
from ivx.jobs.places import place_of
from ivx.models.load import load
from ivx.models.model import Model
from ivx.store.store import Store
from ivx.tasks.sample import Sample
from tests.support import oracle
from tests.support.random_models import random_model
from tests.support.tokenizers import tokenizer

TASK = "animal/colour"
FEW: dict[str, Any] = {"samples": 12, "choosing": 4}


@pytest.fixture(scope="module")
def model() -> Model:
    return load("tiny-sft", dtype="float64")


@pytest.fixture(scope="module")
def found(model: Model) -> Place:
    """The search on the embedded model, in float64, down to the heads."""
    return ivx.place(model, TASK, readers="heads", **FEW)


def by_hand(model: Model, kind: str, found: Place, row: dict[str, Any]) -> tuple[float, float]:
    """The answer's and the contrast's logit of a row, by hooks that know nothing of roles or plans."""
    own = found.samples.rows[row["sample"]]
    whose: Sample = found.samples.control[row["sample"]] if row["role"] == "control" else own
    name = re.findall(r"~([a-z_]+)", row["patch"])
    source = list(whose.source)
    if name:
        assert whose.keyword is not None
        at = {"keyword": whose.keyword, "before": whose.keyword - 1, "t_inst": len(source) - 1, "first": whose.first}
        source = source[: at[name[0]] + 1]
    if row["role"] == "identity":
        source = source[: whose.first] + source[-1:]
    patch = re.sub(r"~[a-z_]+", "~-1", row["patch"])
    behind = re.compile(r"@past(\d+)-(\d+)")
    last = len(own.target) - 1
    patch = behind.sub(lambda m: f"@{last + 1 - min(int(m[2]), last - int(m[1]))}", patch)
    edits: dict[Any, Any] = {}
    for part in patch.split(",") if patch else []:  # each written over the ones before it
        one = oracle.edits_of(model.hf, kind, part, sample=0, sources=[source], targets=[list(own.target)])
        ((place, edit),) = one.items()
        before = edits.get(place, lambda state: state)
        edits[place] = lambda state, edit=edit, before=before: edit(before(state))
    logits = oracle.run(model.hf, kind, list(own.target), edits)
    return float(logits[own.answer_id]), float(logits[own.contrast_id])


def check_rows(model: Model, kind: str, found: Place, *, each: int, tolerance: float) -> None:
    rows = [row for row in found.table.to_pylist() if row["role"] != "told"]
    kinds = {(row["role"], "own" in row["patch"], "z." in row["patch"], bool(row["patch"])) for row in rows}
    rng = np.random.default_rng(0)
    for one in sorted(kinds):
        mine = [r for r in rows if (r["role"], "own" in r["patch"], "z." in r["patch"], bool(r["patch"])) == one]
        for k in rng.permutation(len(mine))[:each]:
            wanted = by_hand(model, kind, found, mine[k])
            assert abs(mine[k]["logit"] - wanted[0]) < tolerance, mine[k]["patch"]
            assert abs(mine[k]["contrast"] - wanted[1]) < tolerance, mine[k]["patch"]


def test_every_row_is_one_patched_by_hand(model: Model, found: Place) -> None:
    assert {row["role"] for row in found.table.to_pylist()} == {"effect", "control", "random", "identity", "told"}
    assert any("z." in patch for patch in found.head_patches)
    check_rows(model, "olmo2", found, each=4, tolerance=1e-9)


@pytest.mark.parametrize("readers", ["none", "blocks"])
def test_the_rows_of_all_stages_are_forecast(model: Model, readers: str) -> None:
    request = PlaceRequest("tiny-sft", TASK, readers=readers, dtype="float64", **FEW)
    rows = ivx.place(model, TASK, readers=readers, **FEW).table.filter(pc.field("role") != "told").num_rows
    assert cost_of(model, request).rows == pytest.approx(rows, rel=0.15)


def test_prompts_of_different_length_share_their_heads_rows() -> None:
    model = random_model("gpt2", tokenizer=tokenizer("bos"))
    found = ivx.place(
        model, "english:animal/colour", readers="heads", source_token="keyword", position="field", layer=0, **FEW
    )
    assert len({len(sample.target) for sample in found.samples.rows}) > 1
    assert found.readers() is not None and found.columns[0].label == ":"
    check_rows(model, "gpt2", found, each=3, tolerance=1e-4)
    cells = found.head_cells((1,))
    assert len(cells) == model.heads and all("past" in patch for _, _, patch in cells)


def values(found: Place, role: str, patch: str, samples: range) -> np.ndarray:
    """Effects in contrast, read from the rows one by one."""
    rows = {(r["role"], r["patch"], r["sample"]): r["logit"] - r["contrast"] for r in found.table.to_pylist()}
    return np.array([rows[role, patch, k] - rows["effect", "", k] for k in samples])


def test_the_choice_follows_from_the_choosing_queries_and_the_numbers_from_the_others(found: Place) -> None:
    parts, best = found.parts, found.best[0]
    assert list(parts.choosing) == [0, 1, 2, 3] and list(parts.confirming) == list(range(4, 12))
    assert list(parts.controlled) == [0, 1]
    scores = {}
    for panel in found.best:
        position = found.columns[panel.pair.column].position
        for layer in range(found.layers):
            patch = f"resid_post.{layer}@{position}~{panel.pair.source}"
            others = [values(found, role, patch, range(2)).mean() for role in ("control", "identity")]
            others.append(values(found, "random", f"{patch}=random", range(2)).mean())
            scores[panel.pair, layer] = values(found, "effect", patch, range(4)).mean() - max(0.0, *others)
    assert max(scores, key=lambda key: scores[key]) == (best.pair, best.layer)
    told = found.found()
    assert told is not None and told.at.layer == best.layer
    patch = f"resid_post.{best.layer}@{found.columns[best.pair.column].position}~{best.pair.source}"
    assert told.best.value == pytest.approx(values(found, "effect", patch, range(4, 12)).mean(), abs=1e-9)
    assert told.best.against["identity"].mean == pytest.approx(values(found, "identity", patch, range(4, 12)).mean())
    followed = [r["rank"] == 1 for r in found.table.to_pylist()
                if r["role"] == "effect" and r["patch"] == patch and r["sample"] >= 4]  # fmt: skip
    assert told.followed == np.mean(followed)
    whole = [cell.value for cell in told.cells]
    inside = [layer for layer in range(told.at.first, told.at.last + 1)]
    assert all(whole[layer] >= told.best.value / 2 for layer in inside)
    assert told.at.first == 0 or whole[told.at.first - 1] < told.best.value / 2
    assert whole[told.at.last + 1] < told.best.value / 2


def test_the_embedded_model_has_its_place_at_the_keyword(found: Place) -> None:
    at = found.at
    assert at is not None and (at.source_token, at.position) == ("keyword", "first") and at.layer <= 3
    told = found.found()
    assert told is not None and told.followed >= 0.7 and told.beyond > 1 and told.told > told.untold
    text = PLACE.words.text(found.summary())
    assert "place: keyword = T_inst → “animal” (first)" in text and "queries that chose nothing" in text
    assert "carries nothing beyond its controls" in text and "first token" in text


def test_the_readers_are_the_steps_of_what_is_read_so_far(found: Place) -> None:
    readers = found.readers()
    assert readers is not None and readers.layer < found.layers - 1
    assert [step.block for step in readers.steps] == list(range(readers.layer + 1, found.layers))
    assert readers.steps[-1].value == pytest.approx(readers.whole, abs=1e-9)  # nothing is read behind the last block
    assert sum(step.step for step in readers.steps) == pytest.approx(readers.whole, abs=1e-9)
    assert (
        readers.blocks
        and set(readers.blocks) <= {4, 5, 6}
        and {head.block for head in readers.heads} == set(readers.blocks)
    )
    first, second = readers.steps[0], readers.steps[1]
    assert second.step == pytest.approx(second.value - first.value, abs=1e-9)
    assert any(head.state == "ok" and head.step > 0 for head in readers.heads)


def test_where_the_phrase_does_not_end_the_instruction_its_end_carries_nothing() -> None:
    found = ivx.place("tiny-sft-period", TASK, readers="none")
    at = found.at
    assert at is not None and at.source_token == "keyword"
    summary = found.summary()
    assert {"t_inst", "first"} <= set(summary["silent"]) and "keyword" not in summary["silent"]
    assert summary["readers"] is None and found.figure_names == ("place", "acts")


def test_no_place_says_what_would_have_been_seen() -> None:
    found = ivx.place("tiny-base", TASK, **FEW)
    assert found.at is None and found.least > 0
    text = PLACE.words.text(found.summary())
    assert "no place" in text and "does not follow" in text
    kind = found.found()
    assert kind is None or kind.kind in ("none", "preference")


def test_a_sink_is_where_anything_moves_the_answer() -> None:
    def panel(column: int, effect: float, another: float) -> Panel:
        return Panel(Pair("keyword", column), (0,), (effect,), (another,), (another,), 0.0)

    assert sinks([panel(0, 8.0, 7.0), panel(1, 10.0, 1.0), panel(2, 0.1, 0.1), panel(3, 3.0, 6.0)]) == (0, 3)
    assert sinks([panel(0, 0.0, 0.0)]) == ()


def test_other_requests_are_made_at_the_place(model: Model, found: Place) -> None:
    at = found.at
    assert at is not None and at.fields == {"source_token": "keyword", "position": "first"}
    asked: dict[str, Any] = {"samples": 12, "sites": ("resid_post",), "controls": ("task",), **at.fields}
    mapped = ivx.effects(model, TASK, **asked)
    column = mapped.maps["resid_post"][0].position
    rows = {r["sample"]: r["logit"] for r in mapped.table.to_pylist()
            if r["role"] == "effect" and r["patch"] == f"resid_post.{at.layer}@{column}~-1"}  # fmt: skip
    mine = {r["sample"]: r["logit"] for r in found.table.to_pylist()
            if r["role"] == "effect" and r["patch"] == f"resid_post.{at.layer}@{column}~keyword"}  # fmt: skip
    assert len(rows) == 12 and all(abs(rows[k] - mine[k]) < 1e-9 for k in mine)


def test_a_place_is_looked_up_and_a_stopped_search_goes_on(tmp_path: Any) -> None:
    store, model = Store(tmp_path), load("tiny-sft")
    assert place_of("tiny-sft", TASK, store=store) is None
    request = PlaceRequest("tiny-sft", TASK, readers="none", **FEW)

    class Stop(Exception):
        pass

    def stop(result: Place, done: int, total: int) -> None:
        assert done <= total
        if done > total // 2:
            raise Stop

    with pytest.raises(Stop):
        computed(store, model, request, on_progress=stop)
    assert place_of("tiny-sft", TASK, store=store) is None
    whole = computed(store, model, request)
    again = ivx.place(model, TASK, readers="none", **FEW)
    order = [("role", "ascending"), ("patch", "ascending"), ("sample", "ascending")]
    one, other = (each.table.select(["role", "patch", "sample"]).sort_by(order) for each in (whole, again))
    lacking = set(map(str, other.to_pylist())) ^ set(map(str, one.to_pylist()))
    assert not lacking and one.num_rows == other.num_rows and whole.at == again.at
    assert whole.at is not None
    as_published = whole.at._replace(source_token="t_inst")  # the task phrase's last token is the instruction's, here
    assert place_of("tiny-sft", TASK, store=store) == as_published == place_of("tiny-sft", TASK, store=store)


def test_what_cannot_be_searched_is_refused() -> None:
    shown = ivx.place("tiny-sft", TASK, demonstrations=2, readers="none", every=8, **FEW)
    assert shown.sources == ("t_inst", "first")
    wrong: dict[str, Any]
    for wrong, why in (
        ({"samples": 3}, "samples is 3"),
        ({"readers": "all"}, "readers 'all' is not known"),
        ({"layer": 8}, "layers 0 to 7"),
        ({"position": "cue", "target_format": "query"}, "have no cue"),
        ({"source_token": "keyword", "demonstrations": 2}, "no task phrase"),
    ):
        with pytest.raises(IvxError, match=why):
            ivx.place("tiny-sft", TASK, **{**FEW, **wrong})
