"""The panels of the Overview: each analysis's result so far, and the chart and sentence made from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from ivx.analyses.effects.result import Effects
from ivx.analyses.game.result import Game
from ivx.analyses.separability.result import ProbeCell, Separability
from ivx.charts.dumbbell import dumbbell
from ivx.charts.figure import tile
from ivx.charts.heatmap import heatmap
from ivx.charts.numbers import scale_of
from ivx.charts.pairs import Laid, Pair, layers_laid, pair_map
from ivx.charts.palette import Palette
from ivx.engine.address import STREAM
from ivx.patching.cells import Cell
from ivx.stats.metrics import find
from ivx.stats.power import unable
from ivx.stats.verdict import Against
from ivx.ui.interactions import card, maps
from ivx.ui.kit import readings
from ivx.ui.separability.card import probe_reading


@dataclass(frozen=True)
class StoredRuns:
    """The results so far, one for each panel; None where there is none."""

    effects: Effects | None
    separability: Separability | None
    game: Game | None
    cells: list[Cell]
    laid: Laid
    metric: str

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The pairs of layers."""
        return self.laid.pairs

    @property
    def probed(self) -> list[ProbeCell]:
        """The probe at each layer."""
        return [] if self.separability is None else self.separability.cells(STREAM)

    @property
    def layers(self) -> int:
        """Layers of the checkpoint; eight while nothing is known."""
        every = (self.effects, self.separability, self.game)
        return next((one.layers for one in every if one is not None), 8)

    @property
    def strongest(self) -> int | None:
        """The layer of the strongest effect that is a finding, or else of the strongest pair, if any."""
        cells = [cell for cell in self.cells if cell.state == "ok"]
        if cells:
            return max(cells, key=lambda cell: abs(cell.value)).layer
        pairs = [pair for pair in self.pairs if pair.state == "ok"]
        return self.layer_of(max(pairs, key=lambda pair: abs(pair.value)).high) if pairs else None

    def layer_of(self, player: int) -> int:
        """The first layer of a player of the game: the layer itself, or a group's."""
        return player if self.game is None else self.game.players[player][0]

    def player_of(self, layer: int | None) -> int | None:
        """The player of the game that a layer is, or is in."""
        players = () if self.game is None else self.game.players
        return next((k for k, player in enumerate(players) if layer is not None and layer in player), layer)

    @property
    def scale(self) -> float:
        """End of the colour scale, which effect and interaction share."""
        return scale_of([cell.value for cell in self.cells] + [q.value for q in self.pairs if q.state != "zero"])

    @property
    def row(self) -> int:
        """Height of a layer in all panels, in pixels."""
        return 38 if self.layers <= 16 else 14


def found_of(effects: Effects | None, separability: Separability | None, game: Game | None, metric: str) -> StoredRuns:
    """The results so far, judged under one metric."""
    return StoredRuns(
        effects,
        separability,
        game,
        [] if effects is None else _cells(effects, metric, effects.table.num_rows),
        layers_laid([], 8) if game is None else maps.laid_of(game, "j", metric),
        metric,
    )


@dataclass(frozen=True)
class Panel:
    """A chart, its key on the page, and the reading under it."""

    key: str
    chart: dict[str, Any]
    reading: str


def panels_of(found: StoredRuns, layer: int | None, p: Palette) -> dict[str, Panel]:
    """The three panels, with the selected layer marked in each."""
    return {
        "effects": _effects(found, layer, p),
        "separability": _probes(found, layer, p),
        "game": _pairs(found, layer, p),
    }


@st.cache_data(max_entries=200, show_spinner=False, hash_funcs={Effects: lambda r: r.run_id})
def _cells(result: Effects, metric: str, rows: int) -> list[Cell]:
    return result.cells(STREAM, metric)


@st.cache_data(max_entries=200, show_spinner=False, hash_funcs={Effects: lambda r: r.run_id})
def _against(result: Effects, metric: str, rows: int) -> dict[str, dict[str, Against]]:
    return result.controlled(STREAM, metric)


