"""The panels of a game: each player alone, all pairs of them, and the estimate against what was computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import streamlit as st

from ivx.analyses.game.result import Game
from ivx.analyses.interactions.request import BENT
from ivx.analyses.interactions.restoration import PARTS
from ivx.analyses.interactions.result import Interactions
from ivx.charts.heatmap import Tile, heatmap
from ivx.charts.numbers import scale_of, signed
from ivx.charts.pairs import DEGENERATE, MARKS, Laid, Pair, pair_map
from ivx.charts.palette import Palette
from ivx.charts.scatter import Dot, scatter
from ivx.charts.strip import Bar, strip
from ivx.stats.metrics import find
from ivx.ui.interactions.card import pair_reading, split_reading
from ivx.ui.kit import address, clicks, pieces

SHAPLEY = "Shapley interaction"
PRESENTED_ROW = 40
KEPT = 5
"""Pairs that are chosen on one half of the samples."""


def row_height(laid: Laid, p: Palette) -> int:
    """Height of a row of the map and of what stands beside it; less where a page is presented."""
    return laid.height if p.letters == 1 else min(laid.height, PRESENTED_ROW)


def is_strip(result: Interactions | Game) -> bool:
    """Whether the players are the layers themselves, so that each alone is one bar."""
    return isinstance(result, Game) or (result.request.over == "layers" and len(result.request.sites) == 1)


@st.cache_data(
    max_entries=100,
    show_spinner=False,
    hash_funcs={k: lambda r: (r.run_id, r.table.num_rows) for k in (Interactions, Game)},
)
def laid_of(result: Interactions | Game, what: str, metric: str) -> Laid:
    """The map's pairs."""
    return result.laid(metric) if isinstance(result, Game) else result.laid(metric, show=what)


@st.cache_data(max_entries=100, show_spinner=False, hash_funcs={Interactions: lambda r: (r.run_id, r.table.num_rows)})
def _split(result: Interactions, metric: str) -> str:
    return split_reading(result.confirmed(metric, keep=KEPT))


def chosen_of(laid: Laid) -> Pair | None:
    """The clicked pair, or the address bar's, or the strongest finding."""
    done = [pair for pair in laid.pairs if pair.state != "estimate"]
    asked = address.from_url("pair", "")
    named = next((pair for pair in done if pair.patch == asked), None)
    return named or max(done, key=lambda pair: (pair.state == "ok", abs(pair.value)), default=None)


def alone(result: Interactions | Game, metric: str, laid: Laid, chosen: Pair | None, p: Palette) -> None:
    """What each player does by itself: a strip of layers, or a map."""
    marked = (chosen.low, chosen.high) if chosen is not None else ()
    if not is_strip(result):
        assert isinstance(result, Interactions)
        _singles(result, metric, p)
        return
    pieces.head("One layer", "alone")
    if isinstance(result, Game):
        bars = [Bar(i, v.value, v.low, v.high, v.state != "zero") for i, v in enumerate(result.shapley(metric))]
    else:
        bars = [Bar(c.column, c.value, c.low, c.high, c.state != "zero") for c in result.singles(metric)]
    told = "Effect of each layer alone"
    names = () if laid.layers else laid.rows
    chart = strip(
        bars, layers=len(laid.rows), palette=p, row=row_height(laid, p), names=names, marked=marked, alt_text=told
    )
    st.vega_lite_chart(chart, theme=None, width="stretch")


def _singles(result: Interactions, metric: str, p: Palette) -> None:
    """Draw the players alone: layers upward; heads, sites or tokens across."""
    over = result.request.over
    across = {
        player.address: f"h{player.head}" if over == "heads" else player.column.label if player.column else player.site
        for player in result.players
    }
    places = [(player.head, player.column, player.site) for player in result.players]
    columns = list(dict.fromkeys(places))
    labels = [across[result.players[places.index(place)].address] for place in columns]
    tiles = []
    for cell in result.singles(metric):
        player = result.players[cell.column]
        told = f"{player.label} alone: {signed(cell.value, 2)} [{signed(cell.low, 2)}, {signed(cell.high, 2)}]"
        tiles.append(Tile(cell.layer, columns.index(places[cell.column]), cell.value, cell.state, told))
    pieces.head("One alone", ", ".join(result.request.sites))
    scale = scale_of([tile.value for tile in tiles if tile.state != "zero"])
    chart = heatmap(
        tiles, labels, layers=result.layers, scale=scale, palette=p, row=50, mono=False, alt_text="Each alone"
    )
    st.vega_lite_chart(chart, theme=None, width="stretch")
    pieces.reading(f"This map has its own scale, ±{scale:g}.")


