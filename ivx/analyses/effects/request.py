"""The requests of effects: a map of patches, and a scan of the instruction's tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ivx.engine.address import ABLATIONS
from ivx.errors import IvxError
from ivx.request import Request, check_controls, check_counts, check_sites, check_spans, check_word
from ivx.vocabulary import (
    CONTROLS,
    DIRECTIONS,
    OTHERS,
    POSITION_WORDS,
    SCAN_CONTROLS,
    SHOWN_CONTROLS,
    SOURCE_WORDS,
)

MOST_TOGETHER = 100
"""Most states that a cell patches together."""


@dataclass(frozen=True)
class EffectsRequest(Request):
    """One effect map.

    Attributes:
        sites: sites to patch: residual, attn_out and mlp_out give a layer × position map; `z` a layer × head map at the
            answer, which the command line makes only when it is named.
        position: where to patch: `all`, or one token: `first`, `field` (the last before the query), `query` (its
            first), `mark` (the first behind it), `cue` (the last of the cue word), `last` or an index into the target
            prompt.
        direction: `denoise` puts the instruction's states into the bare prompt. The others disturb the instructed run:
            `noise` by the bare prompt's states, `resample` by those of another sample told the same, `zero` and `mean`
            (over samples) by ablation.
        controls: what is patched in the states' place: `task`, another task's states; `random`, a vector of the same
            norm; `neutral`, those of a sentence that asks for nothing; `shuffled`, another sample's;
            `counter`, those of the contrast task; `unpaired`, those of demonstrations with shuffled answers
            (`ivx.patching.roles`).
        layers, heads: which of them are patched, such as 4-17 or 0,3,8-11; by default all. P values are adjusted over
            what is run alone.
        window: how many neighbouring layers a cell patches together, around its own; fewer at both ends.
        span: how many neighbouring tokens a cell patches together, from its own on; fewer at the end.
    """

    since: ClassVar[tuple[str, ...]] = ("layers", "heads", "window", "span")

    kind: ClassVar[str] = "effects"
    position_words: ClassVar[tuple[str, ...]] = ("all", *POSITION_WORDS)
    position: str = "all"
    sites: tuple[str, ...] = field(default=("resid_post", "z"), metadata={"command": ("resid_post",)})
    direction: str = "denoise"
    controls: tuple[str, ...] = ("task",)
    layers: str = ""
    heads: str = ""
    window: int = 1
    span: int = 1

    @property
    def joint(self) -> str:
        """What a cell patches together, in words; empty where it is one state."""
        layers = f"the {self.window} layers around its own" if self.window > 1 else ""
        tokens = f"the {self.span} tokens from its own on" if self.span > 1 else ""
        return " and ".join(filter(None, [layers, tokens]))

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sites(self.sites)
        check_counts(self, window=(1, MOST_TOGETHER), span=(1, MOST_TOGETHER))
        if self.window * self.span > MOST_TOGETHER:
            raise IvxError(f"window × span is {self.window * self.span}: a cell patches {MOST_TOGETHER} states at most")
        if self.joint and "z" in self.sites:
            raise IvxError("heads have no window and no span: leave out the site z")
        check_word("direction", self.direction, DIRECTIONS)
        check_controls(self.controls, (*CONTROLS, *OTHERS, *SHOWN_CONTROLS))
        check_spans(self, "layers", "heads")
        if self.heads and "z" not in self.sites:
            raise IvxError("heads are those of the site z: ask for it, or leave them out")
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
        source_token: instruction token that the vector is taken from: `all`, `t_inst`, `keyword`, `before` (the
            keyword), `first` or an index.
        sites: residual sites, `attn_out` or `mlp_out`; each gives a layer × source token map.
        controls: what is patched in the vector's place: `task` and `random` as for effects; `identity`, the state of
            that token fed alone; `aggregation`, the state of the task phrase's last word fed alone.
        layers: which of them are patched, as for effects.
    """

    kind: ClassVar[str] = "scan"
    since: ClassVar[tuple[str, ...]] = ("layers",)
    direction: ClassVar[str] = "denoise"
    source_words: ClassVar[tuple[str, ...]] = ("all", *SOURCE_WORDS)
    source_token: str = "all"
    sites: tuple[str, ...] = ("resid_post",)
    controls: tuple[str, ...] = ("task", "identity", "aggregation")
    layers: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sites(self.sites)
        check_spans(self, "layers")
        if "z" in self.sites:
            raise IvxError("a scan has source tokens in place of heads: use the other sites")
        check_controls(self.controls, SCAN_CONTROLS)
