"""Scenes: what a step of a lesson draws, empty until it is revealed, the guess marked before and after."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from ivx.analyses.effects.result import Effects
from ivx.analyses.interactions.result import Interactions
from ivx.analyses.separability.result import Separability
from ivx.charts.dumbbell import dumbbell
from ivx.charts.figure import tile
from ivx.charts.heatmap import Tile, heatmap
from ivx.charts.numbers import scale_of
from ivx.charts.pairs import DEGENERATE, MARKS, Pair, layers_laid, pair_map
from ivx.charts.palette import Palette
from ivx.charts.strip import Bar, strip
from ivx.engine.address import STREAM
from ivx.numeral import index_of
from ivx.patching.cells import Cell
from ivx.stats.metrics import find
from ivx.ui.kit import clicks, moving, pieces
from ivx.ui.lessons.answers import METRIC, alone, asked_pair, by_layers, stream, strongest
from ivx.ui.lessons.guesses import Truth, pair_key, pair_of

LAYERS = 8
"""Layers of the embedded family, used until there is a result."""
LABELS = 6
"""Number of columns of a map without a result."""
ROW, PRESENTED_ROW = 44, 35
"""Height of a layer's row; eight of them fit below a step's question while it is presented."""
MINE, HIDDEN = "your guess", "not revealed yet"
UNIT = find(METRIC).unit


@dataclass(frozen=True)
class Showing:
    """What is shown now: the results there are, the guess, and the truth once it is revealed.

    `pick` is told the answer that a click on the picture means; None once it is revealed. `key` is unique to the step.
    """

    found: Mapping[str, Any]
    guess: str
    truth: Truth | None
    key: str
    palette: Palette
    pick: Callable[[str], None] | None


def row_of(p: Palette) -> int:
    """The height of a layer's row on this page."""
    return ROW if p.letters == 1 else PRESENTED_ROW


class Scene(ABC):
    """A picture whose frame stays as it is when it is revealed."""

    @abstractmethod
    def draw(self, now: Showing) -> None:
        """Draw it at the current place on the page."""


@dataclass(frozen=True)
class Panel:
    """One map: its result and title; `known` if shown before the guess; `control` for the control's effects."""

    of: str
    title: str
    known: bool = False
    control: bool = False


@dataclass(frozen=True)
class Maps(Scene):
    """Effect maps side by side on one scale; on a single map, a click on a row guesses its layer."""

    panels: tuple[Panel, ...]

    def draw(self, now: Showing) -> None:
        cells = [_cells(now.found.get(panel.of), panel.control) for panel in self.panels]
        scale = scale_of([cell.value for some in cells for cell in some if cell.state != "zero"])
        places = st.columns(len(self.panels), gap="medium")
        for place, panel, some in zip(places, self.panels, cells, strict=True):
            with place:
                self._panel(panel, some, scale, now)
        pieces.legend(now.palette, scale, UNIT)

    def _panel(self, panel: Panel, cells: list[Cell], scale: float, now: Showing) -> None:
        result: Effects | None = now.found.get(panel.of)
        labels = [""] * LABELS if result is None else [column.label for column in result.maps[STREAM]]
        layers = LAYERS if result is None else result.layers
        shown = panel.known or now.truth is not None
        hidden = [Tile(i, j, 0.0, "empty", HIDDEN) for i in range(layers) for j in range(len(labels))]
        tiles = {(t.layer, t.column): t for t in ([tile(c, labels) for c in cells] if shown else hidden)}
        mine = index_of(now.guess)
        marked = mine if now.truth is None else now.truth.marks.get(panel.of)
        if panel.known and now.truth is None:
            top = strongest([cell for cell in cells if cell.column == 0])
            marked = None if top is None else top.layer
        if mine is not None and (mine, 0) in tiles:
            tiles[mine, 0] = replace(tiles[mine, 0], glyph=MINE)
        chart = heatmap(
            list(tiles.values()),
            labels,
            layers=layers,
            scale=scale,
            palette=now.palette,
            selected=None if marked is None else (marked, 0),
            bold=0,
            row=row_of(now.palette),
            row_labels=panel is self.panels[0],
            alt_text=f"{panel.title}: {'effect map' if shown else 'empty map'}, layers by tokens",
        )
        pieces.head(panel.title, "layer × token" if shown else HIDDEN)
        here = None if panel.known or panel.control or now.truth is None else marked
        travelling = next((cell for cell in cells if (cell.layer, cell.column) == (here, 0)), None)
        if result is not None and travelling is not None:
            moving.watch(result, travelling, METRIC, key=panel.of, at_once=f"{now.key} {now.guess}")
        _chart(chart, now, lambda point: str(int(point["layer"])))


