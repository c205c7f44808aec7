"""The charts of pathways: what stands in their specs, and that they draw."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import pytest
import vl_convert

from ivx.charts.flow import DENSE, NAMES, RIBBONS, SHOWN, STAYS, Ribbon, Stay, flow, height_of, smooth
from ivx.charts.overlap import LEVELS, Level, Size, faithfulness_chart, overlap_chart
from ivx.charts.palette import DARK, LIGHT, Palette
from ivx.charts.row import GIVEN, MOST, Given, attention_row
from ivx.charts.starts import Began, starts_chart

LABELS = ["name", "it's", "‹query›", ":"]
RIBBONS_DRAWN = [
    Ribbon("1.2@after:1~query", 1, 2, 3, "toward", 0.4, "L1 H2", "told"),
    Ribbon("2.0@after:1~t_inst", 2, 1, 3, "shared", 1.0, "L2 H0", "told"),
    Ribbon("0.3@query~before:1", 0, 0, 2, "away", 0.01, "L0 H3", "told"),
]


def drawn(labels: list[str] = LABELS, **changes: Any) -> tuple[dict, str]:
    asked = {"layers": 3, "marked": 1, "palette": LIGHT, "alt_text": "A flow", **changes}
    spec = flow(RIBBONS_DRAWN, [Stay(2, 3, 0.7)], labels, **asked)
    return spec, vl_convert.vegalite_to_svg({**spec, "width": 300}, allowed_base_urls=[])


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_a_ribbon_is_as_wide_as_its_share_and_thin_ones_lie_above(palette: Palette) -> None:
    spec, svg = drawn(palette=palette, chosen="1.2@after:1~query")
    rows = spec["datasets"][RIBBONS]
    assert [row["name"][:3] for row in rows] == ["2.0", "0.3", "1.2"], "the chosen one is drawn last"
    assert [row["w"] for row in rows] == [12.0, 0.9, 4.8] and rows[2]["chosen"]
    assert all(row["y0"] == int(row["name"][0]) - 1 for row in rows), "a head reads what the block before it left"
    assert spec["datasets"][STAYS] == [{"x": 3, "y": 1, "y2": 2, "w": 8.4}]
    for colour in (palette.diverging[6], palette.diverging[2]):
        assert f'stroke="{colour.lower()}"' in svg.lower()
    assert "undefined" not in svg and "NaN" not in svg and "T_inst" in svg and ">it's<" in svg and ">emb<" in svg


def test_a_click_is_told_by_name_on_ribbons_and_on_heads() -> None:
    spec, _ = drawn()
    chosen = {param["name"]: param["select"]["fields"] for param in spec["params"] if "select" in param}
    assert chosen == {"edge": ["name"], "head": ["name"]}
    heads = {row["text"]: row["name"] for row in spec["datasets"][NAMES]}
    assert heads["L2 H0"] == "2.0" and heads["L1 H2"] == "1.2"


def test_names_stand_clear_of_one_another() -> None:
    crowd = [Ribbon(f"5.{i}@a~b", 5, 0, 9, "toward", 1 - i / 50, f"L5 H{i}", "") for i in range(12)]
    spec = flow(crowd, [], [str(i) for i in range(10)], layers=8, marked=None, palette=LIGHT)
    placed = sorted((row["x"], row["y"]) for row in spec["datasets"][NAMES])
    assert 1 < len(placed) <= 4 and all(b[0] - a[0] > 1 for a, b in pairwise(placed))
    assert smooth(0) == 0 and smooth(1) == 1 and smooth(0.5) == 0.5


def test_of_many_columns_only_those_that_are_touched_are_labelled() -> None:
    labels = [f"t{i}" for i in range(2 * DENSE)]
    spec, svg = drawn(labels, marked=7)
    assert next(param["value"] for param in spec["params"] if param["name"] == SHOWN) == [0, 1, 2, 3, 7]
    assert ">t7<" in svg and ">t3<" in svg and ">t9<" not in svg
    assert {f">{label}<" in drawn()[1] for label in LABELS} == {True}


def test_a_redraw_builds_nothing_anew() -> None:
    """A frame of 32 layers and 60 columns is built once: later drawings of any size only fill it."""
    labels = [f"t{i}" for i in range(60)]
    flow([], [], labels, layers=32, marked=50, palette=LIGHT, row=14)
    many = [Ribbon(f"{i % 32}.{i}@a~b", i % 32, i % 50, 59, "toward", 1 / (1 + i), "", "") for i in range(400)]
    began = time.process_time()
    spec = flow(many, [], labels, layers=32, marked=50, palette=LIGHT, row=14, alt_text="another")
    assert time.process_time() - began < 0.1 and len(spec["datasets"][RIBBONS]) == 400
    assert spec["description"] == "another"


KINDS = ((0.001, "means"), (0.2, ""), (0.001, "either"))


def test_layers_stand_at_one_height_in_flow_and_overlap() -> None:
    levels = [Level(i, 0.2 + 0.1 * i, 0.2, 0.6, 0.9, p, apart) for i, (p, apart) in enumerate(KINDS)]
    spec, flow_spec = overlap_chart(levels, layers=3, palette=LIGHT, alt_text="Overlap"), drawn()[0]
    assert spec["height"] == flow_spec["height"] == height_of(3, 42) and spec["padding"]["top"] == 4
    assert [row["apart"] for row in spec["datasets"][LEVELS]] == [True, False, False]
    svg = vl_convert.vegalite_to_svg({**spec, "width": 200}, allowed_base_urls=[])
    assert "100%" in svg and "NaN" not in svg
    domains = {str(part["encoding"]["y"]["scale"]["domain"]) for s in (spec, flow_spec) for part in s["layer"]}
    assert len(domains) == 1


def test_faithfulness_holds_every_interval() -> None:
    sizes = [Size(n, k, k - 0.2, k + 0.2, 0.1, -0.4, 0.3) for n, k in ((1, 0.1), (2, 0.7), (4, 1.3))]
    spec = faithfulness_chart(sizes, unit="heads", palette=DARK)
    low, high = spec["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert low <= -0.4 and high >= 1.5
    assert "heads kept" in vl_convert.vegalite_to_svg({**spec, "width": 200}, allowed_base_urls=[])
    wide = faithfulness_chart([Size(1, 40.0, -90.0, 90.0, 0, 0, 0)], unit="heads", palette=LIGHT)
    assert "values" not in wide["layer"][0]["encoding"]["y"]["axis"], "where shares run wild the axis says so"


def test_a_row_names_what_is_given_most() -> None:
    given = [Given(i, f"t'{i}", 1 / (i + 2), 0.3 if i else -0.3, 0.2 if i < 2 else 0.0) for i in range(40)]
    spec = attention_row(given, palette=LIGHT, chosen=1)
    values = spec["datasets"][GIVEN]
    assert len(values) == MOST and [v["kind"] for v in values[:3]] == ["away", "toward", "none"]
    assert [v["chosen"] for v in values[:3]] == [False, True, False] and values[0]["text"] == "50%"
    assert ">t'0<" in vl_convert.vegalite_to_svg({**spec, "width": 400}, allowed_base_urls=[])


@pytest.mark.parametrize("form", ["percent", "times"])
def test_starts_stand_in_reading_order_beside_what_chance_gives(form: str) -> None:
    rows = [Began(0, "a", "#111111", 0.0, 0.0, 0.2, 0.4), Began(1, "a", "#111111", 0.9, 0.8, 1.0, 0.1)]
    spec = starts_chart(rows, ["first", "last's"], palette=LIGHT, form=form)
    drawn = vl_convert.vegalite_to_svg({**spec, "width": 300})
    assert "NaN" not in drawn and "undefined" not in drawn and "last" in drawn
    told = spec["datasets"]["starts"]
    assert [row["row"] for row in told] == [0, 1] and all("by chance" in row["told"] for row in told)
