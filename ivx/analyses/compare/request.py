"""The request of a comparison: the same questions to every checkpoint, part by part."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

from ivx.analyses import defaults
from ivx.analyses.effects.request import EffectsRequest
from ivx.analyses.interactions.request import InteractionsRequest
from ivx.analyses.separability.request import SeparabilityRequest
from ivx.analyses.transplant.request import TransplantRequest
from ivx.analyses.vectors.request import VectorsRequest
from ivx.request import WAY, BaseRequest
from ivx.tasks.spelling import AUTO
from ivx.tasks.way import Way
from ivx.vocabulary import SHOWN_CONTROLS

PARTS = ("effects", "separability", "interactions", "vectors")
"""What is measured of each checkpoint, every part a run of its own."""
FEWEST, MOST = 2, 6
"""Fewest and most checkpoints of a comparison."""


@dataclass(frozen=True)
class Compared:
    """What every checkpoint of a comparison is asked; by default what all pages ask first, to share runs.

    Attributes:
        task, against, source_token, target_format, samples, template, system, demonstrations, spelling, wording, seed:
            as in the requests.
        position: where vectors are patched, alone, in pairs, and when they are transplanted.
        pair_samples: samples of the interactions, which need more.
        tasks: tasks that the probes tell apart.
        wordings: wordings of each of these tasks.
    """

    task: str
    _: KW_ONLY
    against: str | None = None
    source_token: str = "t_inst"
    position: str = "first"
    target_format: str = "prompt"
    samples: int = defaults.SAMPLES
    pair_samples: int = defaults.PAIR_SAMPLES
    tasks: tuple[str, ...] = ("all",)
    wordings: int = defaults.WORDINGS
    seed: int = 0
    template: str = ""
    system: str = ""
    demonstrations: int = 0
    spelling: str = AUTO
    wording: int | None = None

    def __post_init__(self) -> None:
        self.part("vectors", "any")  # refused as its parts would be, before a checkpoint is read

    @property
    def way(self) -> Way:
        """How every checkpoint is asked."""
        return Way(*(getattr(self, name) for name in WAY))

    def part(self, name: str, checkpoint: str, **loading: Any) -> BaseRequest:
        """The request of one part on one checkpoint; `loading` are dtype, device and adapter."""
        if name == "separability":
            tasks = defaults.apart(self.task) if self.tasks == ("all",) else self.tasks
            probed = {"wordings": self.wordings, "repeats": defaults.REPEATS, "seed": self.seed}
            return SeparabilityRequest(checkpoint, tasks, **probed, **loading)  # type: ignore[arg-type]
        asked: dict[str, Any] = {
            name: getattr(self, name) for name in ("against", "source_token", "samples", "seed", *WAY)
        }
        if name == "effects":
            sites = EffectsRequest.sites
            alike = self.wording is not None or defaults.is_alone(self.task, checkpoint)
            controls = defaults.controls_of("denoise", sites, "all", alike=alike)
            controls += SHOWN_CONTROLS if self.demonstrations else ()
            return EffectsRequest(checkpoint, self.task, sites=sites, controls=controls, **asked, **loading)
        if name == "vectors":
            return VectorsRequest(checkpoint, self.task, **asked, **loading)
        asked |= {"samples": self.pair_samples, "position": self.position}
        return InteractionsRequest(checkpoint, self.task, **asked, **loading)

    def transplant(
        self, checkpoint: str, vectors: str, *, matched: bool = False, layers: str = "", **loading: Any
    ) -> TransplantRequest:
        """The request to patch the vectors of a run into a checkpoint."""
        return TransplantRequest(
            checkpoint,
            self.task,
            vectors=vectors,
            matched=matched,
            layers=layers,
            against=self.against,
            source_token=self.source_token,
            position=self.position,
            samples=self.samples,
            seed=self.seed,
            **{name: getattr(self, name) for name in WAY},
            **loading,
        )
