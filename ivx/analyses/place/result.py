"""The result of a search for a place: the place, or what would have been seen; and what reads the vector there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ivx.analyses.base import Result
from ivx.analyses.place import drawing, search
from ivx.analyses.place.found import At, Found, reach, share
from ivx.analyses.place.readers import Readers, readers_of
from ivx.analyses.place.request import PlaceRequest
from ivx.analyses.place.search import CHOOSING, CONFIRMING, KEPT, Pair, Panel, Parts, Reading, named, patch_of
from ivx.formats.plotted import Plotted
from ivx.patching import gate
from ivx.patching.positions import Column
from ivx.stats.following import Following
from ivx.stats.metrics import PRIMARY, find
from ivx.stats.power import least_effect
from ivx.stats.verdict import verdicts
from ivx.tasks.samples import Samples


@dataclass(frozen=True, kw_only=True)
class Place(Result[PlaceRequest]):
    """A result: one row per sample × patch × role that was tried, and everything needed to read it.

    `columns` are the tokens of the bare prompt that were patched, `sources` the names of those that were taken.
    """

    samples: Samples
    columns: tuple[Column, ...]
    sources: tuple[str, ...]
    heads: int

    @property
    def parts(self) -> Parts:
        """Which samples chose, and which confirmed."""
        return search.parts_of(len(self.samples.rows), self.request.choosing)

    @property
    def at(self) -> At | None:
        """The place, ready to be put into other requests; None where none was found."""
        found = self.found()
        return found.at if found is not None and found.kind == "place" else None

    def panels(self, metric: str = PRIMARY) -> list[Panel]:
        """Every pair of tokens in the layers that are done, source by source."""
        return self._panels(metric, range(self.layers), self.pairs, alone=True)

    def _panels(self, metric: str, layers: Sequence[int], pairs: Sequence[Pair], *, alone: bool) -> list[Panel]:
        reading, followed = self._reading(metric), self._reading("followed")
        asked: dict[str, Any] = {
            "layers": layers,
            "parts": self.parts,
            "controls": search.there(CHOOSING, self.samples),
            "alone": alone,
        }
        found = (search.panel(reading, followed, pair, self.columns, **asked) for pair in pairs)
        return [panel for panel in found if panel is not None]

    @property
    def pairs(self) -> list[Pair]:
        """Every pair of tokens that is tried."""
        return [Pair(source, k) for source in self.sources for k in range(len(self.columns))]

    @cached_property
    def _coarse(self) -> list[Panel]:
        """The coarse search alone: what is refined must not depend on where an earlier start was stopped."""
        return self._panels(PRIMARY, range(0, self.layers, self.request.every), self.pairs, alone=False)

    @property
    def sinks(self) -> tuple[int, ...]:
        """Columns where a control moves the answer as the vector does."""
        return search.sinks(self._coarse)

    @cached_property
    def _able(self) -> list[Panel]:
        return search.ranked(self._coarse, away=self.sinks)

    @cached_property
    def best(self) -> list[Panel]:
        """The pairs that are refined, the best first: by the coarse search until all layers of all of them are done."""
        coarse = self._able[:KEPT]
        refined = self._panels(PRIMARY, range(self.layers), [panel.pair for panel in coarse], alone=True)
        if any(len(panel.layers) < self.layers for panel in refined):
            return coarse
        return search.ranked(refined, away=()) or coarse

    @property
    def confirming(self) -> list[tuple[Pair, int, str]]:
        """(pair, layer, patch) of what is confirmed: the best pair in all layers, the others and the best of every
        other source token in their best."""
        if not self.best:
            return []
        first, *others = self.best
        cells = [(first.pair, layer) for layer in range(self.layers)]
        others += [next((p for p in self._able if p.pair.source == source), first) for source in self.sources]
        cells += [(panel.pair, panel.layer) for panel in others]
        cells = list(dict.fromkeys(cells))
        return [(pair, layer, self._patch(pair, layer)) for pair, layer in cells]

    @property
    def curve_patches(self) -> list[str]:
        """The patches of the reader curve."""
        pair = self._read
        return [] if pair is None else [f"{first},{own}" for first, own in self._curve(*pair)]

    @property
    def head_patches(self) -> list[str]:
        """The patches of the heads of the reading blocks."""
        found = self.readers()
        return [] if found is None else [patch for _, _, patch in self.head_cells(found.blocks)]

    def head_cells(self, blocks: tuple[int, ...]) -> list[tuple[int, int, str]]:
        """(block, head, patch) of every head of these blocks: its output behind the place is what it is unpatched."""
        if self._read is None:
            return []
        pair, layer = self._read
        past = search.past(self.columns[pair.column], self.samples.rows)
        first = self._patch(pair, layer)
        return [
            (block, head, ",".join([first, *(f"z.{block}.{head}@{at}=own" for at in past)]))
            for block in blocks
            for head in range(self.heads)
        ]

    def found(self, metric: str = PRIMARY) -> Found | None:
        """What the confirming samples say; None where no pair was worth confirming, or they are not done."""
        if metric not in self._founds:
            self._founds[metric] = self._confirmed(metric)
        return self._founds[metric]

    @cached_property
    def _founds(self) -> dict[str, Found | None]:
        return {}

    def _confirmed(self, metric: str) -> Found | None:
        view, part, cells = find(metric), self.parts.confirming, self.confirming
        reading, controls = self._reading(metric), search.there(CONFIRMING, self.samples)
        if not cells or not all(reading.has("effect", patch, part) for _, _, patch in cells):
            return None
        if not all(reading.has(*named(name, patch), part) for name in controls for _, _, patch in cells):
            return None
        values = np.stack([reading.effect("effect", patch, part) for _, _, patch in cells])
        others = {
            name: np.stack([reading.effect(*named(name, patch), part) for _, _, patch in cells]) for name in controls
        }
        judged = verdicts(
            values,
            others.pop("task", None),
            floor=view.floor,
            shares=view.shares,
            groups=self.samples.groups[part.start : part.stop],
            seed=self.request.seed,
            others=others,
        )
        own, pair, layer = judged[: self.layers], self.best[0].pair, self.best[0].layer
        first, last = reach(own, layer)
        column = self.columns[pair.column]
        at = At(pair.source, search.position_name(column, self.samples.rows[0]), layer, first, last)
        following = self._reading("followed")
        shares = [
            share(following.level(role, patch, part))
            for role, patch in (("effect", self._patch(pair, layer)), ("told", ""), ("effect", ""))
        ]
        strongest = max([0.0, *(against.mean for against in own[layer].against.values())])
        kind = "none" if own[layer].state != "ok" or own[layer].value <= 0 else "place"
        if kind == "place" and not self.follows:
            kind = "preference"
        followed, told, untold = shares
        acting = {pair.source for (pair, *_), verdict in zip(cells, judged, strict=True)
                  if verdict.state == "ok" and verdict.value > 0}  # fmt: skip
        silent = tuple(name for name in self.sources if name not in acting)
        return Found(at, tuple(own), own[layer].value - strongest, followed, told, untold, silent, kind)

    @property
    def follows(self) -> bool:
        """Whether the model does what it is told at all; True where that was not counted."""
        told = self.receipt.get(gate.FIELD)
        return told is None or Following(**told).follows

    @property
    def least(self) -> float:
        """The smallest mean effect, in logits of the contrast, that the confirming samples would have shown."""
        found, part, reading = self.confirming, self.parts.confirming, self._reading(PRIMARY)
        values = [reading.effect("effect", patch, part) for _, _, patch in found]
        if not values:  # nothing was worth confirming: what the choosing samples could have shown
            part = self.parts.choosing
            pairs = [(panel.pair, panel.layer) for panel in self._coarse]
            values = [reading.effect("effect", self._patch(*cell), part) for cell in pairs]
        return least_effect(np.stack(values)) if values else float("nan")

    @property
    def _read(self) -> tuple[Pair, int] | None:
        """The pair and the layer whose readers are looked for; None where there is nothing to read."""
        found = self.found()
        if found is None or self.request.readers == "none":
            return None
        if found.kind == "none" and self.request.layer is None:
            return None
        panel = self.best[0]
        layer = search.readers_layer(panel) if self.request.layer is None else self.request.layer
        behind = min(search.behind(self.columns[panel.pair.column], sample) for sample in self.samples.rows)
        return (panel.pair, layer) if behind and layer < self.layers - 1 else None

    def _curve(self, pair: Pair, layer: int) -> list[tuple[str, str]]:
        position = self.columns[pair.column].position
        first = self._patch(pair, layer)
        return [(first, f"{search.STREAM}.{block}@{position}=own") for block in range(layer + 1, self.layers)]

    def readers(self, metric: str = PRIMARY) -> Readers | None:
        """Which blocks, and of these which heads, read the vector at its place; None where that was not asked."""
        if self._read is None:
            return None
        pair, layer = self._read
        return readers_of(
            self._reading(metric),
            layer,
            self.curve_patches,
            whole=self._patch(pair, layer),
            cells=self.head_cells,
            part=self.parts.confirming,
            control=search.there(CHOOSING, self.samples)[0],
            view=find(metric),
            groups=self.samples.groups[self.parts.confirming.start :],
            seed=self.request.seed,
        )

    def label(self, pair: Pair) -> str:
        """A pair of tokens in words."""
        source, column = search.source_label(pair.source, self.samples.rows), self.columns[pair.column]
        return f"{source} → “{column.label}” ({search.offset_name(column, self.samples.rows[0])})"

    def _patch(self, pair: Pair, layer: int) -> str:
        return patch_of(layer, self.columns[pair.column], pair.source)

    def _reading(self, metric: str) -> Reading:
        if metric not in self._readings:
            self._readings[metric] = Reading(self.table, find(metric), samples=len(self.samples.rows))
        return self._readings[metric]

    @cached_property
    def _readings(self) -> dict[str, Reading]:
        return {}

    @property
    def figure_names(self) -> tuple[str, ...]:
        """The search, the layers of the best pair, and the readers, where they are there."""
        acts = () if self.found() is None else ("acts",)
        return ("place", *acts) if self._read is None else ("place", *acts, "readers")

    def figures(self, metric: str = PRIMARY) -> dict[str, dict[str, Any]]:
        """The figures as they would be printed, Vega-Lite specs by name."""
        return drawing.figures(self, metric)

    def drawn(self, metric: str = "contrast") -> Iterator[Plotted]:
        """What the figures show, a number at a time (`ivx.formats.plotted`)."""
        return drawing.drawn(self, metric)

    def summary(self, metric: str = PRIMARY) -> dict[str, Any]:
        """The receipt, what was found, every pair that was tried, and the readers."""
        found, readers, row = self.found(metric), self.readers(metric), self.samples.rows[0]
        return {
            **self.receipt,
            "metric": metric,
            "population": self.samples.population,
            "place": None if found is None else {
                **found.at._asdict(),
                "kind": found.kind,
                "label": self.label(self.best[0].pair),
                **found.best.plain(),
                "controls": {name: against._asdict() for name, against in found.best.against.items()},
                "beyond": found.beyond,
                "followed": found.followed,
                "told": found.told,
                "untold": found.untold,
                "n": len(self.parts.confirming),
                "layers": [verdict.plain() for verdict in found.cells],
            },
            "least": self.least,
            "sinks": [search.offset_name(self.columns[k], row) for k in self.sinks],
            "silent": [] if found is None else list(found.silent),
            "pairs": [
                {
                    "source": panel.pair.source,
                    "position": search.position_name(self.columns[panel.pair.column], row),
                    "label": self.columns[panel.pair.column].label,
                    "layer": panel.layer,
                    "score": panel.score,
                    "effect": panel.effect[panel.best],
                    "control": panel.control[panel.best],
                    "followed": panel.followed,
                }
                for panel in self.panels(metric)
            ],
            "readers": None if readers is None else asdict(readers) | {"blocks": list(readers.blocks)},
        }  # fmt: skip
