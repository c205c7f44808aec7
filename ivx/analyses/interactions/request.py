"""The request of interactions: what several patches do together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ivx.engine.address import SITES
from ivx.errors import IvxError
from ivx.request import Request, check_controls, check_sites, check_word
from ivx.vocabulary import CONTROLS

OVER = ("layers", "heads", "components", "positions")
"""What the players of an interaction may be."""


PLAYERS = {"heads": ("z",), "components": ("attn_out", "mlp_out")}
"""The sites of heads, and of components."""


@dataclass(frozen=True)
class InteractionsRequest(Request):
    """What players do when patched together, against what they do apart.

    Attributes:
        sites: sites that the players write; the players of several sites are in one game.
        over: what the players are: `layers` of the sites, `heads` (sites: z), `components` (sites: attn_out, mlp_out),
            or the `positions` of one layer, layer by layer.
        position: where to patch: `first`, `query`, `last` or an index into the target prompt; `all` where players are
            positions.
        order: size of the largest sets: 2 for pairs; 3 for triples and their pairs.
        controls: what is patched at both places instead, as for effects; a finding's J must beat the control's J.
    """

    kind: ClassVar[str] = "interactions"
    position_words: ClassVar[tuple[str, ...]] = ("first", "query", "last", "all")
    sites: tuple[str, ...] = ("resid_post",)
    over: str = "layers"
    order: int = 2
    controls: tuple[str, ...] = ("task", "random")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sites(self.sites)
        check_controls(self.controls, CONTROLS)
        check_word("over", self.over, OVER)
        if self.order not in (2, 3):
            raise IvxError(f"order is {self.order}: choose 2 for pairs or 3 for triples")
        allowed = PLAYERS.get(self.over, SITES)
        if wrong := [site for site in self.sites if site not in allowed]:
            raise IvxError(f"{self.over} are not at {', '.join(wrong)}: use the sites {', '.join(allowed)}")
        if (self.position == "all") != (self.over == "positions"):
            raise IvxError("position all and over positions go together: players are all positions, or stand at one")
