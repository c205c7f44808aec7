"""What is asked of ivx, frozen: every field changes a number, and nothing that does not is here.

A request and the fingerprint of the checkpoint it meets hash to the run id, the one address of its result.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, asdict, dataclass
from typing import ClassVar

from ivx.engine.address import ABLATIONS as ABLATIONS
from ivx.engine.address import SITES
from ivx.errors import IvxError
from ivx.tasks import catalogue
from ivx.tasks.task import fingerprint

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
class BaseRequest(ABC):
    """What every analysis is asked with; `kind` names the analysis.

    Attributes:
        checkpoint: name, hub id or directory.
        adapter: directory of a LoRA adapter that is merged at load.
    """

    kind: ClassVar[str] = ""
    checkpoint: str
    _: KW_ONLY
    seed: int = 0
    dtype: str = "auto"
    device: str = "auto"
    adapter: str | None = None

    @abstractmethod
    def about(self, collection: str) -> str:
        """Fingerprint of the tasks that are asked about, on a checkpoint of that collection."""

    def run_id(self, checkpoint: str, task: str, *, engine: str = ENGINE) -> str:
        """Hash of all that changes a number, 12 hexadecimal digits; checkpoint and task enter by their fingerprints."""
        asked = {**asdict(self), "kind": self.kind, "checkpoint": checkpoint, "task": task, "engine": engine}
        asked.pop("tasks", None)
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Request(BaseRequest):
    """What an analysis by patching is asked with.

    Attributes:
        task, against: the instruction patched in, and the task whose answer is the contrast (None: its natural one).
        source_token: where the vector is taken from: `t_inst`, `keyword`, or an index into the instruction's tokens.
        target_format: `prompt`, `query`, `filler` or `chat`.
    """

    position_words: ClassVar[tuple[str, ...]] = ("first", "last")
    source_words: ClassVar[tuple[str, ...]] = ("t_inst", "keyword")
    task: str
    _: KW_ONLY
    against: str | None = None
    position: str = "first"
    source_token: str = "t_inst"
    target_format: str = "prompt"
    samples: int = 40

    def __post_init__(self) -> None:
        if not 1 <= self.samples <= 10_000:
            raise IvxError(f"samples is {self.samples}: choose 1 to 10,000")
        for name, words in (("position", self.position_words), ("source_token", self.source_words)):
            value = getattr(self, name)
            _check_place(name, value, words)

    def about(self, collection: str) -> str:
        return catalogue.find(self.task, collection=collection, against=self.against).fingerprint


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


PROJECTIONS = ("pca", "lda", "umap")


@dataclass(frozen=True)
class SeparabilityRequest(BaseRequest):
    """How well tasks can be told apart from states of their wordings.

    Attributes:
        tasks: names, `all`, or users' files, each of which is both tasks of its pair.
        components: sites whose states are probed, in every layer.
        position: token of each wording: `t_inst`, `keyword` or an index.
        pairs: probe each task against its contrast task only, instead of all tasks at once.
        wordings: per task.
        folds, repeats: of the split by paraphrase family.
        projections: `pca`, `lda` and, where it is installed, `umap`.
    """

    kind: ClassVar[str] = "separability"
    tasks: tuple[str, ...] = ("all",)
    _: KW_ONLY
    components: tuple[str, ...] = ("resid_post",)
    position: str = "t_inst"
    pairs: bool = False
    wordings: int = 60
    folds: int = 5
    repeats: int = 3
    projections: tuple[str, ...] = ("pca", "lda")

    def __post_init__(self) -> None:
        _check_sites(self.components)
        _check_place("position", self.position, ("t_inst", "keyword"))
        if not self.tasks:
            raise IvxError("no task is named: use all, or names of tasks")
        if wrong := [kind for kind in self.projections if kind not in PROJECTIONS]:
            raise IvxError(f"there is no projection {', '.join(wrong)}; the projections are {', '.join(PROJECTIONS)}")
        _check_counts(self, wordings=(10, 2_000), folds=(2, 20), repeats=(1, 100))

    def about(self, collection: str) -> str:
        return fingerprint(catalogue.several(self.tasks, collection=collection))


@dataclass(frozen=True)
class ErasureRequest(Request):
    """A vector's effect without what tells tasks apart in it.

    Attributes:
        component: site that the vectors are taken from and written at, in every layer; not `z`.
        tasks: whose difference is removed: names, `all`, or users' files.
        wordings: of each task, that the difference is learnt from.
        folds: of the split by paraphrase family; a vector is edited by what other families taught.
    """

    kind: ClassVar[str] = "erasure"
    component: str = "resid_post"
    tasks: tuple[str, ...] = ("all",)
    wordings: int = 60
    folds: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_sites((self.component,))
        if self.component == "z":
            raise IvxError("erasure takes whole vectors: choose a site other than z, such as attn_out")
        _check_counts(self, wordings=(10, 2_000), folds=(2, 20))

    def about(self, collection: str) -> str:
        return super().about(collection) + fingerprint(catalogue.several(self.tasks, collection=collection))


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
    _: KW_ONLY
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


def _check_counts(request: BaseRequest, **bounds: tuple[int, int]) -> None:
    for name, (least, most) in bounds.items():
        value = getattr(request, name)
        if not least <= value <= most:
            raise IvxError(f"{name} is {value}: choose {least} to {most:,}")


def _check_place(name: str, value: str, words: tuple[str, ...]) -> None:
    if value not in words and not value.removeprefix("-").isdigit():
        raise IvxError(f"{name.replace('_', ' ')} {value!r} is not known: use {', '.join(words)} or an index")


def _check_controls(controls: tuple[str, ...], known: tuple[str, ...]) -> None:
    unknown = [name for name in controls if name not in known]
    if unknown or len(set(controls)) < len(controls):
        raise IvxError(f"controls {', '.join(controls)}: name each once, of {', '.join(known)}")


def _check_sites(sites: tuple[str, ...]) -> None:
    unknown = [site for site in sites if site not in SITES]
    if unknown or not sites:
        raise IvxError(f"there is no site {', '.join(unknown) or 'named'}; the sites are {', '.join(SITES)}")
