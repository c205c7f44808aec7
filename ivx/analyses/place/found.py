"""What a search for a place found, and in which layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ivx.stats.verdict import Verdict

HALF = 0.5
"""A place reaches over the layers whose effect stays above this share of the best layer's."""


class At(NamedTuple):
    """A place as other requests take it.

    Attributes:
        source_token, position: fields of a request.
        layer: the best layer; `first` to `last` are those whose effect stays within half of its.
    """

    source_token: str
    position: str
    layer: int
    first: int
    last: int

    @property
    def fields(self) -> dict[str, str]:
        """What a request made at the place has in these fields."""
        return {"source_token": self.source_token, "position": self.position}


@dataclass(frozen=True)
class Found:
    """What the confirming samples say of the pair that the others chose.

    Attributes:
        at: the pair and its layers.
        cells: the verdict on every layer, adjusted over all that was confirmed.
        beyond: mean effect beyond the strongest control at the best layer.
        followed, told, untold: share of the confirming samples that follow: patched, told, and neither.
        silent: source tokens none of whose best cells is beyond its controls.
        kind: `place`; `preference`, where the answer is preferred and the model does not follow even when told; or
            `none`.
    """

    at: At
    cells: tuple[Verdict, ...]
    beyond: float
    followed: float
    told: float
    untold: float
    silent: tuple[str, ...]
    kind: str

    @property
    def best(self) -> Verdict:
        """The verdict on the best layer."""
        return self.cells[self.at.layer]


def reach(cells: Sequence[Verdict], layer: int) -> tuple[int, int]:
    """The layers around the best whose effect stays within half of its."""
    least = HALF * cells[layer].value
    first = last = layer
    while first and cells[first - 1].value >= least:
        first -= 1
    while last + 1 < len(cells) and cells[last + 1].value >= least:
        last += 1
    return first, last


def share(values: Any) -> float:
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else float("nan")
