"""A scan on the page Effects: layer × source token, beside the same tokens fed alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ivx.analyses.effects.result import Effects
from ivx.charts.heatmap import Tile
from ivx.charts.numbers import scale_of, signed
from ivx.charts.palette import Palette
from ivx.jobs.job import View
from ivx.patching.cells import Cell
from ivx.stats.metrics import find
from ivx.stats.verdict import Against
from ivx.ui.kit import maps, pieces, progress
from ivx.ui.kit.evidence import interval
from ivx.ui.kit.readings import SAID, reading
from ivx.vocabulary import position

ALONE = {"identity": "the token", "aggregation": "the last word"}


def panels(
    result: Effects,
    found: Mapping[str, Sequence[Cell]],
    metric: str,
    chosen: Cell | None,
    now: View,
    p: Palette,
    places: Sequence[DeltaGenerator],
    *,
    under: Callable[[], None],
) -> None:
    """Draw each site's map and that of the same tokens fed alone, on one scale, beside the card's column.

    `under` draws what stands under the first map until all is done.
    """
    left, middle, _ = places
    for i, (site, cells) in enumerate(found.items()):
        if i:
            left, middle, _ = st.columns(maps.COLUMNS, gap="medium")
        against = result.controlled(site, metric)
        labels = [shortened(column.label) for column in result.maps[site]]
        alone, names = _alone(result, site, against, floor=find(metric).floor)
        scale = scale_of([c.value for c in cells if c.state != "zero"] + [tile.value for tile in alone])
        here = (chosen.layer, chosen.column) if chosen is not None and chosen.site == site else None
        with left:
            pieces.head("Layer × source token", progress.status(now) if now.live else f"{site} → {_place(result)}")
            maps.cells_map(result, site, cells, scale, chosen, p, bold=None, labels=labels)
            if now.state == "done":
                said = reading(cells, result.maps[site], metric=metric, against=against)
                pieces.reading(f"{said} {_ends(result, site, cells)}", result.receipt)
            elif not i:
                under()
        if not alone and not now.live:
            continue
        with middle:
            pieces.head("The same tokens, each fed alone", "same scale; word: the phrase’s last word")
            maps.drawn(
                alone,
                [*labels, *names],
                result,
                site,
                scale,
                p,
                key=f"alone-{site}-{result.run_id}",
                selected=here,
                told=f"What each token does fed alone, {site}",
            )
            if now.state == "done":
                pieces.reading(_compared(cells, against), result.receipt)


def shortened(label: str) -> str:
    """A source token's label, short enough for an axis: k is the keyword, T the last token."""
    for long, short in (("keyword = T_inst", "T_inst"), ("first", "1st"), ("keyword", "key"), ("T_inst−", "T−")):
        label = label.replace(long, short)
    return label.replace("key−", "k−")


def _place(result: Effects) -> str:
    return position(result.request.position).label


def _alone(
    result: Effects, site: str, against: Mapping[str, Mapping[str, Against]], *, floor: float
) -> tuple[list[Tile], list[str]]:
    """Tiles of the tokens fed alone; in a last column the phrase's last word, where that was run."""
    width, named = len(result.maps[site]), "aggregation" in result.controls
    tiles: dict[tuple[int, int], Tile] = {}
    for layer, column, patch in result.places(site):
        of = against.get(patch, {})
        for name, at in (("identity", column), ("aggregation", width)):
            if name in of:
                found = of[name]
                ends = interval(found.low, found.high)
                told = f"L{layer}, {ALONE[name]} alone: {signed(found.mean, 2)} {ends}"
                nothing = found.low <= 0 <= found.high or abs(found.mean) < floor
                tiles[layer, at] = Tile(layer, at, found.mean, "zero" if nothing else "ok", told)
    return list(tiles.values()), ["word"] * named


def _ends(result: Effects, site: str, cells: Sequence[Cell]) -> str:
    """What T_inst, the usual choice, does at its best, and the keyword, where that is another token."""
    told = []
    for i, column in enumerate(result.maps[site]):
        mine = [c for c in cells if c.column == i and c.state != "estimate"]
        if column.label in ("T_inst", "keyword", "keyword = T_inst") and mine:
            top = max(mine, key=lambda c: (c.state == "ok", abs(c.value)))
            told.append(f"{column.label} at most {signed(top.value, 2)} ({SAID[top.state]})")
    return f"From {'; from '.join(told)}." if told else ""


def _compared(cells: Sequence[Cell], against: Mapping[str, Mapping[str, Against]]) -> str:
    """How many of the cells that differ from 0 do more than what is fed alone."""
    acting = [c for c in cells if c.state in ("ok", "control") and c.patch in against]
    if not acting:
        return "No source token moves the answer."
    top = max(acting, key=lambda c: abs(c.value))
    alone = "; ".join(
        f"{ALONE[name]} alone {signed(of.mean, 2)} [{signed(of.low, 2)}, {signed(of.high, 2)}]"
        for name, of in against[top.patch].items()
        if name in ALONE
    )
    found = sum(c.state == "ok" for c in acting)
    return (
        f"Of {len(acting)} cells that differ from 0, <b>{found}</b> do more than every control. Where the map is "
        f"strongest, {signed(top.value, 2)}: {alone}."
    )
