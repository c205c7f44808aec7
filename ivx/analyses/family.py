"""A real family: what is asked of its checkpoints so that its results can come with ivx, at the place that was found.

A search of one checkpoint and task finds the place; vectors are taken from it and put at it in all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from itertools import product
from typing import TYPE_CHECKING

from ivx.analyses import defaults
from ivx.analyses.behaviour.request import BehaviourRequest
from ivx.analyses.effects.request import EffectsRequest
from ivx.analyses.interactions.request import InteractionsRequest
from ivx.analyses.pathways.request import PathwaysRequest
from ivx.analyses.place.request import PlaceRequest
from ivx.analyses.separability.request import SeparabilityRequest
from ivx.analyses.transplant.request import TransplantRequest
from ivx.analyses.vectors.request import VectorsRequest
from ivx.engine.address import STREAM
from ivx.models.registry import families
from ivx.request import BaseRequest
from ivx.tasks.spelling import AUTO

if TYPE_CHECKING:
    from ivx.analyses.place.result import At

Key = tuple[str, str, str]
"""A task, whose vector, and in which checkpoint."""


@dataclass(frozen=True)
class Family:
    """Checkpoints, the earliest first, and what is asked of them.

    Attributes:
        subject: the checkpoint whose place, on the first of the tasks, is where all vectors are put.
        tasks: tasks of the exchange.
        pairs: those of them whose place is searched for in every checkpoint.
        shown: checkpoint, task and number of the demonstrations of a place that is found without an instruction.
        put: the tokens that the search puts vectors on.
        spelling: how the answers of an exchange are read: its checkpoints may not prefer the same, and are compared.
        placed, exchanged, mapped, paired, traced, asked: samples of a search for a place, of an exchange, of effect
            maps, of pairs of layers, of pathways, and of behaviour; as many as eight megabytes hold.
    """

    names: tuple[str, ...]
    subject: str
    tasks: tuple[str, ...]
    pairs: tuple[str, ...]
    _: KW_ONLY
    shown: tuple[str, str, int] | None = None
    put: str = "all"
    spelling: str = AUTO
    placed: int = 28
    exchanged: int = defaults.SAMPLES
    mapped: int = 10
    paired: int = 10
    traced: int = 4
    asked: int = 20

    @property
    def anchor(self) -> PlaceRequest:
        """The search whose place is where vectors are put."""
        return self.place(self.subject, self.tasks[0])

    def place(self, checkpoint: str, task: str) -> PlaceRequest:
        """Where a task's vector acts, and who reads it there, block by block and head by head."""
        return PlaceRequest(checkpoint, task, position=self.put, samples=self.placed, readers="heads")

    def effects(self, checkpoint: str, task: str, at: At) -> EffectsRequest:
        """The map of layers by tokens, and of heads, of the place's vector."""
        controls = ("task", "random", "neutral")
        return EffectsRequest(
            checkpoint,
            task,
            sites=(STREAM, "z"),
            source_token=at.source_token,
            samples=self.mapped,
            controls=controls,
        )

    def interactions(self, checkpoint: str, task: str, at: At) -> InteractionsRequest:
        """All pairs of layers at the place."""
        return InteractionsRequest(
            checkpoint,
            task,
            source_token=at.source_token,
            position=at.position,
            sites=(STREAM,),
            samples=self.paired,
            controls=("task",),
        )

    def separability(self, checkpoint: str, at: At) -> SeparabilityRequest:
        """A probe of the family's tasks at every layer, on the token that the vector is taken from."""
        return SeparabilityRequest(
            checkpoint, self.tasks, position=at.source_token, wordings=20, repeats=1, projections=("lda",)
        )

    def pathways(self, checkpoint: str, task: str, at: At) -> PathwaysRequest:
        """The pathway of the answer, beside that of the run that is patched at the place."""
        return PathwaysRequest(
            checkpoint,
            task,
            source_token=at.source_token,
            position=at.position,
            samples=self.traced,
            patch_layer=at.layer,
            ablation="none",
            traced=2,
        )

    def by_demonstrations(self) -> PlaceRequest | None:
        """The search for a place whose task is shown; None where none is asked for."""
        if self.shown is None:
            return None
        checkpoint, task, count = self.shown
        return PlaceRequest(checkpoint, task, source_token="t_inst", demonstrations=count, samples=16)

    def behaviour(self) -> BehaviourRequest:
        """What the earliest checkpoint writes, task by task."""
        return BehaviourRequest(self.names[0], samples=self.asked)

    def vectors(self, checkpoint: str, task: str, at: At) -> VectorsRequest:
        """A checkpoint's vectors from the place's source token."""
        return VectorsRequest(
            checkpoint, task, source_token=at.source_token, samples=self.exchanged, spelling=self.spelling
        )

    def transplant(self, checkpoint: str, task: str, at: At, *, vectors: str) -> TransplantRequest:
        """What the vectors of a run do in a checkpoint, at the place and in its layer."""
        return TransplantRequest(
            checkpoint,
            task,
            vectors=vectors,
            source_token=at.source_token,
            position=at.position,
            samples=self.exchanged,
            spelling=self.spelling,
            layers=str(at.layer),
        )

    def keys(self, task: str) -> Iterator[Key]:
        """Every vector in every checkpoint, of one task."""
        yield from product((task,), self.names, self.names)

    def before(self) -> list[BaseRequest]:
        """What ships and needs no place: the anchor first."""
        places = [self.place(name, task) for task in self.pairs for name in self.names]
        found: list[BaseRequest] = [self.anchor, *places, self.behaviour()]
        shown = self.by_demonstrations()
        return list(dict.fromkeys([*found, shown] if shown else found))

    def there(self, at: At) -> list[BaseRequest]:
        """What ships and is made at the place, but the exchange."""
        found: list[BaseRequest] = [self.separability(self.subject, at)]
        for task in self.pairs:
            found += [make(self.subject, task, at) for make in (self.effects, self.interactions, self.pathways)]
        return found


REAL = Family(
    families()["smollm2"],
    "smollm2-sft",
    ("adjective/antonym", "adjective/comparative", "animal/colour", "animal/can-fly"),
    ("adjective/antonym", "animal/colour"),
    shown=("smollm2", "verb/past", 8),
    spelling="space",
)
"""The real family that comes with ivx."""


def family_of(checkpoint: str) -> Family | None:
    """The real family that a checkpoint belongs to; None where there is none."""
    return REAL if checkpoint in REAL.names else None
