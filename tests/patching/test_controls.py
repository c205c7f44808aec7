"""Controls, ablations and named positions: every role's rows against single rows patched by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from transformers import AutoTokenizer

import ivx
from ivx.analyses import registry
from ivx.analyses.effects.request import EffectsRequest, ScanRequest
from ivx.analyses.effects.result import Effects
from ivx.engine.address import Patch, parse
from ivx.errors import Cancelled, IvxError
from ivx.jobs.compute import computed
from ivx.jobs.replay import ReplayRequest, replay
from ivx.models.model import Model
from ivx.models.registry import EMBEDDED
from ivx.patching.positions import placed, told_columns
from ivx.patching.roles import Runs, variant
from ivx.stats.verdict import verdicts
from ivx.store.store import Store
from ivx.tasks import catalogue
from ivx.tasks.sample import Sample
from ivx.tasks.samples import build
from tests.support import oracle
from tests.support.random_models import random_model
from tests.support.tokenizers import tokenizer

TOKENIZER = AutoTokenizer.from_pretrained(EMBEDDED / "tiny-sft-period", local_files_only=True)
MODEL = random_model("gpt2", tokenizer=TOKENIZER)
TASK = "tiny-period:animal/colour"
EVERY = ("task", "random", "neutral", "shuffled")
UNEVEN = random_model("gpt2", tokenizer=tokenizer("bos"))
"""Its tokenizer cuts words: queries and wordings are of any length, and the full stop is a token."""
NAMED = "english:animal/colour"


def states(model: Model, ids: tuple[int, ...], site: str, layer: int) -> torch.Tensor:
    return oracle.states(model.hf, "gpt2", list(ids), (site, layer))


def span(sample: Sample, prompt: tuple[int, ...]) -> tuple[int, int]:
    """First and last token of the query, looked for from the prompt's end."""
    words = sample.target[slice(*sample.query_span)]
    at = next(i for i in range(len(prompt) - len(words), -1, -1) if prompt[i : i + len(words)] == words)
    return at, at + len(words) - 1


def where(found: Effects, site: str, column: int, sample: Sample, prompt: tuple[int, ...]) -> int:
    """The position that a column of the told prompt means, from the labels and their order alone."""
    labels, position = [c.label for c in found.maps[site]], found.maps[site][column].position
    if len(labels) == 1:
        return int(position) % len(prompt)
    first, last = span(sample, prompt)
    query = [k for k, label in enumerate(labels) if "‹" in label or "›" in label]
    if labels[column] in ("T_inst", "keyword"):
        return {"T_inst": sample.t_inst, "keyword": sample.keyword}[labels[column]]  # type: ignore[return-value]
    if column < query[0]:
        return first - (query[0] - column)
    if column > query[-1]:
        return len(prompt) - (len(labels) - column)
    return first if "‹" in labels[column] else last


def partner(rows: tuple[Sample, ...], i: int) -> int:
    later = [(i + k) % len(rows) for k in range(1, len(rows))]
    return next((j for j in later if rows[j].instruction.text != rows[i].instruction.text), later[0])


def told_as(found: Effects, role: str) -> tuple[Sample, ...]:
    return {"control": found.samples.control, "neutral": found.samples.neutral}.get(role, found.samples.rows)


def by_hand(model: Model, found: Effects, role: str, site: str, layer: int, column: int, i: int) -> float:
    """The answer's logit of one row: prompts, positions and value worked out here, and one forward pass."""
    request, rows = found.request, told_as(found, role)
    assert isinstance(request, EffectsRequest)
    direction, head = request.direction, column if site == "z" else None
    other = partner(found.samples.rows, i)
    if direction == "denoise":
        target, whose = found.samples.rows[i].target, rows[other if role == "shuffled" else i]
        source = whose.instructed if site == "z" else whose.source
        taken = len(source) - 1
        positions = [len(target) - 1 if site == "z" else int(found.maps[site][column].position)]
    else:
        target = rows[i].instructed
        swapped = role == "shuffled" or direction == "resample"
        whose = rows[other if swapped else i]
        source = whose.target if direction == "noise" and not swapped else whose.instructed
        answer = len(target) - 1, len(source) - 1
        at, taken = (
            answer
            if site == "z"
            else (
                where(found, site, column, rows[i], target),
                where(found, site, column, whose, source),
            )
        )
        everywhere = site == "z" and direction in ("zero", "mean") and request.position == "all"
        positions = list(range(len(target))) if everywhere else [at]
    theirs, heads = states(model, source, site, layer), 4

    def value(position: int) -> torch.Tensor:
        here = position if len(positions) > 1 else taken
        if role == "random":
            patch = Patch(site, layer, position, head)
            return oracle.random_state(
                patch, target=target, source=source, taken=here, theirs=theirs[here], heads=heads
            )
        if role == "shuffled" or direction not in ("zero", "mean"):
            return theirs[here]
        if direction == "zero":
            return torch.zeros_like(theirs[here])
        every = [
            state
            for s in rows
            for k, state in enumerate(states(model, s.instructed, site, layer))
            if len(positions) > 1
            or k == (len(s.instructed) - 1 if site == "z" else where(found, site, column, s, s.instructed))
        ]
        return torch.stack(every).mean(dim=0)

    values = {position: value(position) for position in positions}

    def edit(state: torch.Tensor) -> torch.Tensor:
        state = state.clone()
        wide = state.shape[-1] // heads
        part = slice(None) if head is None else slice(head * wide, (head + 1) * wide)
        for position, new in values.items():
            state[0, position, part] = new[part]
        return state

    logits = oracle.run(model.hf, "gpt2", list(target), {(site, layer): edit})
    return float(logits[found.samples.rows[i].answer_id])


