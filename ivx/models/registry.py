"""Which checkpoints exist: the embedded family, which is always here; real ones that are fetched by name; and public
families by their hub ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

EMBEDDED = Path(__file__).parent.parent / "tiny" / "checkpoints"
"""Where the embedded checkpoints lie."""
RUNS = EMBEDDED.with_name("runs")
"""Where the runs that come with ivx lie."""


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint that is known by name. `about` says in one line what it is, and what is toy about it."""

    name: str
    family: str
    stage: str
    about: str
    collection: str = "english"

    @property
    def path(self) -> Path | None:
        """Its directory, when it is embedded."""
        return EMBEDDED / self.name if self.family == "tiny" else None


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
        "SmolLM2",
        "instruct",
        "SmolLM2-135M-Instruct, 30 layers, Apache-2.0; Q4_1, dequantised; fetched by `ivx get smollm2` (93 MB)",
    ),
)
"""Real checkpoints that are fetched by name, and lie in the cache from then on."""


def embedded(name: str) -> Checkpoint | None:
    """The embedded checkpoint of that name, if there is one."""
    return next((checkpoint for checkpoint in CHECKPOINTS if checkpoint.name == name), None)


STAGES = ("base", "SFT", "DPO")
"""Stages of post-training, in order."""


def known(name: str) -> Checkpoint | None:
    """The checkpoint of that name, embedded or public."""
    return next((checkpoint for checkpoint in (*CHECKPOINTS, *PUBLIC) if checkpoint.name == name), None)


def is_fetched(name: str) -> bool:
    """Whether a checkpoint of that name is fetched by it."""
    return any(checkpoint.name == name for checkpoint in FETCHED)


def families() -> dict[str, tuple[str, ...]]:
    """The names of each family's checkpoints, in the order of their stages."""
    every = (*CHECKPOINTS, *PUBLIC)
    return {one.family: tuple(c.name for c in every if c.family == one.family) for one in every}


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
