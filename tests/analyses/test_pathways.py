"""Pathways as a result: what sums, what aligns, what is compared with what, and that it is kept whole."""

from __future__ import annotations

import io
import json
import shlex
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
import vl_convert
from transformers import AutoTokenizer

import ivx
from ivx.analyses.pathways import circuits
from ivx.analyses.pathways.attribution import Batch, attribute
from ivx.analyses.pathways.drawing import drawings, name_of
from ivx.analyses.pathways.faithfulness import curve
from ivx.analyses.pathways.overlap import compared, jaccard, overlap
from ivx.analyses.pathways.parts import SCHEMA, Part, is_nothing
from ivx.analyses.pathways.request import PathwaysRequest
from ivx.analyses.pathways.result import Pathways
from ivx.analyses.pathways.slots import Alignment, Slot, keys_of
from ivx.analyses.registry import checked
from ivx.archive.pack import of_result
from ivx.archive.unpack import keep, unpack
from ivx.cli.main import _parser, main
from ivx.engine.linear.paths import strongest
from ivx.engine.linear.surrogate import Surrogate
from ivx.errors import AddressError, Cancelled, IvxError, TaskError
from ivx.jobs.compute import computed, result_of, stored
from ivx.jobs.replay import ReplayRequest, replay
from ivx.models.model import Model
from ivx.models.registry import EMBEDDED
from ivx.store.store import Store
from ivx.tasks import catalogue
from ivx.tasks.sample import Sample
from ivx.tasks.samples import build
from tests.support.random_models import random_model

pytestmark = pytest.mark.surrogate
TOKENIZER = AutoTokenizer.from_pretrained(EMBEDDED / "tiny-sft", local_files_only=True)
TASK: dict[str, Any] = {"task": "animal/colour", "against": "animal/can-fly"}
PAIR = catalogue.find("animal/colour", collection="tiny", against="animal/can-fly")


@pytest.fixture(scope="module")
def model() -> Model:
    return ivx.load("tiny-sft", dtype="float64")


@pytest.fixture(scope="module")
def found(model: Model) -> Pathways:
    return ivx.pathways(model, **TASK, samples=24, patch_layer=3, edge_check=True, published=True)


def layer_of(part: Part) -> int:
    assert part.layer is not None
    return part.layer


def measured(measure: circuits.Measure | None, sets: list[np.ndarray]) -> np.ndarray:
    assert measure is not None
    return measure(sets)


@pytest.mark.parametrize("kind", ["olmo2", "gpt2"])
def test_slots_sum_as_tokens_do(kind: str) -> None:
    model = random_model(kind, tokenizer=TOKENIZER, check=False)
    found = ivx.pathways(model, "tiny:animal/colour", samples=5, ablation="none", patch_layer=1, seed=1)
    assert found.found.fidelity.deviation < 1e-12 and abs(found.found.fidelity.ratio - 1) < 1e-9
    for run in ("here", "there", "bare", "patched"):
        for layer in range(-1, found.layers):
            fixed = [p for k in ("bias", "carried", "patch") for p in found.parts(k, run=run)]
            constants = [p for p in fixed if layer_of(p) > layer]
            nodes = [p for p in found.nodes(run) if p.layer == layer]
            assert sum(p.value for p in (*nodes, *constants)) == pytest.approx(found.total(run), abs=1e-9)
        heads, edges = found.parts("head", run=run), found.edges(run=run)
        assert sum(p.value for p in heads) == pytest.approx(sum(p.value for p in edges), abs=1e-9)
    each = found.table.filter((pc.field("kind") == "total") & (pc.field("run") == "here") & pc.field("item").is_valid())
    logits = torch.stack(
        [model.hf(input_ids=torch.tensor([s.instructed])).logits[0, -1] for s in found.samples.rows]
    ).detach()
    wanted = [float(z[s.answer_id] - z[s.contrast_id]) for z, s in zip(logits, found.samples.rows, strict=True)]
    assert each["value"].to_pylist() == pytest.approx(wanted, abs=1e-9)
    assert found.total() == pytest.approx(np.mean(wanted))
    assert (kind == "gpt2") == bool([p for p in found.parts("carried") if p.value])


