"""The request of interactions: what several patches do together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ivx.engine.address import SITES
from ivx.errors import IvxError
from ivx.request import Request, check_controls, check_sites, check_spans, check_word
from ivx.stats.metrics import find
from ivx.vocabulary import CONTROLS, OTHERS, POSITION_WORDS

OVER = ("layers", "heads", "components", "positions")
"""What the players of an interaction may be."""


PATCHES = ("overwrite", "delta")
"""How a player acts on the state at its place."""
DELTA_CONTROLS = ("task", "random")
"""Controls of added differences: another task's difference from an idle sentence, and a random one of its norm."""
PLAYERS = {"heads": ("z",), "components": ("attn_out", "mlp_out")}
"""The sites of heads, and of components."""
WHOLE = ("resid_pre", "resid_mid", "resid_post")
"""The sites of the whole stream."""
OVERWRITTEN = (
    "J holds what the later patch overwrites of the earlier one at its token, so that even a linear circuit has one: "
    "restored pairs take it out; the game of keys and values, and patches that add, overwrite nothing"
)
BENT = (
    "{} is not linear in logits, so that logits which add up have a J in it: a pair is marked where some monotone "
    "transform of the metric would remove its J"
)


@dataclass(frozen=True)
class InteractionsRequest(Request):
    """What players do when patched together, against what they do apart.

    Attributes:
        sites: sites that the players write; the players of several sites are in one game.
        over: what the players are: `layers` of the sites, `heads` (sites: z), `components` (sites: attn_out, mlp_out),
            or the `positions` of one layer, layer by layer.
        position: where to patch: `first`, `field` (the last token before the query), `query` (its first), `mark` (the
            first behind it), `cue` (the last of the cue word), `last` or an index into the target prompt; `all` where
            players are positions.
        order: size of the largest sets: 2 for pairs; 3 for triples and their pairs.
        controls: what is patched at both places instead, as for effects; a finding's J must beat the control's J.
        patch: `overwrite` puts the vector in the state's place; `delta` adds its difference from an idle sentence's,
            so that one patch of a token does not erase another.
        restored: run each pair's first player with the token's own value back at the second, too, which splits J into
            what overwriting takes away and the rest; for layers of one whole-stream site.
        layers, heads: which of them play, such as 4-17 or 0,3,8-11; by default all. P values are adjusted over the
            pairs of these alone.
    """

    kind: ClassVar[str] = "interactions"
    since: ClassVar[tuple[str, ...]] = ("patch", "restored", "layers", "heads")
    position_words: ClassVar[tuple[str, ...]] = (*POSITION_WORDS, "all")
    sites: tuple[str, ...] = ("resid_post",)
    over: str = "layers"
    order: int = 2
    controls: tuple[str, ...] = ("task", "random")
    patch: str = "overwrite"
    restored: bool = False
    layers: str = ""
    heads: str = ""

    @property
    def overwrites(self) -> bool:
        """Whether players write the whole stream of one token, so that a later one erases an earlier one."""
        whole = any(site in WHOLE for site in self.sites)
        return whole and self.patch == "overwrite" and self.over != "positions"

    @property
    def splits(self) -> bool:
        """Whether J can be split into what overwriting takes away and the rest."""
        return self.overwrites and self.over == "layers" and len(self.sites) == 1

    def notes(self, metric: str = "contrast") -> list[str]:
        """What J holds beside an interaction, a sentence each: what patches overwrite, and the bend of a metric."""
        told = []
        if self.overwrites and not self.restored:
            told.append(OVERWRITTEN)
        if self.bends(metric):
            told.append(BENT.format(find(metric).label))
        return told

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sites(self.sites)
        check_controls(self.controls, (*CONTROLS, *OTHERS))
        check_word("over", self.over, OVER)
        if self.order not in (2, 3):
            raise IvxError(f"order is {self.order}: choose 2 for pairs or 3 for triples")
        allowed = PLAYERS.get(self.over, SITES)
        if wrong := [site for site in self.sites if site not in allowed]:
            raise IvxError(f"{self.over} are not at {', '.join(wrong)}: use the sites {', '.join(allowed)}")
        check_word("patch", self.patch, PATCHES)
        if self.patch == "delta" and (self.over == "heads" or "z" in self.sites):
            raise IvxError("a delta is of whole states: use other sites than z, or patch overwrite")
        if self.patch == "delta" and (wrong := [name for name in self.controls if name not in DELTA_CONTROLS]):
            raise IvxError(f"a delta has no control {', '.join(wrong)}: use {', '.join(DELTA_CONTROLS)}")
        check_spans(self, "layers", "heads")
        if self.heads and self.over != "heads":
            raise IvxError("heads are players of their own: ask for over heads, or leave them out")
        if (self.position == "all") != (self.over == "positions"):
            raise IvxError("position all and over positions go together: players are all positions, or stand at one")
        if self.restored and not self.splits:
            raise IvxError(
                "restored pairs are of layers that overwrite one site of the stream: ask for over layers, patch "
                f"overwrite and one of the sites {', '.join(WHOLE)}"
            )