def check(model: Model, found: Effects, *, layers: tuple[int, ...] = (0, 2)) -> None:
    rows = {(r["role"], r["site"], r["patch"], r["sample"]): r["logit"] for r in found.table.to_pylist()}
    assert len(rows) == found.table.num_rows
    roles = ["effect", *("control" if name == "task" else name for name in found.controls)]
    places = {site: len(found.places(site)) + 1 for site in found.maps}
    assert len(rows) == len(found.samples.rows) * (1 + len(roles) * sum(places.values()))
    for role in roles:
        for site in found.maps:
            for i, sample in enumerate(told_as(found, role)):
                bare = found.request.direction == "denoise"
                prompt = found.samples.rows[i].target if bare else sample.instructed
                logits = oracle.run(model.hf, "gpt2", list(prompt), {})
                answer = found.samples.rows[i].answer_id
                assert rows[role, site, "", i] == pytest.approx(float(logits[answer]), abs=1e-9)
            for layer, column, patch in found.places(site):
                i = (layer + column) % len(found.samples.rows)
                if layer in layers:
                    wanted = by_hand(model, found, role, site, layer, column, i)
                    assert rows[role, site, variant(role, patch), i] == pytest.approx(wanted, abs=1e-9), (role, patch)


DIRECTIONS = [
    ("denoise", EVERY),
    ("noise", EVERY),
    ("zero", ("task", "random", "neutral")),
    ("mean", ("neutral", "task", "random")),
    ("resample", ("task", "random", "neutral")),
]


@pytest.mark.parametrize(("direction", "controls"), DIRECTIONS)
def test_every_role_is_what_single_rows_patched_by_hand_give(direction: str, controls: tuple[str, ...]) -> None:
    sites = ("resid_post", "z", "mlp_out") if direction != "mean" else ("resid_mid", "z")
    check(MODEL, ivx.effects(MODEL, TASK, samples=3, direction=direction, controls=controls, sites=sites))


@pytest.mark.parametrize(
    ("direction", "controls"), [("noise", EVERY), ("zero", EVERY), ("mean", ("shuffled",)), ("resample", ("random",))]
)
def test_prompts_of_any_length_align_by_name(direction: str, controls: tuple[str, ...]) -> None:
    sites = ("resid_pre", "attn_out") if direction in ("zero", "mean") else ("resid_pre", "z")
    found = ivx.effects(UNEVEN, NAMED, samples=4, direction=direction, controls=controls, sites=sites)
    assert len({s.query_span[1] - s.query_span[0] for s in found.samples.rows}) > 1
    labels = [column.label for column in found.maps["resid_pre"]]
    assert ("T_inst" in labels) == ("keyword" in labels) == (direction != "noise")
    assert {"‹query…", "…query›"} <= set(labels)
    assert any(isinstance(column.position, str) for column in found.maps["resid_pre"])
    check(UNEVEN, found, layers=(1,))


def test_one_position_of_the_told_run() -> None:
    last = ivx.effects(MODEL, TASK, samples=3, direction="zero", position="last", sites=("resid_post", "z"))
    assert {p.partition("@")[2] for _, _, p in (*last.places("z"), *last.places("resid_post"))} == {"-1=zero"}
    check(MODEL, last)
    first = ivx.effects(MODEL, TASK, samples=2, direction="resample", position="first", sites=("resid_post",))
    assert [p for _, _, p in first.places("resid_post")] == [f"resid_post.{layer}@0" for layer in range(3)]