def test_tokens_are_aligned_by_what_they_do() -> None:
    rows = build(PAIR, TOKENIZER, samples=6).rows
    for sample in rows:
        keys = keys_of(sample, told=True)
        assert len(keys) == len(sample.instructed) and keys.count("t_inst") == 1
        assert keys.index("t_inst") == sample.t_inst and set(keys[: sample.t_inst]) == {"instruction"}
        tail = keys[sample.t_inst + 1 :]
        assert tail == keys_of(sample, told=False) and tail[-1] == "after:1"
        spoken = TOKENIZER.decode([t for t, k in zip(sample.instructed, keys, strict=True) if k == "query"])
        assert isinstance(spoken, str) and spoken.replace(" ", "") == sample.query
    mixed = Alignment.of(rows, TOKENIZER, told=True)
    assert mixed.named() == ["instruction", "t_inst", "before:2", "before:1", "query", "after:3", "after:2", "after:1"]
    assert [slot.label for slot in mixed.slots][-3:] == [".", "answer", ":"]
    with pytest.raises(IvxError, match="use the target format prompt or chat"):
        PathwaysRequest("tiny-sft", "animal/colour", target_format="query")


def test_one_wording_keeps_its_tokens_apart(model: Model) -> None:
    found = ivx.pathways(model, **TASK, samples=6, wording=3, ablation="none")
    slots = found.found.slots["here"]
    text = PAIR.task.instructions[3].text
    assert TOKENIZER.decode(
        TOKENIZER(" ".join(s.label for s in slots[: found.samples.rows[0].t_inst + 1]))["input_ids"]
    )
    assert {s.instruction.text for s in found.samples.rows} == {text}
    assert slots[0].key == "instruction:0" and slots[0].label == text.split()[0]
    assert len(found.overlap().layers) == 8
    with pytest.raises(TaskError, match="wordings 0 to"):
        ivx.pathways(model, **TASK, samples=2, wording=10_000)


def test_both_instructions_are_asked_of_the_same_queries(found: Pathways) -> None:
    assert [s.query for s in found.there] == [s.query for s in found.samples.rows]
    assert all(a.answer_id == b.contrast_id for a, b in zip(found.there, found.samples.rows, strict=True))


def test_what_the_surrogate_says_of_the_tiny_model(found: Pathways) -> None:
    assert found.found.fidelity.deviation < 1e-9
    assert abs(found.found.fidelity.cosine - 1) < 1e-9 and abs(found.found.fidelity.ratio - 1) < 1e-6
    assert all(one.everything.ratio > 100 for one in found.found.fidelity.published)
    assert list(found.by_head())[0] == (4, 3), "the head that reads the instruction's end at the answer"
    strongest = found.edges()[0]
    assert (strongest.layer, strongest.head, strongest.start, strongest.end) == (4, 3, "t_inst", "after:1")
    assert strongest.low is not None and strongest.high is not None
    assert strongest.low < strongest.value < strongest.high and found.edges(4)[0] == strongest
    apart = found.overlap().layers[5]
    assert apart.p is not None
    assert apart.jaccard < 0.5 < apart.reference and apart.p < 0.05 and apart.low <= apart.jaccard <= apart.high
    # The patched vector opens the instructed run's way behind it, and only there.
    bare, patched = found.overlap("bare").layers, found.overlap("patched").layers
    assert patched[4].jaccard > bare[4].jaccard + 0.3 and patched[5].jaccard > bare[5].jaccard + 0.2
    assert found.total("patched") > found.total("bare") + 1
    heads, edges = found.faithfulness()
    assert (heads.unit, heads.total, heads.points[-1].kept, heads.points[-1].removed) == ("heads", 64, 1.0, 0.0)
    assert heads.area > heads.random_area and edges.area > edges.random_area
    middle = next(p for p in heads.points if p.n == 16)
    assert middle.low <= middle.kept <= middle.high and middle.kept > middle.random_high
    route = found.paths(1)[0][1]
    assert route.heads in found.routes() and len(found.paths(30)) == 30
    with pytest.raises(IvxError, match="no 'else' runs"):
        found.nodes("else")


