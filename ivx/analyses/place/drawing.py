"""A search for a place as it is drawn: strips of layers, source by patched token, and the reader curve."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from ivx.analyses.place import search
from ivx.analyses.place.found import Found
from ivx.analyses.place.readers import Readers
from ivx.analyses.place.request import PlaceRequest
from ivx.analyses.place.search import Pair, Panel, Parts, patch_of
from ivx.charts.frame import printed_alone
from ivx.charts.layers import Layer, layer_bars
from ivx.charts.palette import LIGHT, Palette
from ivx.charts.place import Bar, Strip, place_chart, printed
from ivx.charts.readers import Read, printed_curve, reader_curve
from ivx.formats.plotted import Plotted, judged
from ivx.patching.positions import Column
from ivx.stats.following import percent
from ivx.stats.metrics import find
from ivx.tasks.samples import Samples

SAID = {"control": ", no better than its controls", "zero": ", not different from 0"}
"""What the bar of a layer that is no finding says of itself."""


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
    @property
    def parts(self) -> Parts: ...


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


def chart(found: Searched, metric: str, palette: Palette, *, opened: Pair | None = None) -> dict[str, Any]:
    """The search, a Vega-Lite spec with a selection `pair` of fields `source` and `column`; the `opened` one is
    outlined."""
    named = [(source, search.source_label(source, found.samples.rows)) for source in found.sources]
    row = found.samples.rows[0]
    heads = [(column.label, search.offset_name(column, row)) for column in found.columns]
    return place_chart(
        strips(found, metric), sources=named, columns=heads, layers=found.layers, palette=palette,
        unit=find(metric).unit, opened=opened,
        alt_text=f"{len(named)} source tokens by {len(heads)} patched tokens, layer by layer",
    )  # fmt: skip


def dots(readers: Readers) -> list[Read]:
    """The steps of a reader curve, as they are drawn."""
    blocks = set(readers.blocks)
    return [Read(s.block, s.value, s.low, s.high, s.control, s.block in blocks) for s in readers.steps]


def curve(found: Searched, metric: str, palette: Palette, *, chosen: int | None = None) -> dict[str, Any] | None:
    """The reader curve, a Vega-Lite spec with a selection `step` of field `block`, of which `chosen` is marked; None
    where there is none."""
    readers = found.readers(metric)
    if readers is None:
        return None
    return reader_curve(
        dots(readers), layer=readers.layer, whole=readers.whole, unit=find(metric).unit, palette=palette, chosen=chosen
    )


def acting(found: Found) -> list[Layer]:
    """The layers of the best pair, as they are drawn."""
    return [
        Layer(
            layer,
            *cell[:3],
            max((one.mean for one in cell.against.values()), default=math.nan),
            found=cell.state == "ok",
            said=SAID.get(cell.state, ""),
        )
        for layer, cell in enumerate(found.cells)
    ]


def acts(
    found: Found, metric: str, palette: Palette, *, selected: int | None = None, height: int = 300
) -> dict[str, Any]:
    """The layers of the best pair, a Vega-Lite spec with a selection `cell` of field `layer`."""
    return layer_bars(
        acting(found),
        layers=len(found.cells),
        unit=find(metric).unit,
        palette=palette,
        said=f"one token, one layer: {percent(found.followed)} follow" if found.kind == "place" else "",
        best=found.at.layer,
        selected=selected,
        height=height,
        alt_text=f"Effect of the vector in each of {len(found.cells)} layers, with intervals and the strongest control",
    )


def printed_acts(found: Searched, at: Found, metric: str, palette: Palette) -> dict[str, Any]:
    """The same as it would be printed."""
    pair = found.best[0].pair
    told = f"{found.label(pair)}, n = {len(found.parts.confirming)}; line: the strongest control"
    spec = acts(at, metric, palette)
    return printed_alone(spec, "Where it acts, layer by layer", width=420, subtitle=told)


def printed_readers(readers: Readers, metric: str, palette: Palette, *, height: int = 260) -> dict[str, Any]:
    """The reader curve as it would be printed."""
    spec = reader_curve(
        dots(readers),
        layer=readers.layer,
        whole=readers.whole,
        unit=find(metric).unit,
        palette=palette,
        height=height,
    )
    blocks = ", ".join(map(str, readers.blocks)) or "none by itself"
    return printed_curve(
        spec, title=f"Who reads it, from layer {readers.layer} on", subtitle=f"blocks that read: {blocks}"
    )


def figures(found: Searched, metric: str) -> dict[str, dict[str, Any]]:
    """All of them as they would be printed."""
    at, view = found.found(metric), find(metric)
    told = "no place was found"
    if at is not None and at.kind != "none":
        told = (
            f"best: {found.label(found.best[0].pair)}, layer {at.at.layer}: {at.best.value:+.1f} {view.unit}, "
            f"{percent(at.followed)} follow (untold {percent(at.untold)}, told {percent(at.told)})"
        )
    title = f"Where it acts: {found.request.task}, {found.request.checkpoint}"
    drawn = {"place": printed(chart(found, metric, LIGHT), title=title, subtitle=told)}
    if at is not None:
        drawn["acts"] = printed_acts(found, at, metric, LIGHT)
    if (readers := found.readers(metric)) is not None:
        drawn["readers"] = printed_readers(readers, metric, LIGHT)
    return drawn


def drawn(found: Searched, metric: str) -> Iterator[Plotted]:
    """What the figures show: the layers of the best pair, with the strongest of their controls; every pair in every
    layer that was tried, which has no interval; what is read so far, and each block's own step of it."""
    at, unit, n = found.found(metric), find(metric).unit, len(found.parts.confirming)
    if at is not None:
        pair = found.best[0].pair
        column = found.columns[pair.column]
        for layer, cell in enumerate(at.cells):
            bar = max(cell.against.values(), key=lambda one: one.mean, default=None)
            strongest = cell if bar is None else cell._replace(control=bar.mean, p_control=bar.p)
            patch = patch_of(layer, column, pair.source)
            label = f"L{layer} {found.label(pair)}"
            yield judged(strongest, "acts", patch, label=label, layer=layer, n=n, metric=metric)
    for panel in found.panels(metric):
        column, label = found.columns[panel.pair.column], found.label(panel.pair)
        for layer, effect, control in zip(panel.layers, panel.effect, panel.control, strict=True):
            patch = patch_of(layer, column, panel.pair.source)
            yield Plotted(
                "place", patch, f"L{layer} {label}", layer, effect,
                control=control, n=len(found.parts.choosing), what=metric, unit=unit,
            )  # fmt: skip
    readers = found.readers(metric)
    for step in () if readers is None else readers.steps:
        about: dict[str, Any] = {"n": n, "unit": unit, "layer": step.block}
        block = f"block {step.block}"
        yield Plotted(
            "readers", block, f"read up to L{step.block}", mean=step.value, low=step.low, high=step.high,
            control=step.control, what=metric, **about,
        )  # fmt: skip
        yield Plotted(
            "readers", block, f"read by L{step.block} itself", mean=step.step, low=step.step_low, high=step.step_high,
            p=step.p, state=step.state, what=f"step of {metric}", **about,
        )  # fmt: skip
