"""What a lens has read: cells, tokens and text, without the model that they came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ivx.engine.address import Spot

SITE = "resid_post"
MOST = 48
"""Tokens that a prompt may have: more columns could not be read."""


@dataclass(frozen=True)
class LensCell:
    """One read-out: the most probable tokens with their probabilities, the first of them first.

    `change` is the total variation from the same cell of the unpatched run, and `reached` whether a patch can change
    the cell at all; without a patch they are 0 and True.
    """

    layer: int
    position: int
    token: str
    top: tuple[tuple[str, float], ...]
    change: float = 0.0
    reached: bool = True


@dataclass(frozen=True, eq=False)
class Reading:
    """A prompt read layer by layer, and what is written after it.

    Attributes:
        tokens: the prompt's, as they are shown; `first` is the first behind leading special ones.
        cells: layers outside, tokens inside.
        unknown: how many tokens stand for words that the tokenizer does not know.
        control: of a drop, what is written with a random vector of the state's norm in its place.
        receipt: what was read, with the checks that were made on this very prompt.
    """

    tokens: tuple[str, ...]
    cells: tuple[LensCell, ...]
    layers: int
    text: str
    first: int
    unknown: int
    receipt: dict[str, Any]
    control: str = ""

    def cell(self, spot: Spot) -> LensCell:
        """One cell; its position may be negative."""
        return self.cells[spot.layer * len(self.tokens) + spot.position % len(self.tokens)]

    @property
    def table(self) -> pa.Table:
        """One row a cell: `layer, position, token, top, probability, change, reached, more`, the last holds all kept
        tokens with their probabilities."""
        rows = [
            {
                "layer": cell.layer,
                "position": cell.position,
                "token": cell.token,
                "top": cell.top[0][0],
                "probability": cell.top[0][1],
                "change": cell.change,
                "reached": cell.reached,
                "more": [{"token": token, "probability": share} for token, share in cell.top],
            }
            for cell in self.cells
        ]
        return pa.Table.from_pylist(rows)


def address(take: Spot, put: Spot) -> str:
    """A drop, as it stands in links: within one layer the patch's address, else both places."""
    same = f"{SITE}.{put.layer}@{put.position}~{take.position}"
    return (
        same if take.layer == put.layer else f"{SITE}.{take.layer}@{take.position} → {SITE}.{put.layer}@{put.position}"
    )