def test_heads_left_out_are_what_a_sweep_gives(model: Model) -> None:
    rows = build(PAIR, model.tokenizer, samples=6).rows
    kept = np.random.default_rng(0).random((3, 64)) < 0.8
    for ablation, how in (("mean", "=mean"), ("zero", "=zero")):
        measure = circuits.of_heads(model, rows, ablation, seed=0, beat=lambda: None)
        patches = [",".join(f"z.{h // 8}.{h % 8}@*{how}" for h in np.flatnonzero(~one)) for one in kept]
        prompts = [s.instructed for s in rows]
        table = ivx.sweep(
            model,
            source=prompts,
            target=prompts,
            answer=[s.answer_id for s in rows],
            contrast=[s.contrast_id for s in rows],
            patches=patches,
            engine="hooks",
        )
        m = (table["logit"].to_numpy() - table["contrast"].to_numpy()).reshape(4, 6)
        assert measured(measure, list(kept)) == pytest.approx(m[1:], abs=1e-9)
    alike = [s for s in build(PAIR, model.tokenizer, samples=60).rows if len(s.instructed) == 15][:3]
    resampling = circuits.of_heads(model, alike, "resample", seed=0, beat=lambda: None)
    resampled = measured(resampling, [np.zeros(64, bool)])
    assert resampled.shape == (1, 3) and np.isfinite(resampled).all()
    alone = [rows[0], next(s for s in rows if len(s.instructed) != len(rows[0].instructed))]
    assert circuits.of_heads(model, alone, "resample", seed=0, beat=lambda: None) is None


def test_edges_left_out_write_their_mean_or_anothers(model: Model) -> None:
    rows = [s for s in build(PAIR, model.tokenizer, samples=60).rows if len(s.instructed) == 15][:3]
    keys = [[str(i) for i in range(15)] for _ in rows]
    pairs = [(str(a), str(b)) for b in range(15) for a in range(b + 1)]
    nothing = [np.zeros(64 * len(pairs), bool)]

    def m(measure: circuits.Measure | None) -> np.ndarray:
        return measured(measure, nothing)[0]

    def edges(rows: list[Sample], ablation: str, pairs: list[tuple[str, str]] = pairs) -> circuits.Measure | None:
        return circuits.of_edges(model, rows, ablation, keys[: len(rows)], pairs, seed=0, beat=lambda: None)

    # With no edge of its own, a head writes what it writes in another sample; or its mean at that token over samples.
    heads = circuits.of_heads(model, rows, "resample", seed=0, beat=lambda: None)
    assert m(edges(rows, "resample")) == pytest.approx(measured(heads, [np.zeros(64, bool)])[0], abs=1e-9)
    table = ivx.sweep(
        model,
        source=[s.instructed for s in rows],
        target=[s.instructed for s in rows],
        answer=[s.answer_id for s in rows],
        contrast=[s.contrast_id for s in rows],
        patches=[",".join(f"z.{n // 8}.{n % 8}@{t}=mean" for n in range(64) for t in range(15))],
        engine="hooks",
    )
    own = (table["logit"].to_numpy() - table["contrast"].to_numpy())[3:]
    assert m(edges(rows, "mean")) == pytest.approx(own, abs=1e-9)
    # One sample's mean is its own, edge by edge; edges of no pair have one mean, and nothing has none.
    alone = measured(edges(rows[:1], "mean"), [np.ones(64 * len(pairs), bool), *nothing])
    assert alone[1] == pytest.approx(alone[0], abs=1e-9)
    few = [
        measured(edges(rows[:1], ablation, pairs[:7]), [np.zeros(64 * 7, bool)])[0, 0] for ablation in ("mean", "zero")
    ]
    assert np.isfinite(few).all() and abs(few[0] - few[1]) > 1e-3 and abs(few[0] - alone[0, 0]) > 1e-3
    assert edges(rows[:1], "resample") is None


