"""Which checkpoints exist: the embedded family, which is always here; real ones that are fetched by name, and what was
taught here on top of them; and public families by their hub ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

EMBEDDED = Path(__file__).parent.parent / "tiny" / "checkpoints"
"""Where the embedded checkpoints lie."""
RUNS = EMBEDDED.with_name("runs")
"""Where the runs that come with ivx lie."""
ADAPTERS = EMBEDDED.parents[1] / "taught" / "adapters"
"""Where the adapters that come with ivx lie."""
REAL_RUNS, IDENTITIES = ADAPTERS.with_name("runs"), ADAPTERS.with_name("identities.json")
"""Where the runs of real checkpoints that come with ivx lie, and what is known of these without their weights."""


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint that is known by name. `about` says in one line what it is, and what is toy about it; `base` names
    the fetched checkpoint that its adapter is merged into; of a `planted` one the weights are set by hand."""

    name: str
    family: str
    stage: str
    about: str
    collection: str = "english"
    base: str | None = None
    planted: bool = False

    @property
    def path(self) -> Path | None:
        """Its directory, when it is embedded."""
        return EMBEDDED / self.name if self.family == "tiny" or self.planted else None

    @property
    def adapter(self) -> Path | None:
        """The directory of its adapter, when it was taught here."""
        return ADAPTERS / self.name if self.base else None


CHECKPOINTS = (
    Checkpoint("tiny-base", "tiny", "base", "8 × 8 heads, 2 M parameters; knows facts, was never instructed", "tiny"),
    Checkpoint("tiny-sft", "tiny", "SFT", "tiny-base taught to follow phrase-final instructions", "tiny"),
    Checkpoint("tiny-dpo", "tiny", "DPO", "tiny-sft taught to prefer the answer that was asked for", "tiny"),
    Checkpoint(
        "tiny-sft-period",
        "tiny",
        "SFT twin",
        "like tiny-sft, but instructions end with a full stop: decodable there, not causal there",
        "tiny-period",
    ),
)


def _planted(name: str, stage: str, about: str) -> Checkpoint:
    return Checkpoint(name, name, stage, about, "planted", planted=True)


PLANTED = (
    _planted("planted-path", "one path", "a linear circuit: keyword → T_inst → answer, one head each"),
    _planted("planted-and", "AND", "an answer where instruction AND query name it"),
    _planted("planted-or", "OR", "an answer where instruction OR query name it"),
    _planted("planted-xor", "XOR", "an answer where instruction or query name it, but not both"),
    _planted("planted-heads", "shared heads", "tasks that share one of two heads, none, or the work but not the heads"),
)
"""Checkpoints whose weights are set by hand, so that their circuits are known; each is a family of its own."""


def _public(family: str, ids: tuple[str, str, str]) -> tuple[Checkpoint, ...]:
    return tuple(
        Checkpoint(name, family, stage, f"{family}, {stage}, from the hub")
        for name, stage in zip(ids, ("base", "SFT", "DPO"), strict=True)
    )


PUBLIC = (
    *_public(
        "OLMo-2-1B",
        ("allenai/OLMo-2-0425-1B", "allenai/OLMo-2-0425-1B-SFT", "allenai/OLMo-2-0425-1B-DPO"),
    ),
    *_public(
        "OLMo-2-7B",
        ("allenai/OLMo-2-1124-7B", "allenai/OLMo-2-1124-7B-SFT", "allenai/OLMo-2-1124-7B-DPO"),
    ),
    *_public(
        "Olmo-3-7B",
        ("allenai/Olmo-3-1025-7B", "allenai/Olmo-3-7B-Instruct-SFT", "allenai/Olmo-3-7B-Instruct-DPO"),
    ),
)
"""Families of the paper and their successors; loading one needs the hub or a local copy."""


FETCHED = (
    Checkpoint(
        "smollm2",
        "smollm2",
        "instruct",
        "SmolLM2-135M-Instruct, 30 layers, Apache-2.0; Q4_1, dequantised; fetched by `ivx get smollm2` (93 MB)",
    ),
)
"""Real checkpoints that are fetched by name, and lie in the cache from then on."""
TAUGHT = (
    Checkpoint(
        "smollm2-sft",
        "smollm2",
        "SFT",
        "smollm2 taught here to follow four tasks: an adapter that comes with ivx; needs `ivx get smollm2`",
        base="smollm2",
    ),
    Checkpoint(
        "smollm2-dpo",
        "smollm2",
        "DPO",
        "smollm2-sft taught here to prefer the answer that was asked for: an adapter, too; needs `ivx get smollm2`",
        base="smollm2",
    ),
)
"""Checkpoints that are a fetched one and an adapter that comes with ivx."""
KNOWN = (*CHECKPOINTS, *PLANTED, *FETCHED, *TAUGHT, *PUBLIC)
"""All checkpoints that are known by name."""


def embedded(name: str) -> Checkpoint | None:
    """The embedded checkpoint of that name, if there is one."""
    return next((checkpoint for checkpoint in (*CHECKPOINTS, *PLANTED) if checkpoint.name == name), None)


STAGES = ("base", "instruct", "SFT", "DPO")
"""Stages of post-training, in order."""


def known(name: str) -> Checkpoint | None:
    """The checkpoint of that name, if there is one."""
    return next((checkpoint for checkpoint in KNOWN if checkpoint.name == name), None)


def taught(name: str) -> Checkpoint | None:
    """The checkpoint of that name, if it was taught here."""
    return next((checkpoint for checkpoint in TAUGHT if checkpoint.name == name), None)


def fetched(name: str) -> str | None:
    """What has to be fetched for a checkpoint of that name: itself, or its base; None where nothing is by a name."""
    return next((one.base or one.name for one in (*FETCHED, *TAUGHT) if one.name == name), None)


def families() -> dict[str, tuple[str, ...]]:
    """The names of each family's checkpoints, in the order of their stages."""
    return {one.family: tuple(c.name for c in KNOWN if c.family == one.family) for one in KNOWN}


def steps(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Which checkpoints are compared: pairs (earlier, later).

    Within a family the earlier one is of the stage before, so that a twin is compared with what both were made from;
    else it is the one named before. The first checkpoint has none.
    """
    return tuple((_before(name, names[:k]), name) for k, name in enumerate(names) if k)


def _before(name: str, named: Sequence[str]) -> str:
    own = known(name)
    for other in reversed(named):
        theirs = known(other)
        if own and theirs and own.family == theirs.family and _rank(theirs) < _rank(own):
            return other
    return named[-1]


def _rank(checkpoint: Checkpoint) -> int:
    return STAGES.index(checkpoint.stage.split()[0])
