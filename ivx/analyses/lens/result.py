"""What a lens has read: cells, tokens and text, without the model that they came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from ivx.analyses.base import Result
from ivx.analyses.lens.request import LensRequest
from ivx.charts.frame import printed_alone
from ivx.charts.lens import LensCell, lens_grid
from ivx.charts.palette import LIGHT
from ivx.engine.address import STREAM, Spot
from ivx.formats.plotted import Plotted

MOST = 48
"""Most tokens of a prompt: more columns would not be legible."""
TABLE = pa.schema(
    [
        ("layer", pa.int32()),
        ("position", pa.int32()),
        ("token", pa.string()),
        ("rank", pa.int32()),
        ("id", pa.int64()),
        ("word", pa.string()),
        ("probability", pa.float64()),
        ("change", pa.float64()),
        ("reached", pa.bool_()),
    ]
)
"""One row per cell and rank: the prompt's `token` at `position`, and the word of this `rank`, from 1, that is read from
the stream there. `change` is the total variation from the same cell of the unpatched run, and `reached` whether a patch
can change the cell at all; without a patch they are 0 and true."""
KEY = ("layer", "position", "rank")


@dataclass(frozen=True, kw_only=True)
class Reading(Result[LensRequest]):
    """A prompt read layer by layer, and what is written after it.

    Attributes:
        tokens: the prompt's, as they are shown; `first` is the first after the leading special ones.
        unknown: how many tokens stand for words that the tokenizer does not know.
        control: with a patch, what is written with a random vector of the state's norm in its place.
    """

    tokens: tuple[str, ...]
    text: str
    first: int
    unknown: int
    control: str = ""

    @cached_property
    def cells(self) -> tuple[LensCell, ...]:
        """Every cell, by layer, then by token."""
        tops: dict[tuple[int, int], list[dict[str, Any]]] = {}
        for row in self.table.to_pylist():
            tops.setdefault((row["layer"], row["position"]), []).append(row)
        return tuple(
            LensCell(
                *place,
                rows[0]["token"],
                tuple((row["word"], row["probability"]) for row in sorted(rows, key=lambda row: row["rank"])),
                rows[0]["change"],
                rows[0]["reached"],
            )
            for place, rows in sorted(tops.items())
        )

    def cell(self, spot: Spot) -> LensCell:
        """One cell; its position may be negative."""
        return self.cells[spot.layer * len(self.tokens) + spot.position % len(self.tokens)]

    @property
    def figure_names(self) -> tuple[str, ...]:
        """The grid."""
        return ("lens",)

    def figures(self, metric: str = "contrast") -> dict[str, dict[str, Any]]:
        """The grid of top words as it would be printed, a Vega-Lite spec named `lens`; ignores the metric."""
        asked = self.request
        spec = lens_grid(
            self.cells,
            self.tokens,
            layers=self.layers,
            palette=LIGHT,
            by="probability" if asked.source is None else "change",
            chosen=None if asked.source is None else asked.spots[1],
        )
        title = f"{asked.checkpoint}: the top word of every layer's stream at every token"
        subtitle = "blue: its probability" if asked.source is None else "orange: changed by the patch"
        return {"lens": printed_alone(spec, title, width=70 * len(self.tokens), subtitle=subtitle)}

    def drawn(self, metric: str = "contrast") -> Iterator[Plotted]:
        """What the figures show, a number at a time (`ivx.formats.plotted`); ignores the metric. What a grid is
        shaded by: the top word's probability, or with a patch the change of all."""
        for cell in self.cells:
            word, share = cell.top[0]
            patched = self.request.source is not None
            what, mean = ("change", cell.change) if patched else ("probability", share)
            place = f"{STREAM}.{cell.layer}@{cell.position}"
            label = f"L{cell.layer} {cell.token}: {word}"
            yield Plotted("lens", place, label, cell.layer, mean, what=what, unit="share")

    def summary(self, metric: str = "contrast") -> dict[str, Any]:
        """The receipt, what is written, and the top words of every cell; ignores the metric."""
        return {
            **self.receipt,
            "tokens": list(self.tokens),
            "text": self.text,
            "control_text": self.control,
            "unknown": self.unknown,
            "cells": [
                {
                    "layer": cell.layer,
                    "position": cell.position,
                    "top": [{"word": word, "probability": share} for word, share in cell.top],
                    "change": cell.change,
                    "reached": cell.reached,
                }
                for cell in self.cells
            ],
        }


def address(take: Spot, put: Spot) -> str:
    """A patch as text for links: within one layer the patch's address, else both places."""
    same = f"{STREAM}.{put.layer}@{put.position}~{take.position}"
    return (
        same
        if take.layer == put.layer
        else f"{STREAM}.{take.layer}@{take.position} → {STREAM}.{put.layer}@{put.position}"
    )