def test_a_curve_of_nothing_is_not_drawn() -> None:
    assert curve("heads", "zero", np.ones(4), lambda sets: np.ones((len(sets), 3)), seed=0) is None
    parts = np.array([4.0, 0.0, 2.0, 0.0])
    found = curve("heads", "zero", parts, lambda sets: np.array([[s @ parts] * 3 for s in sets], float), seed=0)
    assert found is not None
    assert [p.kept for p in found.points] == pytest.approx([4 / 6, 1, 1])
    assert [p.removed for p in found.points] == pytest.approx([2 / 6, 0, 0]) and found.points[0].n == 1
    assert found.area == pytest.approx((1 / 4) * (2 / 6) + (1 / 4) * (5 / 6) + 1 / 2)


def test_overlap_of_like_and_of_unlike_maps() -> None:
    rng = np.random.default_rng(0)
    route, other = rng.exponential(size=(2, 3, 40))
    noise = rng.normal(size=(2, 30, 3, 40)) * 0.5
    like = overlap(route + noise[0], route + noise[1], names=("a", "b"))
    unlike = overlap(route + noise[0], other + noise[1], names=("a", "b"))
    opposed = overlap(route + noise[0], -other + noise[1], names=("a", "b"))
    assert all(x.p is not None and x.p > 0.05 and abs(x.jaccard - x.reference) < 0.1 for x in like.layers)
    for found in (unlike, opposed):
        for x in found.layers:
            assert x.p is not None and x.spearman is not None
            assert x.p < 0.01 and x.jaccard < x.reference - 0.2 and x.spearman < 0.5
    assert like.tops[2].shared > unlike.tops[2].shared
    assert jaccard(route, 7 * route).tolist() == pytest.approx([1, 1, 1]), "a louder answer is the same route"
    assert jaccard(np.array([1.0, 0, 0]), np.array([0.0, 2, 0])) == 0 and jaccard(np.zeros(3), np.zeros(3)) == 1
    fixed = compared((route, route), (other, other), names=("a", "b"), samples=2)
    assert fixed.layers[0].reference == pytest.approx(1) and fixed.layers[0].p is None


def test_exchanging_is_calibrated() -> None:
    rng = np.random.default_rng(1)
    p = []
    for seed in range(60):
        base = rng.exponential(size=(1, 25))
        one, other = base + rng.normal(size=(2, 12, 1, 25))
        p.append(overlap(one, other, names=("a", "b"), seed=seed).layers[0].p)
    assert np.mean(np.array(p) <= 0.05) < 0.15 and np.mean(np.array(p) <= 0.5) > 0.3


def test_a_noisier_kind_with_the_same_means_takes_no_other_route() -> None:
    """Equal mean maps, one kind twice as noisy, and louder: the exchange sees the spread, that of means does not."""
    wrong, either, found = 0, 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        route = rng.normal(size=(1, 40)) * rng.exponential(size=(1, 40))
        one, other = route + rng.normal(size=(20, 1, 40)), 1.7 * (route + 2 * rng.normal(size=(20, 1, 40)))
        layer = overlap(one, other, names=("a", "b"), seed=seed).layers[0]
        wrong, either = wrong + (layer.apart == "means"), either + bool(layer.apart)
        changed = other + 1.7 * rng.normal(size=(1, 40))
        found += overlap(one, changed, names=("a", "b"), seed=seed).layers[0].apart == "means"
    assert wrong <= 6 and either > wrong and found > 45


def test_another_checkpoint_beside_this_one(found: Pathways) -> None:
    base = ivx.pathways("tiny-base", **TASK, samples=24, ablation="none", paths=0)
    told = found.beside(base)
    assert (told.one, told.other) == ("tiny-sft", "tiny-base") and len(told.layers) == 8
    assert all(layer.jaccard < layer.reference for layer in told.layers[3:6])
    assert all(layer.jaccard == pytest.approx(layer.reference) for layer in found.beside(found).layers)
    with pytest.raises(IvxError, match="the same samples"):
        found.beside(ivx.pathways("tiny-base", **TASK, samples=4, ablation="none", paths=0))


