"""What is asked of ivx, frozen: every field changes a number, and nothing that does not is here.

A request and the fingerprint of the checkpoint it meets hash to the run id, the one address of its result.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import KW_ONLY, asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ivx.engine.address import SITES
from ivx.errors import IvxError
from ivx.tasks import catalogue

if TYPE_CHECKING:
    from ivx.models.model import Model
    from ivx.store.store import Store

ENGINE = "plan-1"
"""Name and version of the way rows are computed; part of every run id."""


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
class InstructionRequest(BaseRequest):
    """What is asked about one instruction.

    Attributes:
        task, against: the instruction, and the task whose answer is the contrast (None: its natural one).
        source_token: where the vector is taken from: `t_inst`, `keyword`, or an index into the instruction's tokens.
        target_format: `prompt`, `query`, `filler` or `chat`.
    """

    source_words: ClassVar[tuple[str, ...]] = ("t_inst", "keyword")
    task: str
    _: KW_ONLY
    against: str | None = None
    source_token: str = "t_inst"
    target_format: str = "prompt"
    samples: int = 40

    def __post_init__(self) -> None:
        if not 1 <= self.samples <= 10_000:
            raise IvxError(f"samples is {self.samples}: choose 1 to 10,000")
        check_place("source_token", self.source_token, self.source_words)

    def about(self, collection: str) -> str:
        return catalogue.find(self.task, collection=collection, against=self.against).fingerprint


@dataclass(frozen=True)
class Request(InstructionRequest):
    """What an analysis by patching is asked with; `position` is where the bare prompt is patched."""

    position_words: ClassVar[tuple[str, ...]] = ("first", "query", "last")
    _: KW_ONLY
    position: str = "first"

    def __post_init__(self) -> None:
        check_place("position", self.position, self.position_words)
        super().__post_init__()


def check_counts(request: BaseRequest, **bounds: tuple[int, int]) -> None:
    """Refuse a request whose counts lie outside (least, most)."""
    for name, (least, most) in bounds.items():
        value = getattr(request, name)
        if not least <= value <= most:
            raise IvxError(f"{name} is {value}: choose {least} to {most:,}")


def check_place(name: str, value: str, words: tuple[str, ...]) -> None:
    """Refuse a place that is neither one of these words nor an index."""
    if value not in words and not value.removeprefix("-").isdigit():
        raise IvxError(f"{name.replace('_', ' ')} {value!r} is not known: use {', '.join(words)} or an index")


def check_controls(controls: tuple[str, ...], known: tuple[str, ...]) -> None:
    """Refuse controls that are not known, or named twice."""
    unknown = [name for name in controls if name not in known]
    if unknown or len(set(controls)) < len(controls):
        raise IvxError(f"controls {', '.join(controls)}: name each once, of {', '.join(known)}")


def check_sites(sites: tuple[str, ...]) -> None:
    """Refuse sites that are not known, or none."""
    unknown = [site for site in sites if site not in SITES]
    if unknown or not sites:
        raise IvxError(f"there is no site {', '.join(unknown) or 'named'}; the sites are {', '.join(SITES)}")


@dataclass(frozen=True)
class LiveRequest(ABC):
    """What is asked of a model outside a run; equal requests are answered once while they are remembered."""

    checkpoint: str
    _: KW_ONLY
    dtype: str = "auto"
    device: str = "auto"
    adapter: str | None = None

    @abstractmethod
    def answered(self, model: Model, store: Store, *, beat: Callable[[], None]) -> Any:
        """The answer; `beat` is called now and then, and what it raises ends the work."""
