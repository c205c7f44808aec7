"""Sentences are made from findings alone."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from ivx.analyses.effects.request import EffectsRequest
from ivx.analyses.interactions.request import InteractionsRequest
from ivx.charts.pairs import STRICT, Pair
from ivx.models.load import load
from ivx.patching.cells import Cell
from ivx.patching.positions import Column
from ivx.patching.prepare import samples_of
from ivx.stats.power import unable
from ivx.stats.verdict import Against, Verdict
from ivx.tasks.samples import Samples
from ivx.ui.interactions.card import pair_reading, split_reading
from ivx.ui.kit import evidence
from ivx.ui.kit.readings import reading, said_of, unbeaten
from tests.support.results import cell

COLUMNS = (Column("animal", 0), Column("<b>", 1))


def beside(mean: float, *, p: float = 0.001) -> Against:
    return Against(mean, mean - 0.1, mean + 0.1, p)


def said(*cells: Cell, **controls: dict[str, Against]) -> str:
    against = {c.patch: controls.get(f"layer{c.layer}", {"task": beside(0.1)}) for c in cells}
    return reading(cells, COLUMNS, metric="contrast", against=against)


def test_a_finding_is_told_with_interval_and_its_nearest_control() -> None:
    text = said(
        cell("ok", 2.67),
        cell("control", 4.5, layer=0),
        cell("zero", 0.01, layer=7),
        layer0={"task": beside(4.8, p=1.0), "random": beside(0.2)},
        layer3={"task": beside(0.1), "random": beside(0.6), "shuffled": beside(2.7, p=1.0)},
    )
    assert "L3 at animal" in text and "+2.67" in text and "[+2.47, +2.87]" in text
    assert "a random vector of its norm +0.60" in text, (
        "another sample's is no bar, and the nearest of the rest is told"
    )
    assert "Hatched: L0 at animal +4.50, another task’s vector +4.80." in text


def test_what_is_told_of_a_hatched_cell_is_a_control_that_it_does_not_beat() -> None:
    near, far = beside(3.4, p=0.4), beside(-3.0)
    text = said(cell("control", -3.3), layer3={"task": near, "random": beside(-3.2, p=0.2), "neutral": far})
    assert "no evidence" in text and "L3 at animal −3.30, a random vector of its norm −3.20" in text
    assert unbeaten(-3.3, {"task": near, "neutral": beside(-1.0)}, floor=0.05) == ["task"]


def test_an_effect_beats_a_control_by_its_test_and_by_enough() -> None:
    assert beside(1.0).is_beaten(2.0, floor=0.05) and beside(-1.0).is_beaten(-2.0, floor=0.05)
    assert not beside(1.0, p=0.06).is_beaten(2.0, floor=0.05)
    assert not beside(1.9).is_beaten(2.0, floor=0.05), "a tenth of the effect itself"
    assert not beside(3.0).is_beaten(2.0, floor=0.05) and not beside(0.0).is_beaten(0.04, floor=0.05)


def test_without_a_finding_there_is_no_evidence_and_an_estimate_is_none() -> None:
    assert "no evidence" in said(cell("control", 4.5), cell("zero", 0.0))
    assert "+4" not in said(cell("ok", 1.0), cell("estimate", 4.0))
    assert said(cell("estimate", 4.0)) == "Nothing is computed here yet: the shades are estimates."
    assert said() == ""


def test_a_no_says_what_it_leaves_open() -> None:
    few = [replace(cell("zero", 4.0), n=5)]
    assert "with n = 5 no test can tell anything from 0: ask for 6 samples" in said(*few)
    many = [replace(cell("zero", 0.1, layer=i), n=10) for i in range(60)]
    assert "with n = 10 no test can tell one cell alone, of 60, from 0: ask for 12 samples" in said(*many)
    assert "Up to ±0.30 is not ruled out" in said(cell("zero", 0.1))
    assert said_of(cell("zero", 0.1)) == "not different from 0, though up to ±0.30 is not ruled out"
    assert "less than what counts" in said_of(cell("zero", 0.0), floor=0.5)
    assert "with n = 5 no test" in pair_reading([], unit="logits", n=5)
    for n, cells in ((6, 1), (12, 60), (17, 2_016)):
        assert not unable(n, cells=cells) and unable(n - 1, cells=cells)


def test_without_controls_nothing_is_beyond_them() -> None:
    pairs = [Pair(1, 4, "a", -9.1, "ok", "", name="L1 with L4")]
    text = pair_reading(pairs, unit="logits", n=40, controlled=False)
    assert "no control was run" in text and "beyond" not in text and "less together than apart" in text
    assert said_of(cell("ok", 2.0), controlled=False) == "differs from 0; no control was run"
    bare = reading([cell("zero", 0.1)], COLUMNS, metric="contrast", against={})
    assert "controls" not in bare


def test_signs_and_ties_are_told() -> None:
    assert "away from the answer" in said(cell("ok", -2.0)) and "away" not in said(cell("ok", 2.0))
    assert "Within its interval: L2 at animal +1.95" in said(cell("ok", 2.0), cell("ok", 1.95, layer=2))
    assert "Within its interval" not in said(cell("ok", 2.0), cell("ok", 1.5, layer=2), cell("ok", -1.95, layer=4))


def test_tokens_are_text() -> None:
    text = said(cell("ok", 2.0, column=1))
    assert "at &lt;b&gt;</b>" in text and "at <b>" not in text


def test_pairs_are_told_by_their_names_and_halves_by_what_holds() -> None:
    pairs = [
        Pair(1, 4, "a", 9.1, "ok", STRICT, name="L1 <with> L4"),
        Pair(0, 1, "b", -12.0, "control", name="L0 with L1"),
    ]
    text = pair_reading(pairs, unit="logits", n=40)
    assert "<b>1 pair</b> interacts" in text and "L1 &lt;with&gt; L4, +9.10" in text and "12" not in text
    held, fell = (Verdict(1.0, 0.5, 1.5, 0.01, 1.0, state) for state in ("ok", "control"))
    assert "<b>1 of 2</b> pairs hold" in split_reading({"a": held, "b": fell}) and split_reading({}) == ""


def test_answers_of_a_file_are_text_on_a_card_and_added_differences_write_none() -> None:
    evil = "<img src=x>"
    row = samples_of(load("tiny-sft"), EffectsRequest("tiny-sft", "animal/colour", samples=2))[1].rows[0]
    asked = Samples(tuple(replace(row, answer=evil) for _ in range(3)), (), ())
    text = evidence.spread([{"answer": evil, "query": evil, "effect": 1.0}] * 3, asked)
    assert text.count("&lt;img src=x&gt;") == 6 and "<img" not in text
    for patch, written in (("overwrite", True), ("delta", False)):
        request = InteractionsRequest("tiny-sft", "animal/colour", patch=patch)
        result = SimpleNamespace(request=request, receipt={})
        assert evidence.follows(result, [{}, {}], live=False) == written