def test_a_result_is_kept_whole_and_comes_back(tmp_path: Path) -> None:
    store, told = Store(tmp_path), []
    request = PathwaysRequest("tiny-sft", **TASK, samples=8, patch_layer=3, published=True, traced=1)
    assert stored(store, request) is None
    model = ivx.load("tiny-sft")
    fresh = computed(store, model, request, on_progress=lambda result, done, total: told.append((done, total)))
    assert told[-1] == (48, 48) and fresh.table.num_rows == fresh.receipt["rows"]
    again = stored(store, request)
    assert again is not None
    assert again.table.equals(fresh.table) and again.found == fresh.found
    assert (again.samples, again.there, again.heads) == (fresh.samples, fresh.there, fresh.heads)
    assert json.dumps(again.overlap().layers[0].__dict__) == json.dumps(fresh.overlap().layers[0].__dict__)
    assert again.summary()["heads"] == fresh.summary()["heads"]
    run = store.find(fresh.run_id)
    assert run is not None
    replayed = replay(store, model, ReplayRequest(checkpoint="tiny-sft", run=fresh.run_id, rows=40))
    assert {key[1] for key in replayed.rows} >= {"node", "head"} and replayed.largest < 1e-4
    context = run.kept("context")
    assert context is not None
    context["found"]["overlaps"][0]["layers"][0]["jaccard"] = "much"
    run.keep("context", context)
    with pytest.raises(IvxError, match="jaccard: expected is a finite number"):
        stored(store, request)


def test_an_archive_comes_back_and_a_forged_one_does_not(found: Pathways, tmp_path: Path) -> None:
    packed = of_result(found)
    back = unpack(io.BytesIO(packed))
    assert back.table.equals(found.table.replace_schema_metadata(None)) and back.result.found == found.found
    assert back.receipt["imported"] and back.receipt["origin"] == found.run_id
    store = Store(tmp_path)
    kept = store.find(keep(back, store))
    assert kept is not None
    again = result_of(kept)
    assert again is not None and again.head(4, 3) == found.head(4, 3)
    with zipfile.ZipFile(io.BytesIO(packed)) as zipped:
        assert {"here.svg", "there.png", "overlap.vl.json", "faithfulness-heads.svg"} <= set(zipped.namelist())


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("layer", 8 + 1, "column layer"),
        ("head", 8, "column head"),
        ("from", "elsewhere", "column from: expected is a slot of this run"),
        ("run", "else", "column run"),
        ("attention", 2.0, "column attention"),
        ("value", float("inf"), "column value"),
        ("value", None, "column value"),
    ],
)
def test_rows_that_no_sweep_returns(found: Pathways, column: str, value: object, told: str) -> None:
    values = found.table[column].to_pylist()
    at = next(i for i, kind in enumerate(found.table["kind"].to_pylist()) if kind == "edge")
    values[at] = value
    place = found.table.column_names.index(column)
    forged = found.table.set_column(place, column, pa.array(values, SCHEMA.field(column).type))
    with pytest.raises(IvxError, match=told):
        checked(replace(found, table=forged))


def test_slots_and_curves_that_no_sweep_returns(found: Pathways) -> None:
    def refused(told: str, **changed: Any) -> None:
        with pytest.raises(IvxError, match=told):
            checked(replace(found, found=replace(found.found, **changed)))

    assert checked(found) is found
    slots = found.found.slots
    refused("slots", slots={"here": slots["here"]})
    refused("slots", slots={**slots, "here": (Slot("<b>", "x"),)})
    refused("overlaps", overlaps=())
    refused("overlaps", overlaps=(replace(found.overlap(), layers=found.overlap().layers[1:]),))
    refused("curves", curves=(replace(found.faithfulness()[0], points=()),))
    refused("explained", explained={"else": found.found.explained["here"]})
    with pytest.raises(IvxError, match="each run, kind"):
        doubled = pa.concat_tables([found.table, found.table.slice(0, 1)])
        checked(replace(found, table=doubled, receipt={**found.receipt, "rows": doubled.num_rows}))


def test_what_a_drawing_explains_is_the_sum_of_its_paths() -> None:
    """Against every path listed one by one, on a model small enough."""
    small = random_model("gpt2", tokenizer=TOKENIZER, check=False)
    prompt = [5, 9, 3, 17]
    run = Surrogate(small, [prompt])
    every = strongest(run, 7, 11, k=100_000, slack=0, most=100_000)
    assert every.settled
    rng = np.random.default_rng(0)
    for _ in range(3):
        taken = rng.random((3, 4, 4, 4)) < 0.6
        logits = run.along(torch.from_numpy(taken)[None])[0]
        mine = sum(p.value for p in every.paths if all(taken[m.layer, m.head, m.end, m.start] for m in p.moves))
        assert float(logits[7] - logits[11]) == pytest.approx(mine, abs=1e-9)
    whole = run.along(torch.ones(1, 3, 4, 4, 4, dtype=torch.bool))
    assert torch.allclose(whole, run.logits)


