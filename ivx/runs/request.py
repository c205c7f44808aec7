"""What is asked of ivx, frozen: every field changes a number, and nothing that does not is here.

A request and the fingerprint of the checkpoint it meets hash to the run id, the one address of its result.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import KW_ONLY, asdict, dataclass
from typing import ClassVar

from ivx.engine.address import ABLATIONS as ABLATIONS
from ivx.engine.address import SITES
from ivx.errors import IvxError

ENGINE = "plan-1"
"""Name and version of the way rows are computed; part of every run id."""

DIRECTIONS = ("denoise", "noise", *ABLATIONS, "resample")
CONTROLS = ("task", "random", "neutral", "shuffled")
SCAN_CONTROLS = ("task", "random", "identity", "aggregation")

OVER = ("layers", "heads", "components", "positions")
"""What the players of an interaction may be."""
PLAYERS = {"heads": ("z",), "components": ("attn_out", "mlp_out")}
"""The sites that heads and components have."""


@dataclass(frozen=True)
class Request:
    """What every analysis is asked with; `kind` names the analysis.

    Attributes:
        checkpoint: name, hub id or directory.
        task, against: the instruction patched in, and the task whose answer is the contrast (None: its natural one).
        source_token: where the vector is taken from: `t_inst`, `keyword`, or an index into the instruction's tokens.
        target_format: `prompt`, `query`, `filler` or `chat`.
        adapter: directory of a LoRA adapter that is merged at load.
    """

    kind: ClassVar[str] = ""
    position_words: ClassVar[tuple[str, ...]] = ("first", "last")
    source_words: ClassVar[tuple[str, ...]] = ("t_inst", "keyword")
    checkpoint: str
    task: str
    _: KW_ONLY
    against: str | None = None
    position: str = "first"
    source_token: str = "t_inst"
    target_format: str = "prompt"
    samples: int = 40
    seed: int = 0
    dtype: str = "auto"
    device: str = "auto"
    adapter: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.samples <= 10_000:
            raise IvxError(f"samples is {self.samples}: choose 1 to 10,000")
        for name, words in (("position", self.position_words), ("source_token", self.source_words)):
            value = getattr(self, name)
            if value not in words and not value.removeprefix("-").isdigit():
                raise IvxError(f"{name.replace('_', ' ')} {value!r} is not known: use {', '.join(words)} or an index")

    def run_id(self, checkpoint: str, task: str, *, engine: str = ENGINE) -> str:
        """Hash of all that changes a number, 12 hexadecimal digits; checkpoint and task enter by their fingerprints."""
        asked = {**asdict(self), "kind": self.kind, "checkpoint": checkpoint, "task": task, "engine": engine}
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class EffectsRequest(Request):
    """One effect map.

    Attributes:
        sites: residual, attn_out and mlp_out sites give a layer × position map; `z` a layer × head map at the answer.
        position: `all`, `first`, `last` or an index into the target prompt.
        direction: `denoise` puts the instruction's states into the bare prompt. The others disturb the instructed run:
            `noise` by the bare prompt's states, `resample` by those of another sample told the same, `zero` and `mean`
            (over samples) by ablation.
        controls: what else is put there: `task`, another task's states; `random`, a vector of the same norm; `neutral`,
            those of a sentence that asks for nothing; `shuffled`, another sample's (`ivx.analysis.roles`).
    """

    kind: ClassVar[str] = "effects"
    position_words: ClassVar[tuple[str, ...]] = ("all", "first", "last")
    position: str = "all"
    sites: tuple[str, ...] = ("resid_post", "z")
    direction: str = "denoise"
    controls: tuple[str, ...] = ("task",)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_sites(self.sites)
        if self.direction not in DIRECTIONS:
            raise IvxError(f"direction {self.direction!r} is not known: use one of {', '.join(DIRECTIONS)}")
        _check_controls(self.controls, CONTROLS)
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
        _check_sites(self.sites)
        if "z" in self.sites:
            raise IvxError("a scan has source tokens in place of heads: use the other sites")
        _check_controls(self.controls, SCAN_CONTROLS)


@dataclass(frozen=True)
class InteractionsRequest(Request):
    """Players patched together, against what they do apart.

    Attributes:
        sites: where the players write; several are players of one game, across sites.
        over: players are `layers` of the sites, `heads` (sites: z), `components` (sites: attn_out, mlp_out), or the
            `positions` of one layer, layer by layer.
        position: `first`, `last` or an index into the target prompt; `all` where the players are positions.
        order: 2 for pairs; 3 for triples and their pairs.
    """

    kind: ClassVar[str] = "interactions"
    position_words: ClassVar[tuple[str, ...]] = ("first", "last", "all")
    sites: tuple[str, ...] = ("resid_post",)
    over: str = "layers"
    order: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_sites(self.sites)
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
        position: `first` or an index into the target prompt; tokens must follow it.
        permutations: orders of the players that are drawn where there are too many for every coalition.
    """

    kind: ClassVar[str] = "game"
    position_words: ClassVar[tuple[str, ...]] = ("first",)
    samples: int = 20
    permutations: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.permutations <= 10_000:
            raise IvxError(f"permutations is {self.permutations}: choose 1 to 10,000")


@dataclass(frozen=True)
class PathwaysRequest(Request):
    """The way an instruction's answer takes through the surrogate, beside the contrast instruction's.

    Attributes:
        of: what is split: `contrast`, the answer's logit minus the contrast's, or `logit`, the answer's alone.
        wording: number of one wording that all samples of the task get, so that its tokens stay apart; None draws one
            for each.
        patch_layer: block at whose output the instruction's vector is patched into the bare prompt, at `position` and
            from `source_token`, to compare that run's pathway with the instructed one's; None compares none.
        paths, traced: strongest paths kept, and samples that they are searched in.
        ablation: of heads outside a circuit: `mean`, `zero` or `resample`; `none` leaves the causal check out.
        edge_check: check circuits of edges, too (ablated by zero).
        published: measure the published path sum beside the exact one.
    """

    kind: ClassVar[str] = "pathways"
    of: str = "contrast"
    wording: int | None = None
    patch_layer: int | None = None
    paths: int = 20
    traced: int = 4
    ablation: str = "mean"
    edge_check: bool = False
    published: bool = False
    dtype: str = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, words in (("of", ("contrast", "logit")), ("ablation", ("mean", "zero", "resample", "none"))):
            if getattr(self, name) not in words:
                raise IvxError(f"{name} {getattr(self, name)!r} is not known: use {', '.join(words)}")
        if self.target_format not in ("prompt", "chat"):
            raise IvxError("pathways need the whole prompt behind the query: use the target format prompt or chat")
        for name, most in (("paths", 1_000), ("traced", 100)):
            if not 0 <= getattr(self, name) <= most:
                raise IvxError(f"{name} is {getattr(self, name)}: choose 0 to {most:,}")


def _check_controls(controls: tuple[str, ...], known: tuple[str, ...]) -> None:
    unknown = [name for name in controls if name not in known]
    if unknown or len(set(controls)) < len(controls):
        raise IvxError(f"controls {', '.join(controls)}: name each once, of {', '.join(known)}")


def _check_sites(sites: tuple[str, ...]) -> None:
    unknown = [site for site in sites if site not in SITES]
    if unknown or not sites:
        raise IvxError(f"there is no site {', '.join(unknown) or 'named'}; the sites are {', '.join(SITES)}")