def _effects(found: StoredRuns, layer: int | None, p: Palette) -> Panel:
    result = found.effects
    labels = [""] * 6 if result is None else [column.label for column in result.maps[STREAM]]
    inside = [cell for cell in found.cells if cell.layer == layer and cell.state != "estimate"]
    top = max(inside, key=lambda cell: (cell.state == "ok", abs(cell.value)), default=None)
    chart = heatmap(
        [tile(cell, labels) for cell in found.cells],
        labels,
        layers=found.layers,
        scale=found.scale,
        palette=p,
        selected=None if top is None else (top.layer, top.column),
        bold=0,
        row=found.row,
        alt_text=f"Effect map, {found.layers} layers by {len(labels)} positions",
    )
    if result is None:
        return Panel("effects", chart, "")
    against = _against(result, found.metric, result.table.num_rows)
    told = readings.reading(found.cells, result.maps[STREAM], metric=found.metric, against=against)
    return Panel(f"effects-{result.run_id}", chart, told)


def _probes(found: StoredRuns, layer: int | None, p: Palette) -> Panel:
    result = found.separability
    chart = dumbbell(
        [] if result is None else result.bells(STREAM),
        layers=found.layers,
        palette=p,
        row=found.row,
        selected=layer,
        baselines={} if result is None else result.baselines(),
        row_labels=False,
        alt_text="Accuracy of the probe and of shuffled labels by layer",
    )
    if result is None:
        return Panel("bells", chart, "")
    return Panel(f"bells-{result.run_id}", chart, probe_reading(result, STREAM, layer))


def _pairs(found: StoredRuns, layer: int | None, p: Palette) -> Panel:
    player = found.player_of(layer)
    inside = [pair for pair in found.pairs if pair.high == player and pair.state not in ("estimate", "degenerate")]
    top = max(inside, key=lambda pair: (pair.state == "ok", abs(pair.value)), default=None)
    laid = found.laid if found.pairs else layers_laid([], found.layers)
    row = found.row * found.layers // len(laid.rows)  # as high as the panels beside it
    chart = pair_map(laid, scale=found.scale, palette=p, chosen=top, row=row)
    if found.game is None:
        return Panel("pairs", chart, "")
    n, controlled = len(found.game.samples.rows), bool(found.game.samples.control)
    told = card.pair_reading(found.pairs, unit=find(found.metric).unit, n=n, controlled=controlled, alone=False)
    return Panel(f"pairs-{found.game.run_id}", chart, told)


def _nowhere(cells: Sequence[Cell]) -> str:
    """What a map without findings may say: "nowhere" only where something could have been found."""
    if unable(min(cell.n for cell in cells), cells=1):
        return "<b>has too few samples</b> to say where it acts"
    return "<b>acts nowhere</b> beyond its controls"


def at_a_glance(cells: Sequence[Cell], probed: Sequence[ProbeCell], pairs: Sequence[Pair]) -> str:
    """Where the vector acts, from where on it can be read, which layers act together: findings only, a clause each."""
    told = []
    if cells and not any(cell.state == "estimate" for cell in cells):
        acting = [cell for cell in cells if cell.state == "ok"]
        top = max(acting, key=lambda cell: abs(cell.value), default=None)
        told.append(f"acts most in <b>layer {top.layer}</b>" if top else _nowhere(cells))
    if probed:
        readable = sorted(cell.layer for cell in probed if cell.state == "ok")
        onward = readable == list(range(len(probed)))[-len(readable) :]
        where = f"from <b>layer {readable[0]}</b> on" if readable and onward else f"at {len(readable)} layers"
        left = max(cell.selectivity.high for cell in probed)
        unread = f"<b>cannot be read</b> (up to {left:.0%} over a guess is not ruled out)"
        told.append(f"can be read {where}" if readable else unread)
    if pairs and not any(pair.state == "estimate" for pair in pairs):
        found = [pair for pair in pairs if pair.state == "ok"]
        top_pair = max(found, key=lambda pair: abs(pair.value), default=None)
        told.append(
            f"interacts most between <b>layers {top_pair.name.replace(' with ', ' and ').replace('L', '')}</b>"
            if top_pair
            else "shows <b>no interaction</b> beyond its control"
        )
    if not told:
        return "The state of T_inst is copied into a bare prompt."
    said = f"{', '.join(told[:-1])}{' and ' * (len(told) > 1)}{told[-1]}"
    return f"The state of T_inst, copied into a bare prompt, {said}."