def test_more_edges_explain_all_in_the_end(model: Model, found: Pathways) -> None:
    shares = [one.share for one in found.found.explained["there"]]
    first, last = shares[0], shares[-1]
    assert first is not None and last is not None
    assert abs(last - 1) < 0.1 and abs(first - 1) > abs(last - 1)
    for one in found.found.explained["here"]:
        assert one.low is not None and one.share is not None and one.high is not None
        assert one.low <= one.share <= one.high


def test_attention_rows_are_the_models_own(model: Model, found: Pathways) -> None:
    for layer, head in ((0, 1), (4, 3)):
        row = found.row(layer, head, "after:1")
        weights = [part.attention for part in row if part.attention is not None]
        assert len(weights) == len(row) and sum(weights) == pytest.approx(1, abs=1e-9)
        assert [part.start for part in row] == [slot.key for slot in found.found.slots["here"]]
    one = ivx.pathways(model, **TASK, samples=1, wording=3, ablation="none", paths=0)
    ids = torch.tensor([one.samples.rows[0].instructed])
    config = model.hf.config
    before, config._attn_implementation = config._attn_implementation, "eager"
    try:
        weights = model.hf(input_ids=ids, output_attentions=True).attentions[4][0, 3, -1]
    finally:
        config._attn_implementation = before
    mine = {part.start: part.attention for part in one.row(4, 3, "after:1")}
    keys = keys_of(one.samples.rows[0], told=True, apart=True)
    for key in set(keys):
        at = [i for i, name in enumerate(keys) if name == key]
        assert mine[key] == pytest.approx(float(weights[at].sum()), abs=1e-6), "its softmax is in float32"


def test_a_head_is_the_mean_of_its_samples(found: Pathways) -> None:
    part = found.head(4, 3)
    assert part.low is not None and part.high is not None
    assert part.value == pytest.approx(found.by_head()[4, 3]) and part.low < part.value < part.high
    assert found.strongest(30) == [p for p in found.edges() if p.start != p.end][:30]


def test_a_drawing_tells_shared_from_own(found: Pathways) -> None:
    here, there = drawings(found, 20)
    assert len(here.edges) == len(there.edges) == 20 and max(r.width for d in (here, there) for r in d.ribbons) == 1
    assert name_of(here.edges[0]) in here.shared and name_of(here.edges[0]) in there.shared
    own = {(p.layer, p.head, p.start, p.end) for p in here.edges} - {
        (p.layer, p.head, p.start, p.end) for p in there.edges
    }
    assert len(own) == 20 - len(here.shared)
    assert {ribbon.kind for ribbon in here.ribbons} >= {"shared", "toward"}
    assert sum(len([e for e in here.edges if e.layer == r.layer]) > 0 for r in here.ribbons) == len(here.ribbons)
    assert here.marked is not None
    assert here.labels[here.marked] == "t_inst" or found.found.slots["here"][here.marked].key == "t_inst"


def test_figures_are_drawn_without_a_browser(found: Pathways) -> None:
    specs = found.figures()
    assert list(specs) == ["here", "there", "overlap", "faithfulness-heads", "faithfulness-edges"]
    for spec in specs.values():
        assert "<svg" in vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]) and "params" not in spec["layer"][-1]
    assert len(found.chart().to_dict()["hconcat"]) == 3


def test_what_progress_raises_ends_the_work(model: Model) -> None:
    def stop(*_: object) -> None:
        raise Cancelled

    # Transformers leaves hooks of its own where attention was once asked for.
    before = [dict(module._forward_hooks) for module in model.hf.modules()]
    with pytest.raises(Cancelled):
        ivx.pathways(model, **TASK, samples=4, on_progress=stop)
    assert [dict(module._forward_hooks) for module in model.hf.modules()] == before
    assert not any("forward" in module.__dict__ for module in model.hf.modules())


