"""What is asked by patching: effect maps, source scans, interactions and the clean game."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ivx.engine.address import ABLATIONS, SITES
from ivx.errors import IvxError
from ivx.request import Request, check_controls, check_sites

DIRECTIONS = ("denoise", "noise", *ABLATIONS, "resample")
CONTROLS = ("task", "random", "neutral", "shuffled")
SCAN_CONTROLS = ("task", "random", "identity", "aggregation")

OVER = ("layers", "heads", "components", "positions")
"""What the players of an interaction may be."""
PLAYERS = {"heads": ("z",), "components": ("attn_out", "mlp_out")}
"""The sites that heads and components have."""


@dataclass(frozen=True)
class EffectsRequest(Request):
    """One effect map.

    Attributes:
        sites: residual, attn_out and mlp_out sites give a layer × position map; `z` a layer × head map at the answer.
        position: `all`, `first`, `query` (its first token), `last` or an index into the target prompt.
        direction: `denoise` puts the instruction's states into the bare prompt. The others disturb the instructed run:
            `noise` by the bare prompt's states, `resample` by those of another sample told the same, `zero` and `mean`
            (over samples) by ablation.
        controls: what else is put there: `task`, another task's states; `random`, a vector of the same norm; `neutral`,
            those of a sentence that asks for nothing; `shuffled`, another sample's (`ivx.patching.roles`).
    """

    kind: ClassVar[str] = "effects"
    position_words: ClassVar[tuple[str, ...]] = ("all", "first", "query", "last")
    position: str = "all"
    sites: tuple[str, ...] = ("resid_post", "z")
    direction: str = "denoise"
    controls: tuple[str, ...] = ("task",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sites(self.sites)
        if self.direction not in DIRECTIONS:
            raise IvxError(f"direction {self.direction!r} is not known: use one of {', '.join(DIRECTIONS)}")
        check_controls(self.controls, CONTROLS)
        whole = self.direction in ABLATIONS and self.position == "all" and "z" in self.sites
        if "shuffled" in self.controls and (whole or self.direction == "resample"):
            raise IvxError(
                "the control shuffled has no place here: resampling is itself another sample's state, and heads at all "
                "positions have no like in another prompt; leave it out"
            )


@dataclass(frozen=True)
class ScanRequest(Request):
    """Where in the instruction a vector must be taken from, to act at one position of the bare prompt.

    Attributes:
        source_token: `all`, or one of them.
        sites: of the stream, `attn_out` or `mlp_out`; each gives a layer × source token map.
        controls: what else is put there: `task` and `random` as for effects; `identity`, the state of that token fed
            alone; `aggregation`, the state of the task phrase's last word fed alone.
    """

    kind: ClassVar[str] = "scan"
    direction: ClassVar[str] = "denoise"
    source_words: ClassVar[tuple[str, ...]] = ("all", "t_inst", "keyword")
    source_token: str = "all"
    sites: tuple[str, ...] = ("resid_post",)
    controls: tuple[str, ...] = ("task", "identity", "aggregation")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sites(self.sites)
        if "z" in self.sites:
            raise IvxError("a scan has source tokens in place of heads: use the other sites")
        check_controls(self.controls, SCAN_CONTROLS)


@dataclass(frozen=True)
class InteractionsRequest(Request):
    """Players patched together, against what they do apart.

    Attributes:
        sites: where the players write; several are players of one game, across sites.
        over: players are `layers` of the sites, `heads` (sites: z), `components` (sites: attn_out, mlp_out), or the
            `positions` of one layer, layer by layer.
        position: `first`, `query`, `last` or an index into the target prompt; `all` where the players are positions.
        order: 2 for pairs; 3 for triples and their pairs.
        controls: what else is put at both places, as for effects: J must beat the control's J to be a finding.
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
        if self.over not in OVER:
            raise IvxError(f"over {self.over!r} is not known: use {', '.join(OVER)}")
        if self.order not in (2, 3):
            raise IvxError(f"order is {self.order}: choose 2 for pairs or 3 for triples")
        allowed = PLAYERS.get(self.over, SITES)
        if wrong := [site for site in self.sites if site not in allowed]:
            raise IvxError(f"{self.over} are not at {', '.join(wrong)}: use the sites {', '.join(allowed)}")
        if (self.position == "all") != (self.over == "positions"):
            raise IvxError("position all and over positions go together: players are all positions, or stand at one")


@dataclass(frozen=True)
class GameRequest(Request):
    """The clean game: blocks whose later tokens read one position's keys and values from the source.

    Attributes:
        position: `first`, `query` or an index into the target prompt; tokens must follow it.
        permutations: orders of the players that are drawn where there are too many for every coalition.
    """

    kind: ClassVar[str] = "game"
    position_words: ClassVar[tuple[str, ...]] = ("first", "query")
    samples: int = 20
    permutations: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.permutations <= 10_000:
            raise IvxError(f"permutations is {self.permutations}: choose 1 to 10,000")