def test_a_cut_run_with_names_goes_on_and_is_replayed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for request in (
        EffectsRequest(UNEVEN.name, NAMED, samples=4, direction="mean", controls=("random",), sites=("mlp_out",)),
        ScanRequest(UNEVEN.name, NAMED, samples=4, controls=("task", "random", "identity", "aggregation")),
    ):

        def stop(result: Effects, done: int, total: int) -> None:
            if done > total // 2:
                raise Cancelled

        with pytest.raises(Cancelled):
            computed(store, UNEVEN, request, on_progress=stop)
        counts: list[tuple[int, int]] = []
        found = computed(store, UNEVEN, request, on_progress=lambda _, *n, counts=counts: counts.append(n))
        analysis = ivx.scan if request.kind == "scan" else ivx.effects
        whole = analysis(
            UNEVEN, request.task, **{k: v for k, v in request.__dict__.items() if k not in ("checkpoint", "task")}
        )
        key = [(name, "ascending") for name in ("role", "site", "patch", "sample")]
        one, two = found.table.sort_by(key), whole.table.sort_by(key)
        assert store.find(found.run_id).receipt["resumed_rows"] > 0  # type: ignore[union-attr, index]
        assert counts[-1][0] == counts[-1][1] == one.num_rows - 4
        assert all(one[name].equals(two[name]) for name, _ in key)
        assert np.abs(one["logit"].to_numpy() - two["logit"].to_numpy()).max() < 1e-9
        again = replay(store, UNEVEN, ReplayRequest(UNEVEN.name, found.run_id, rows=40, seed=1))
        assert {row[0] for row in again.rows} >= {"effect", "random"} and again.largest < 1e-9
        asked = {"kind": request.kind, **{name: found.receipt[name] for name in ("request", "checkpoint")}}
        kept, context = json.loads(json.dumps([asked, registry.context(found)]))
        back = registry.restored(kept, context, found.table, found.receipt)
        assert registry.checked(back).request == request and back.maps == found.maps
        assert back.cells(request.sites[0]) == found.cells(request.sites[0])


def test_names_become_each_samples_numbers() -> None:
    target, source = {"t_inst": -7, "query-1": -5}, {"t_inst": -9, "query-1": -4}
    assert placed("z.1.2@query-1", target, source) == "z.1.2@-5~-4"
    assert (
        placed("z.1.2@t_inst=zero,mlp_out.0@-1~query-1=random", target, source)
        == "z.1.2@-7=zero,mlp_out.0@-1~-4=random"
    )
    assert placed("resid_post.3@0~-1", {}, {"-1": -2}) == "resid_post.3@0~-2"
    assert placed("z.1.2@query-1,mlp_out.0@t_inst=own", target, source) == "z.1.2@-5~-4,mlp_out.0@-7=own"


def test_an_own_value_is_that_in_every_role() -> None:
    patch, words = "resid_post.1@0~keyword,mlp_out.2@1=mean,resid_post.3@0=own", ("keyword", "word")
    told = {
        "control": patch,
        "random": "resid_post.1@0~keyword=random,mlp_out.2@1=random,resid_post.3@0=own",
        "shuffled": "resid_post.1@0~keyword,mlp_out.2@1,resid_post.3@0=own",
        "aggregation": patch.replace(*words),
    }
    for role, wanted in told.items():
        assert variant(role, patch) == wanted
        parse(placed(wanted, {}, dict.fromkeys(words, -1)))
    prompts = [(5, 6, 7), (8, 9, 10, 11)]
    runs = Runs("effect", prompts, prompts, prompts, [({}, {"keyword": 0})] * 2)
    assert runs.averaged(patch) == [(ids, 1) for ids in prompts]


def test_the_keyword_has_a_column_of_its_own_where_it_is_not_the_last_token() -> None:
    rows = build(catalogue.find(TASK), TOKENIZER, samples=3).rows
    columns = told_columns(MODEL, rows, noise=False)
    assert [c.label for c in columns[:2]] == ["keyword", "T_inst"]
    assert [c.position for c in columns[:2]] == [-8, -7]
    moved = (replace(rows[0], keyword=rows[0].t_inst), *rows[1:])
    assert told_columns(MODEL, moved, noise=False)[0].position == "keyword"
    with pytest.raises(IvxError, match="target format prompt or chat"):
        ivx.effects(MODEL, TASK, samples=2, direction="zero", target_format="query")


