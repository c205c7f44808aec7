"""The request of a mediation: what of a patch's effect passes through which parts behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ivx.errors import IvxError
from ivx.request import Request, check_controls, check_counts, check_spans, check_word
from ivx.vocabulary import CONTROLS, OTHERS

THROUGH = ("heads", "components", "positions", "edges")
"""What may carry an effect."""


@dataclass(frozen=True)
class MediationRequest(Request):
    """How much of a vector's effect passes through the heads, parts or tokens behind it.

    Attributes:
        layer: the layer that the vector is put at, after its block.
        through: what may carry the effect, each set to its own unpatched value: later `heads`, the `components` of
            later blocks (attention, MLP), or `positions`, the tokens between the patched one and the last; or `edges`,
            the other way round: the vector reaches one later head alone, and what that passes on goes everywhere.
        layers: the later layers whose heads, components or edges are tried, such as 4-17; by default all.
        top: how many of the strongest are set together at most; half of the samples ranks, the other half measures.
        draws: how many random sets of equal size stand beside.
        controls: what is put in the vector's place, as for effects; another task's effect must not pass there as much.
    """

    kind: ClassVar[str] = "mediation"
    layer: int
    through: str = "heads"
    layers: str = ""
    top: int = 8
    draws: int = 4
    controls: tuple[str, ...] = ("task",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_word("through", self.through, THROUGH)
        check_counts(self, samples=(2, 10_000), top=(1, 64), draws=(1, 100))
        check_controls(self.controls, (*CONTROLS, *OTHERS))
        check_spans(self, "layers")
        if not 0 <= self.layer < 10_000:
            raise IvxError(f"layer is {self.layer}: choose one of the checkpoint's, from 0")
        if self.layers and self.through == "positions":
            raise IvxError("tokens are set to their own values in all later layers: leave out layers")