@dataclass(frozen=True)
class Bells(Scene):
    """A probe's dumbbell, without its dots until it is revealed."""

    of: str

    def draw(self, now: Showing) -> None:
        result: Separability | None = now.found.get(self.of)
        shown = now.truth is not None
        chart = dumbbell(
            result.bells(STREAM) if shown and result is not None else [],
            layers=LAYERS if result is None else result.layers,
            palette=now.palette,
            row=row_of(now.palette),
            baselines=result.baselines() if shown and result is not None else {},
            alt_text="Accuracy of the probe and of shuffled labels by layer",
        )
        pieces.head("Linear separability", "probe accuracy by layer" if shown else HIDDEN)
        st.vega_lite_chart(chart, theme=None, width="stretch")
        pieces.series(
            [("probe", now.palette.blue), ("shuffled labels", now.palette.faint)],
            ["– – bag of words", "· · · the token’s embedding"],
        )


@dataclass(frozen=True)
class Strip(Scene):
    """Every layer alone, two of them marked; beside it, both."""

    of: str

    def draw(self, now: Showing) -> None:
        result: Interactions | None = now.found.get(self.of)
        left, right = st.columns([1, 1.1], gap="medium")
        with left:
            pieces.head("One layer", "alone")
            _strip(result, now.palette)
        with right:
            pieces.head("Both layers", "logits" if now.truth is not None else HIDDEN)
            if result is not None:
                _both(result, now)


def _strip(result: Interactions | None, p: Palette) -> None:
    singles = [] if result is None else alone(result)
    chart = strip(
        [Bar(c.layer, c.value, c.low, c.high, c.state != "zero") for c in singles],
        layers=LAYERS if result is None else result.layers,
        palette=p,
        row=row_of(p),
        marked=() if result is None else _asked(result),
        alt_text="Effect of each layer alone",
    )
    st.vega_lite_chart(chart, theme=None, width="stretch")


def _both(result: Interactions, now: Showing) -> None:
    cell, p = asked_pair(result), now.palette
    one, two, both = (value or 0.0 for value in (cell.single_first, cell.single_second, cell.both))
    low, high = _asked(result)
    bars = pieces.signed_bars(
        [
            (f"layer {low} alone", one, p.diverging[6 if one > 0 else 2]),
            (f"layer {high} alone", two, p.diverging[6 if two > 0 else 2]),
            ("their sum", one + two, p.faint),
            ("both, in one run", both if now.truth is not None else None, p.orange if both > 0 else p.blue),
        ]
    )
    st.html(f'<div class="ivx-card plain">{bars}</div>')


def _asked(result: Interactions) -> tuple[int, int]:
    cell = asked_pair(result)
    return next(pair for pair, other in by_layers(result).items() if other.patch == cell.patch)


@dataclass(frozen=True)
class Pairs(Scene):
    """The pair map; `known` and `shown` say what stands on it before and after: `degenerate` pairs, or all if empty."""

    of: str
    known: str = "nothing"
    shown: str = ""

    def draw(self, now: Showing) -> None:
        result: Interactions | None = now.found.get(self.of)
        laid = layers_laid([], LAYERS) if result is None else result.laid(METRIC)
        what = self.known if now.truth is None else self.shown
        pairs = tuple(_shown(pair, what) for pair in laid.pairs)
        mine, best = pair_of(now.guess), None
        if now.truth is not None:
            best = pair_of(next(iter(now.truth.best))) if len(now.truth.best) == 1 else None
        pairs = tuple(replace(pair, glyph=MINE) if (pair.low, pair.high) == mine else pair for pair in pairs)
        outlined = mine if now.truth is None else best
        scale = scale_of([pair.value for pair in laid.pairs if pair.state != "zero"])
        chart = pair_map(
            replace(laid, pairs=pairs),
            scale=scale,
            palette=now.palette,
            chosen=next((pair for pair in pairs if (pair.low, pair.high) == outlined), None),
            row=row_of(now.palette),
            labels=True,
        )
        pieces.head("Interaction J", "later layer × earlier layer" if now.truth is not None else HIDDEN)
        _chart(chart, now, lambda point: pair_key(int(point["column"]), int(point["layer"])))
        pieces.legend(
            now.palette,
            scale,
            UNIT,
            ends=("less", "more than the sum"),
            glyphs=MARKS,
        )


def _shown(pair: Pair, what: str) -> Pair:
    """A pair as it is, or as one of which nothing is known."""
    if what == "" or (what == "degenerate" and pair.glyph == DEGENERATE):
        return pair
    return replace(pair, value=0.0, state="empty", glyph="", told=HIDDEN)


def _cells(result: Effects | None, control: bool) -> list[Cell]:
    """The cells of the stream; or, in their places, what the control does: grey where its interval holds 0."""
    cells = [] if result is None else stream(result)
    if not control:
        return cells
    return [
        replace(
            cell,
            value=cell.control,
            low=cell.control_low,
            high=cell.control_high,
            control=None,
            state="zero" if cell.control_low <= 0 <= cell.control_high else "ok",
        )
        for cell in cells
        if cell.control is not None and cell.control_low is not None and cell.control_high is not None
    ]


def _chart(chart: dict[str, Any], now: Showing, answer: Callable[[dict[str, Any]], str]) -> None:
    if now.pick is None:
        st.vega_lite_chart(chart, theme=None, width="stretch")
        return
    pick = now.pick
    clicks.chart(chart, key=f"lesson-{now.key}", picked=lambda point: pick(answer(dict(point))))