def test_one_logit_alone_and_a_layer_that_is_not_there(model: Model) -> None:
    found = ivx.pathways(model, **TASK, samples=4, of="logit", ablation="none", paths=0)
    assert found.found.traced == () and found.paths() == []
    sample = found.samples.rows[0]
    logit = float(model.hf(input_ids=torch.tensor([sample.instructed])).logits[0, -1, sample.answer_id])
    first = found.table.filter((pc.field("kind") == "total") & (pc.field("item") == 0) & (pc.field("run") == "here"))
    assert first["value"][0].as_py() == pytest.approx(logit)
    with pytest.raises(AddressError, match="layers 0 to 7"):
        ivx.pathways(model, **TASK, samples=2, patch_layer=8)
    for wrong in ({"of": "rank"}, {"ablation": "noise"}, {"paths": -1}):
        with pytest.raises(IvxError):
            PathwaysRequest("tiny-sft", "animal/colour", **wrong)


def test_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["pathways", "--checkpoint", "tiny-sft", "--task", "animal/colour", "--against", "animal/can-fly"]
    assert main([*asked, "--samples", "8", "--json", "--published", "--traced", "1"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["fidelity"]["deviation"] < 1e-4 and told["heads"][0]["layer"] == 4
    assert len(told["overlap"][0]["layers"]) == 8 and told["faithfulness"][0]["points"]
    assert main([*asked, "--samples", "4", "--ablation", "none"]) == 0
    assert "parts sum to the logits with cosine" in capsys.readouterr().out
    assert main([*asked, "--of", "rank"]) == 2
    assert "use one of contrast, logit" in capsys.readouterr().err


def test_what_is_written_to_compute_it_again_is_that_request() -> None:
    from ivx.ui.kit.exports import in_python, in_shell

    request = PathwaysRequest("tiny-sft", "animal/colour", wording=0, published=True, traced=1, of="logit")
    told = _parser().parse_args(shlex.split(in_shell(request, "logit"))[3:])
    assert all(
        getattr(told, name) == getattr(request, name) for name in ("wording", "published", "traced", "of", "task")
    )
    assert "ivx.pathways('tiny-sft', 'animal/colour', samples=40, wording=0, of='logit'" in in_python(request, "logit")


def test_batches_change_nothing(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = build(PAIR, model.tokenizer, samples=8).rows
    asked = Batch(
        "here",
        [s.instructed for s in rows],
        [s.answer_id for s in rows],
        None,
        Alignment.of(rows, model.tokenizer, told=True),
    )
    whole = attribute(model, asked, beat=lambda n: None)
    monkeypatch.setattr("ivx.analyses.pathways.attribution.rows_within", lambda *_: 1)
    # Its norms are float32 inside float64: how these round is the machine's, by 2e-10 on one.
    assert attribute(model, asked, beat=lambda n: None).edges == pytest.approx(whole.edges, abs=1e-9)


def test_what_is_next_to_nothing_has_no_shares() -> None:
    """The base checkpoint hardly prefers either answer, so a part's share of the difference would be anything."""
    found = ivx.pathways("tiny-base", "animal/class", wording=0, samples=24, paths=0)
    low, high = (found._means("here", "total")[name][0].as_py() for name in ("low", "high"))
    assert low < 0 < high and found.share(1.0) is None
    assert {part.share for part in found.strongest(20)} == {None} == {found.head(3, 6).share}
    assert {one.share for one in found.found.explained["here"]} == {None}
    assert {head["share"] for head in found.summary()["heads"]} == {None}
    assert "%" not in drawings(found, 20)[0].ribbons[0].told
    other = ivx.pathways("tiny-sft", "animal/class", wording=0, samples=24, paths=0, ablation="none")
    assert other.head(3, 4).share == pytest.approx(other.head(3, 4).value / other.total())


def test_whether_a_whole_is_next_to_nothing() -> None:
    assert is_nothing(0.04, 0.03, 0.05) and is_nothing(2.0, -0.1, 4.0) and is_nothing(0.01, None, None)
    assert not is_nothing(2.0, 0.1, 4.0) and not is_nothing(-2.0, None, None)