def together(
    result: Interactions | Game,
    what: str,
    metric: str,
    laid: Laid,
    chosen: Pair | None,
    p: Palette,
    *,
    live: str,
    under: Callable[[], None] | None,
) -> None:
    """Draw the map of all pairs, its reading and its legend.

    `live` says how far it is while it runs; until all is done, `under` draws what stands in the place of the reading.
    """
    scale, unit = scale_of([pair.value for pair in laid.pairs if pair.state != "zero"]), find(metric).unit
    name = SHAPLEY if isinstance(result, Game) else NAMES[what]
    who = "layers" if is_strip(result) else "together"
    axes = "later × earlier" if laid.half else "layer × pair of tokens"
    pieces.head(f"Both {who}: {name}", live or axes)
    _clickable(result, laid, scale, chosen, p)
    if under is not None:
        under()
    else:
        controlled = bool(result.samples.control if isinstance(result, Game) else result.controls)
        said = pair_reading(
            laid.pairs,
            unit=unit,
            n=len(result.samples.rows),
            controlled=controlled,
            alone=isinstance(result, Interactions) and what not in PARTS,
        )
        if what in PARTS:
            pass  # the halves are of J
        elif isinstance(result, Interactions) and not all(cell.degenerate for cell in result.cells(metric)):
            said += f" {_split(result, metric)}"
        pieces.reading(said, result.receipt)
        for note in notes_of(result, metric):
            pieces.note(f"{note}.")
    pending = any(pair.state == "estimate" for pair in laid.pairs)
    shown = (DEGENERATE,) if what in PARTS else tuple(MARKS)
    glyphs = {glyph: MARKS[glyph] for glyph in shown} if isinstance(result, Interactions) else {}
    pieces.legend(p, scale, unit, pending=pending, ends=("less", "more"), glyphs=glyphs)


def notes_of(result: Interactions | Game, metric: str) -> list[str]:
    """What the map's numbers hold beside an interaction, and how settled a sampled map is."""
    if isinstance(result, Interactions):
        return result.notes(metric)
    bent = BENT.format(find(metric).label.capitalize()).partition(":")[0]
    told = [*filter(None, [result.note()]), *([bent] if result.request.bends(metric) else [])]
    settled = result.halves(metric)
    if settled is not None and result.orders is not None:
        told.append(
            f"{len(result.orders)} random orders of the players: maps from their two halves correlate "
            f"{settled[0]:.2f}, and the map from half of them with the one from twice as many {settled[1]:.2f}"
        )
    return told


NAMES = {
    "j": "interaction J",
    "restored": "J° without overwriting",
    "lost": "lost by overwriting",
    "both": "effect",
    "gain": "gain over the better one",
}


def _clickable(result: Interactions | Game, laid: Laid, scale: float, chosen: Pair | None, p: Palette) -> None:
    chart = pair_map(laid, scale=scale, palette=p, chosen=chosen, row=row_height(laid, p))

    def picked(point: Mapping[str, Any]) -> None:
        for pair in laid.pairs:
            if (pair.row, pair.column) == (int(point["layer"]), int(point["column"])):
                st.session_state["pair"] = pair.patch

    clicks.chart(chart, key=f"pairs-{result.run_id}", picked=picked)


def estimated(result: Interactions, metric: str, p: Palette) -> None:
    """How far the second-order estimate is from what was computed."""
    if metric not in result.estimates:
        return
    label = {player.address: player.label.removeprefix("L") for player in result.players}
    points = [
        Dot(result.estimates[metric][c.patch], c.j, f"{label[c.first]}, {label[c.second]}", c.state == "ok")
        for c in result.cells(metric)
        if c.state not in ("estimate", "degenerate") and c.patch in result.estimates[metric]
    ]
    if len(points) < 3:
        return
    r = float(np.corrcoef([q.estimate for q in points], [q.exact for q in points])[0, 1])
    verdict = "it orders them" if r > 0.7 else "the wrong way" if r < -0.3 else "it misses them"
    pieces.head(
        "Estimate against exact",
        f"r = {signed(r, 2)}: {verdict}",
        more="correlation of the second-order estimate with J",
    )
    st.vega_lite_chart(scatter(points, palette=p, unit="J"), theme=None, width="stretch")
