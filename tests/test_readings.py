"""Sentences are made from findings alone."""

from __future__ import annotations

from ivx.analysis.maps import Column
from ivx.analysis.result import Cell
from ivx.ui.readings import reading

COLUMNS = (Column("animal", 0), Column("<b>", 1))


def cell(state: str, value: float, *, layer: int = 3, column: int = 0, control: float = 0.1) -> Cell:
    ends = (value - 0.2, value + 0.2)
    return Cell(
        "resid_post", layer, column, f"resid_post.{layer}@{column}", value, *ends, control, 0, 0, state, 40, 0.9
    )


def said(*cells: Cell) -> str:
    return reading(cells, COLUMNS, unit="logits")


def test_a_finding_is_told_with_interval_and_control() -> None:
    text = said(cell("ok", 2.67), cell("control", 4.5, layer=0, control=4.8), cell("zero", 0.01, layer=7))
    assert "L3 at animal" in text and "+2.67" in text and "[+2.47, +2.87]" in text and "+0.10" in text
    assert "L0 at animal moves it +4.50, but another task’s vector +4.80" in text


def test_without_a_finding_there_is_no_evidence_and_an_estimate_is_none() -> None:
    assert "no evidence" in said(cell("control", 4.5, control=4.8), cell("zero", 0.0))
    assert "+4" not in said(cell("ok", 1.0), cell("estimate", 4.0))
    assert said(cell("estimate", 4.0)) == "Nothing is computed here yet: the shades are estimates."
    assert said() == ""


def test_tokens_are_text() -> None:
    text = said(cell("ok", 2.0, column=1))
    assert "at &lt;b&gt;</b>" in text and "at <b>" not in text
