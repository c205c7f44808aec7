"""The charts of separability: rows are a map's rows, axes are equal where things are compared, marks are as told."""

from __future__ import annotations

from itertools import combinations
from typing import Any
from urllib.parse import unquote

import pytest
import vl_convert

from ivx.charts.confusion import confusion
from ivx.charts.curve import Step, curve
from ivx.charts.dumbbell import Bell, dumbbell, dumbbell_figure
from ivx.charts.headline import Place, headline, headline_figure
from ivx.charts.heatmap import heatmap
from ivx.charts.losses import Loss, losses
from ivx.charts.palette import DARK, LIGHT, Palette
from ivx.charts.plane import ROOM, Dot, box_of, plane
from ivx.charts.planes import planes, trajectories

BELLS = [Bell(0, 0.5, 0.4, 0.6, 0.1), Bell(2, 1.0, 0.9, 1.0, 0.12)]
SERIES = [("SFT, T_inst", "#C2640F"), ("twin", "#2F6FAE")]
PLACES = [
    Place("SFT, T_inst", "resid_post", 0, 0.91, 3.2, True),
    Place("SFT, T_inst", "attn_out", 1, 0.5, 0.02, False),
    Place("twin", "resid_post", 0, 0.9, -0.8, False),
]


def svg(spec: dict) -> str:
    drawn = vl_convert.vegalite_to_svg({**spec, "width": 300})
    assert "undefined" not in drawn and "NaN" not in drawn
    return drawn


def axes(spec: dict, layer: int) -> tuple[dict, dict]:
    encoding = spec["layer"][layer]["encoding"]
    return encoding["y"], encoding.get("x", {})


@pytest.mark.parametrize("layers", [8, 40])
@pytest.mark.parametrize("labels", [True, False])
def test_a_dumbbells_rows_are_a_maps(layers: int, labels: bool) -> None:
    row = 38 if layers == 8 else 12
    asked: dict[str, Any] = {"layers": layers, "palette": LIGHT, "row": row, "row_labels": labels}
    bells = dumbbell(BELLS, selected=2, baselines={"words": 0.99}, **asked)
    effects = heatmap([], ["a", "b"], scale=1.0, **asked)
    assert all(bells[key] == effects[key] for key in ("height", "padding", "autosize"))
    (one, _), (other, column) = axes(bells, 0), axes(effects, 0)
    assert one["scale"]["domain"] == other["scale"]["domain"] == list(range(layers))[::-1]
    across = next(part["encoding"]["x"] for part in bells["layer"] if "axis" in part["encoding"].get("x", {}))
    for end in ("minExtent", "maxExtent"):
        assert one["axis"][end] == other["axis"][end] and across["axis"][end] == column["axis"][end]
    assert ("L2<" in svg(bells)) is (labels and layers == 8)


def test_a_dumbbell_holds_what_was_measured_and_marks_one_layer() -> None:
    spec = dumbbell(BELLS, layers=3, palette=DARK, selected=2, baselines={"words": 0.99, "token": 0.05})
    assert [(v["layer"], v["low"], v["high"], v["control"]) for v in spec["datasets"]["bells"]] == [
        (0, 0.4, 0.6, 0.1),
        (2, 0.9, 1.0, 0.12),
    ]
    assert [v["layer"] for v in spec["datasets"]["rows"]] == [0, 1, 2], "every row is there to be clicked"
    assert spec["datasets"]["chosen"] == [{"layer": 2}]
    assert [v["value"] for v in spec["datasets"]["baselines"]] == [0.99, 0.05]
    assert "selectivity 88.0%" in svg(spec)
    figure = dumbbell_figure(BELLS, layers=3, title="t", subtitle=["s"], baselines={})
    assert "params" not in figure, "nothing to click in print"


def cloud(task: str, x: float, y: float, first: int) -> list[Dot]:
    return [Dot(x + 0.01 * k, y + 0.01 * k, f"domain/{task}", f"{task} {k}", first + k) for k in range(4)]


def test_planes_of_all_layers_have_one_pair_of_axes() -> None:
    layers = [cloud("colour", 0, 0, 0), cloud("colour", 5, -3, 0)]
    box = box_of(layers)
    drawn = [plane(dots, box=box) for dots in layers]
    assert drawn[0]["zero"] == drawn[1]["zero"]
    places = [(x, y) for one in drawn for _, x, y, *_ in one["dots"]]
    assert all(0 < end < 100 for place in places for end in place)
    (low, high), (right, below) = places[0], places[4]
    assert right > low and below > high, "to the right, and down the page"
    assert plane([], box=box_of([]))["dots"] == []


