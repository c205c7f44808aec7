"""Charts are pure functions: what stands in a spec, and that it draws."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import altair as alt
import pytest
import vl_convert

from ivx.analyses.lens.result import LensCell
from ivx.charts import frame
from ivx.charts.attention import attention_map
from ivx.charts.bench import strength_curve
from ivx.charts.dumbbell import dumbbell
from ivx.charts.figure import beside
from ivx.charts.frame import CROWDED, LEAST, labelled
from ivx.charts.heatmap import Tile, heatmap
from ivx.charts.lens import lens_grid
from ivx.charts.lines import lines
from ivx.charts.losses import losses
from ivx.charts.numbers import scale_of, signed
from ivx.charts.pairs import layers_laid
from ivx.charts.palette import DARK, LIGHT, Palette
from ivx.charts.parts import Part, parts_chart
from ivx.charts.place import LEFT, Strip, place_chart
from ivx.charts.scatter import Dot, scatter
from ivx.charts.strip import Bar, strip
from ivx.charts.ways import Square, ways_chart

TILES = [
    Tile(0, 0, 2.5, "ok"),
    Tile(0, 1, -2.5, "control"),
    Tile(1, 0, 0.01, "zero"),
    Tile(1, 1, 1.0, "estimate"),
]


def drawn(**changes: Any) -> tuple[dict, str]:
    asked = {"layers": 3, "scale": 3.0, "palette": LIGHT, "selected": (0, 1), "bold": 0, **changes}
    spec = heatmap(TILES, ["animal", "it's"], **asked)
    return spec, vl_convert.vegalite_to_svg({**spec, "width": 200})


def test_only_findings_carry_numbers() -> None:
    spec, svg = drawn()
    by_place = {(v["layer"], v["column"]): v for v in spec["datasets"]["tiles"]}
    assert len(by_place) == 6 and by_place[0, 0]["text"] == "+2.5"
    assert all(v["text"] == "" for place, v in by_place.items() if place != (0, 0))
    assert by_place[0, 1]["hatch"] and not by_place[1, 1]["hatch"] and by_place[2, 0]["state"] == "empty"
    assert ">+2.5<" in svg and ">animal<" in svg and ">it's<" in svg and ">L2<" in svg


def test_axes_hold_their_cells_and_nothing_else() -> None:
    cases: list[dict[str, Any]] = [{}, {"selected": None}, {"palette": DARK}, {"layers": 20}]
    for changes in cases:
        spec, svg = drawn(**changes)
        assert "undefined" not in svg and "NaN" not in svg
        assert spec["layer"][0]["encoding"]["y"]["scale"]["domain"] == list(range(changes.get("layers", 3)))[::-1]


@pytest.mark.parametrize(
    "drawn",
    [
        lambda at: heatmap(TILES, ["a", "b"], layers=2, scale=3.0, palette=LIGHT, selected=at, bold=at and at[1]),
        lambda at: lens_grid([], ["a", "b"], layers=2, palette=LIGHT, chosen=at),
        lambda at: ways_chart(
            [Square("t", way, "empty") for way in "ab"], tasks=["t"], ways=["a", "b"], palette=LIGHT,
            selected=at and ("t", "ab"[at[1]]),
        ),
        lambda at: dumbbell([], layers=2, palette=LIGHT, selected=at and at[0]),
        lambda at: losses([], layers=2, palette=LIGHT, selected=at and at[0]),
        lambda at: strip([], layers=2, palette=LIGHT, marked=[] if at is None else [at[0]]),
        lambda at: lines([], layers=2, palette=LIGHT, domain=(0, 1), marked=at and at[0], row_labels=True),
    ],
)  # fmt: skip
def test_a_click_changes_nothing_but_what_is_chosen(drawn: Callable[[tuple[int, int] | None], dict[str, Any]]) -> None:
    places = [drawn(at) for at in (None, (0, 1), (1, 0))]
    told = [[str(spec["datasets"].pop(frame.CHOSEN)), str(spec["config"])] for spec in places]
    assert len({chosen for chosen, _ in told}) == 3
    assert places[0] == places[1] == places[2], "else the browser draws the whole chart anew"


def test_what_is_chosen_stays_marked_in_a_picture_of_several() -> None:
    spec, svg = drawn(selected=(1, 0), bold=0)
    bold = re.compile(r'font-weight="700"[^>]*>([^<]+)<')
    assert set(bold.findall(svg)) == {"L1", "animal"}
    title = {"title": {"text": "t"}, "width": 200}
    both = vl_convert.vegalite_to_svg(beside([{**spec, **title}, {**drawn(selected=None)[0], **title}]).to_dict())
    assert bold.findall(both).count("L1") == 1 and bold.findall(both).count("animal") == 2


@pytest.mark.parametrize(
    ("cell", "seen", "bare"),
    [(140, "90% [70, 97]", "untold 30"), (60, "90%", "untold 30"), (40, "90%", "30"), (20, "", "")],
)
def test_a_number_is_written_as_its_cell_has_room(cell: int, seen: str, bare: str) -> None:
    square = Square("t", "a", "follows", (0.9, 0.7, 0.97), (0.3, 0.15, 0.52), 20)
    spec = ways_chart([square], tasks=["t"], ways=["a", "b"], palette=LIGHT)
    svg = vl_convert.vegalite_to_svg({**spec, "width": 2 * cell, "autosize": "none"})
    written = [one for one in re.findall(r">([^<>]+)</text>", svg) if re.match(r"\d|untold", one)]
    assert written == [one for one in (seen, bare) if one]
    strip = Strip("s", 0, (), 0.75, chosen=False, told="")
    asked: dict[str, Any] = {"sources": [("s", "s")], "columns": [("a", "first")], "layers": 2, "unit": "logits"}
    place = place_chart([strip], palette=LIGHT, **asked)
    svg = vl_convert.vegalite_to_svg({**place, "width": round(cell * (LEFT + 1.08)), "autosize": "none"})
    assert (
        re.findall(r">(75%[^<>]*)</text>", svg) == [["75% follow"], ["75%"], ["75%"], []][(140, 60, 40, 20).index(cell)]
    )


def test_letters_grow_and_nothing_else_does() -> None:
    large = replace(LIGHT, letters=1.46)
    (spec, plain), (grown, svg) = drawn(), drawn(palette=large)
    assert 'font-size="16.06px"' in svg and 'font-size="11px"' in plain and 'font-size="11px"' not in svg
    assert "ivxLetters" not in str(spec) + str(grown) and spec["height"] == grown["height"]
    assert grown["layer"][0]["encoding"]["y"]["axis"]["labelFontSize"] == pytest.approx(11.5 * 1.46)
    for chart in (strip([Bar(0, 1.0, 0.5, 1.5, True)], layers=2, palette=large), grown):
        alt.LayerChart.from_dict(chart)


def test_the_scale_is_symmetric_and_never_clips() -> None:
    for values in ([0.3, -4.2], [9.1], [-0.07], []):
        assert scale_of(values) >= max((abs(v) for v in values), default=0) and scale_of(values) > 0
    assert signed(-0.04) == "0.0" and signed(-2.35, 2) == "−2.35"


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_charts_that_only_pages_draw_obey_the_schema(palette: Palette) -> None:
    assert frame.CHECKED
    cells = [LensCell(0, 0, "animal", (("cat", 0.9), ("dog", 0.1)))]
    for spec in (
        strength_curve([], strengths=[0.0, 1.0], palette=palette, chosen=1.0),
        lens_grid(cells, ["animal"], layers=2, palette=palette),
        scatter([Dot(0.1, 0.2, "0, 1", True), Dot(0.0, 0.1, "", False)], palette=palette, unit="J"),
        strip([Bar(0, 1.0, 0.5, 1.5, True)], layers=2, palette=palette, marked=[0]),
        attention_map([[1.0], [0.2, 0.8]], ["a", "b"], palette=palette, colour=palette.ink),
        parts_chart([Part(0, 1, "where it looks", 1.0, 0.5, 1.5, "ok")], names=["L0 H0"], unit="x", palette=palette),
    ):
        assert "<svg" in vl_convert.vegalite_to_svg({**spec, "width": 200})


@pytest.mark.parametrize(("layers", "step"), [(1, 1), (16, 1), (17, 2), (30, 2), (32, 2), (48, 5), (80, 5), (126, 10)])
def test_layer_axes_thin_out_and_rows_stay_readable(layers: int, step: int) -> None:
    assert labelled(layers) == list(range(0, layers, step)) and len(labelled(layers)) <= CROWDED
    assert layers_laid([], layers).height >= LEAST
    assert step * layers_laid([], layers).height >= 12, "labels of 11.5 px do not touch"


def test_long_tokens_are_cut_to_their_column() -> None:
    axis = heatmap([], ["␣untranslatable"] * 25, layers=30, scale=1, palette=LIGHT)["layer"][0]["encoding"]["x"]["axis"]
    assert "bandwidth" in axis["labelLimit"]["expr"] and axis["labelOverlap"] is True
