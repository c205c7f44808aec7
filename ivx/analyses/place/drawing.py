"""A search for a place as it is drawn: strips of layers, source by patched token, and the reader curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ivx.analyses.place import search
from ivx.analyses.place.found import Found
from ivx.analyses.place.readers import Readers
from ivx.analyses.place.request import PlaceRequest
from ivx.analyses.place.search import Pair, Panel
from ivx.charts.palette import LIGHT, Palette
from ivx.charts.place import Bar, Strip, place_chart, printed
from ivx.charts.readers import Read, printed_curve, reader_curve
from ivx.patching.positions import Column
from ivx.stats.following import percent
from ivx.stats.metrics import find
from ivx.tasks.samples import Samples


class Searched(Protocol):
    """What is drawn: the result of a search."""

    @property
    def request(self) -> PlaceRequest: ...
    @property
    def layers(self) -> int: ...
    @property
    def samples(self) -> Samples: ...
    @property
    def sources(self) -> tuple[str, ...]: ...
    @property
    def columns(self) -> tuple[Column, ...]: ...
    @property
    def best(self) -> Sequence[Panel]: ...
    @property
    def sinks(self) -> tuple[int, ...]: ...
    def panels(self, metric: str) -> list[Panel]: ...
    def found(self, metric: str = ...) -> Found | None: ...
    def readers(self, metric: str) -> Readers | None: ...
    def label(self, pair: Pair) -> str: ...


def strips(found: Searched, metric: str) -> list[Strip]:
    """Every pair of tokens as a strip: its bars, the strongest control behind, and the share that follows."""
    best = found.best[0].pair if found.best and found.found() is not None else None
    named = {source: search.source_label(source, found.samples.rows) for source in found.sources}
    away = set(found.sinks)
    drawn = []
    for panel in found.panels(metric):
        beyond = panel.scores
        bars = tuple(
            Bar(layer, effect, control, bool(over > 0 and over >= search.SINK * effect and effect > 0))
            for layer, effect, control, over in zip(panel.layers, panel.effect, panel.control, beyond, strict=True)
        )
        drawn.append(
            Strip(
                panel.pair.source,
                panel.pair.column,
                bars if panel.pair.column not in away else tuple(bar._replace(found=False) for bar in bars),
                panel.followed,
                chosen=panel.pair == best,
                told=f"{named[panel.pair.source]} → {found.columns[panel.pair.column].label}",
            )
        )
    return drawn


def chart(found: Searched, metric: str, palette: Palette) -> dict[str, Any]:
    """The search, a Vega-Lite spec with a selection `pair` of fields `source` and `column`."""
    named = [(source, search.source_label(source, found.samples.rows)) for source in found.sources]
    row = found.samples.rows[0]
    heads = [(column.label, search.offset_name(column, row)) for column in found.columns]
    return place_chart(
        strips(found, metric), sources=named, columns=heads, layers=found.layers, palette=palette,
        unit=find(metric).unit, alt_text=f"{len(named)} source tokens by {len(heads)} patched tokens, layer by layer",
    )  # fmt: skip


def dots(readers: Readers) -> list[Read]:
    """The steps of a reader curve, as they are drawn."""
    blocks = set(readers.blocks)
    return [Read(s.block, s.value, s.low, s.high, s.control, s.block in blocks) for s in readers.steps]


def curve(found: Searched, metric: str, palette: Palette) -> dict[str, Any] | None:
    """The reader curve, a Vega-Lite spec with a selection `step` of field `block`; None where there is none."""
    readers = found.readers(metric)
    if readers is None:
        return None
    return reader_curve(
        dots(readers), layer=readers.layer, whole=readers.whole, unit=find(metric).unit, palette=palette
    )


def figures(found: Searched, metric: str) -> dict[str, dict[str, Any]]:
    """Both as they would be printed."""
    at, view = found.found(metric), find(metric)
    told = "no place was found"
    if at is not None and at.kind != "none":
        told = (
            f"best: {found.label(found.best[0].pair)}, layer {at.at.layer}: {at.best.value:+.1f} {view.unit}, "
            f"{percent(at.followed)} follow (untold {percent(at.untold)}, told {percent(at.told)})"
        )
    title = f"Where it acts: {found.request.task}, {found.request.checkpoint}"
    drawn = {"place": printed(chart(found, metric, LIGHT), title=title, subtitle=told)}
    spec = curve(found, metric, LIGHT)
    readers = found.readers(metric)
    if spec is not None and readers is not None:
        blocks = ", ".join(map(str, readers.blocks)) or "none by itself"
        drawn["readers"] = printed_curve(
            spec, title=f"Who reads it, from layer {readers.layer} on", subtitle=f"blocks that read: {blocks}"
        )
    return drawn
