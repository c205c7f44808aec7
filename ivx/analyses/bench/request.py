"""What is asked of the vector bench: a task's mean vector at many strengths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

from ivx.errors import IvxError
from ivx.request import LiveRequest

if TYPE_CHECKING:
    from ivx.analyses.bench.result import Bench, BenchText
    from ivx.models.model import Model
    from ivx.store.store import Store


PLACES = ("first", "every")
"""Where a vector goes: the first token behind leading special ones, or every token, written ones too."""


WAYS = ("add", "patch")


@dataclass(frozen=True)
class BenchRequest(LiveRequest):
    """A task's mean vector tried at many strengths (`ivx.analyses.bench.compute`).

    Attributes:
        layer: where it is read and put.
        place: `first` token or `every` token.
        way: `add` or `patch`.
        texts: free prompts.
    """

    task: str
    layer: int
    _: KW_ONLY
    place: str = "first"
    way: str = "add"
    texts: tuple[str, ...] = ()
    samples: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        for name, words in (("place", PLACES), ("way", WAYS)):
            if getattr(self, name) not in words:
                raise IvxError(f"{name} is {getattr(self, name)!r}: use {' or '.join(words)}")

    def told(self) -> dict[str, Any]:
        """What the bench is asked with, beside model and task."""
        names = ("layer", "place", "way", "texts", "samples", "seed")
        return {name: getattr(self, name) for name in names}

    def answered(self, model: Model, store: Store, *, beat: Callable[[], None]) -> Bench:
        from ivx.analyses.bench.compute import bench

        return bench(model, self.task, **self.told(), beat=beat)


@dataclass(frozen=True)
class BenchTextRequest(LiveRequest):
    """What is written on the bench at one strength."""

    bench: BenchRequest
    strength: float

    def answered(self, model: Model, store: Store, *, beat: Callable[[], None]) -> tuple[BenchText, ...]:
        from ivx.analyses.bench.compute import bench_texts

        return bench_texts(model, self.bench.task, strength=self.strength, **self.bench.told(), beat=beat)