def test_a_plane_colours_the_pair_rings_the_chosen_and_names_what_has_room() -> None:
    tasks = ["colour", "can-fly", "class", "past"]
    places = [(0, 0), (0.01, 0), (0.02, 0.01), (3, 3)]
    dots = [d for k, task in enumerate(tasks) for d in cloud(task, *places[k], first=4 * k)]
    drawn = plane(dots, box=box_of([dots]), pair=("domain/colour", "domain/can-fly"), chosen=[5, 14])
    kinds = {number: kind for number, *_, kind, _ in drawn["dots"]}
    assert {kind for k, kind in kinds.items() if k < 4} == {"task"} and kinds[5] == "contrast" and kinds[14] == "other"
    assert [kind for *_, kind, _ in drawn["dots"]] == ["other"] * 8 + ["contrast"] * 4 + ["task"] * 4
    assert drawn["chosen"] == [5, 14]
    assert next(told for number, *_, told in drawn["dots"] if number == 5) == "can-fly 1  (domain/can-fly)"
    names = {name: (x, y) for x, y, name, _ in drawn["names"]}
    assert names.keys() == {"colour", "can fly", "past"}, "class lies beneath the pair's names"
    for (a, b), (c, d) in combinations(names.values(), 2):
        assert abs(b - d) >= 99 * ROOM[1] or abs(a - c) > 20


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_the_headline_fills_findings_alone_and_rings_one_place_of_all(palette: Palette) -> None:
    spec = headline(
        PLACES, series=SERIES, palette=palette, component="resid_post", selected=("resid_post", 0), height=200
    )
    values = spec["datasets"]["places"]
    assert [v["name"] for v in values] == ["L0", "", ""] and [v["main"] for v in values] == [True, False, True]
    assert [v["series"] for v in spec["datasets"]["chosen"]] == ["SFT, T_inst", "twin"]
    drawn = svg(spec)
    assert 'fill="#C2640F"' in drawn and f'fill="{palette.background}"' in drawn
    domain = next(p["encoding"]["y"]["scale"]["domain"] for p in spec["layer"] if "scale" in p["encoding"]["y"])
    assert domain[0] < -0.8 and domain[1] > 3.2
    assert "params" not in headline_figure(PLACES, series=SERIES, title="t", subtitle="s")
    svg(headline([], series=SERIES, palette=palette))


def test_a_task_named_like_code_is_text() -> None:
    strange = 'x/"];window.open("//x")//'
    spec = confusion([[0.9, 0.1], [0.004, 0.996]], ["a/b-c", strange], palette=LIGHT, bold=["a/b-c"])
    assert [v["text"] for v in spec["datasets"]["shares"]] == ["90", "10", "", "100"]
    drawn = svg(spec)
    assert ">b c<" in drawn and "window.open" in drawn


def test_curves_and_losses_draw() -> None:
    steps = [Step(1, 0.2, 0.1, 0.3), Step(27, 0.9, 0.8, 1.0)]
    spec = curve(steps, chance=0.08, palette=LIGHT)
    assert spec["datasets"]["chance"][0]["value"] == 0.08 and ">27<" in svg(spec)
    small = losses([Loss(0, 0.01, 0.0, 0.01)], layers=2, palette=DARK, selected=0)
    large = losses([Loss(0, 5.0, -1.0, 4.8)], layers=2, palette=DARK, selected=0)
    for spec, least in ((small, 0.5), (large, 5.0)):
        domain = next(
            p["encoding"]["x"]["scale"]["domain"] for p in spec["layer"] if "scale" in p["encoding"].get("x", {})
        )
        assert domain[1] > least
        svg(spec)
    assert "without what is read −1.00" in svg(large)


def test_planes_of_all_layers_and_paths_hold_every_layer_and_wording() -> None:
    dots = {
        layer: [Dot(0.1 * k + layer, -0.2 * k, "abcd"[k % 4], f"wording {k}", k) for k in range(8)]
        for layer in range(3)
    }
    box = box_of(list(dots.values()))
    told = planes(dots, box=box, palette=LIGHT, pair=("a", "b"), selected=1, alt_text='a "plane"')
    assert (
        told.count("<img") == 3 and all(f">L{layer}<" in told for layer in dots) and told.count("font-weight:700") == 1
    )
    assert unquote(told).count("h0") == 24 and 'aria-label="a &quot;plane&quot;"' in told
    ways = unquote(trajectories(dots, box=box, palette=DARK, pair=("a", "b"), selected=1))
    assert ways.count("<path") == 1 + 4 + 2 * 4, "axes; two wordings of a and of b; a mean and a dot for each task"
    followed = unquote(trajectories(dots, box=box, palette=DARK, pair=("a", "b"), selected=1, followed=[3]))
    assert followed.count("<path") == 1 + 1 + 2 * 4 and "<script" not in followed
    one, named = {0: [Dot(0, 0, "x/<b>", "t", 0)], 1: [Dot(1, 1, "x/<b>", "t", 0)]}, ("x/<b>", "x/c")
    assert "&lt;b&gt;" in trajectories(one, box=box, palette=LIGHT, pair=named)