def test_a_finding_beats_every_real_control() -> None:
    rng = np.random.default_rng(0)
    effect = rng.normal(2, 0.3, (4, 40))
    weak, strong = rng.normal(0, 0.3, (4, 40)), effect + rng.normal(0, 0.1, (4, 40))
    states = [
        [v.state for v in verdicts(effect, *task, floor=0.05, others=others, beside=beside)]
        for task, others, beside in (
            ((weak,), {"random": weak}, ()),
            ((weak,), {"random": strong}, ()),
            ((weak,), {"shuffled": strong}, ("shuffled",)),
            ((None,), {"neutral": strong}, ()),
            ((strong,), {"neutral": weak}, ()),
        )
    ]
    assert states == [["ok"] * 4, ["control"] * 4, ["ok"] * 4, ["control"] * 4, ["control"] * 4]


def test_another_wording_keeps_the_vector_and_no_control_does() -> None:
    """On the embedded family: the map of another wording is the map; z of another query is not."""
    found = ivx.effects("tiny-sft", "animal/colour", controls=EVERY, position="first", samples=40)
    best = max(found.cells("resid_post"), key=lambda cell: cell.value)
    against = found.against("resid_post", best.patch)
    assert best.state == "ok" and list(against) == list(EVERY)
    assert against["shuffled"].low < best.value < against["shuffled"].high
    assert max(against[name].high for name in ("task", "random", "neutral")) < best.low
    assert against["task"] == (best.control, best.control_low, best.control_high, best.p_control)
    alone = ivx.effects("tiny-sft", "animal/colour", position="first", samples=40)
    assert [c.value for c in alone.cells("resid_post")] == pytest.approx(
        [c.value for c in found.cells("resid_post")], abs=1e-4
    )
    with pytest.raises(IvxError, match="no finished cell"):
        found.against("resid_post", "resid_post.99@0~-1")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"controls": ("tasks",)}, "name each once, of task, random, neutral, shuffled"),
        ({"controls": ("task", "task")}, "name each once"),
        ({"direction": "resample", "controls": ("shuffled",)}, "resampling is itself"),
        ({"direction": "mean", "controls": ("shuffled",)}, "heads at all positions"),
    ],
)
def test_controls_that_cannot_be(changed: dict, told: str) -> None:
    with pytest.raises(IvxError, match=told):
        EffectsRequest("tiny-sft", "animal/colour", **changed)


def test_pairing_needs_others(tmp_path: Path) -> None:
    with pytest.raises(IvxError, match="two at least"):
        ivx.effects(MODEL, TASK, samples=1, controls=("shuffled",))
    (tmp_path / "one.csv").write_text("query,answer,contrast,instruction\npig,pink,no,Name it.\ncrow,black,yes,\n")
    with pytest.raises(IvxError, match="needs two wordings"):
        ivx.effects(UNEVEN, str(tmp_path / "one.csv"), controls=("shuffled",))
    alone = ivx.effects(UNEVEN, str(tmp_path / "one.csv"), controls=("shuffled",), sites=("z",))
    assert alone.controls == ["shuffled"] and len(alone.cells("z")) == 12


def test_further_other_tasks_are_controls_and_the_strongest_counts() -> None:
    asked: dict[str, Any] = {"samples": 12, "sites": ("resid_post",), "position": "first"}
    one = ivx.effects("tiny-sft", "animal/colour", controls=("task",), **asked)
    found = ivx.effects("tiny-sft", "animal/colour", controls=("task", "task2", "task3"), **asked)
    assert found.samples.rows == one.samples.rows and found.samples.control == one.samples.control
    assert len(found.samples.others) == 2 and set(found.controls) == {"task", "task2", "task3"}
    pair = catalogue.find("animal/colour", collection="tiny")
    assert len({pair.control.field if pair.control else "", *(task.field for task in pair.others)}) == 3
    table = found.table
    for k, role in enumerate(("control2", "control3")):
        rows = table.filter((pc.field("role") == role) & (pc.field("patch") == "resid_post.2@0~-1")).sort_by("sample")
        again = ivx.sweep(
            ivx.load("tiny-sft"),
            source=[sample.source for sample in found.samples.others[k]],
            target=[sample.target for sample in found.samples.rows],
            answer=[sample.answer_id for sample in found.samples.rows],
            patches=["resid_post.2@0~-1"],
            engine="hooks",
        )
        assert rows["logit"].to_numpy() == pytest.approx(again["logit"].to_numpy()[12:], abs=1e-4)
    for cell in found.cells("resid_post"):
        against = found.against("resid_post", cell.patch)
        beaten = all(of.is_beaten(cell.value, floor=0.05) for of in against.values())
        assert (cell.state == "ok") == beaten or cell.state == "zero"
    # What has no such task does without it.
    alone = replace(catalogue.find("animal/colour"), others=())
    assert build(alone, tokenizer("bos"), samples=2, controls=("task2", "task3")).others == ()
