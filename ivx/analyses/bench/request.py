"""The request of the vector bench: a task's mean vector tried at many strengths."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import ClassVar

from ivx.request import BaseRequest, check_counts, check_word
from ivx.tasks import catalogue

PLACES = ("first", "every")
WAYS = ("add", "patch")


@dataclass(frozen=True)
class BenchRequest(BaseRequest):
    """A task's mean vector tried at many strengths (`ivx.analyses.bench.compute`).

    Attributes:
        task: the instruction, such as `animal/colour`, or a user's file.
        layer: layer that the vector is read from, and put into.
        place: `first`, the first token after the leading special ones, or `every` token, the generated ones too.
        way: how a vector v enters a state h: `add`, h + αv, or `patch`, h + α(v − h).
        texts: free prompts to try beside the task's queries.
        samples: how many queries are asked.
    """

    kind: ClassVar[str] = "bench"
    task: str
    layer: int
    _: KW_ONLY
    place: str = "first"
    way: str = "add"
    texts: tuple[str, ...] = field(default=(), metadata={"repeated": True})
    samples: int = 40

    def __post_init__(self) -> None:
        check_word("place", self.place, PLACES)
        check_word("way", self.way, WAYS)
        check_counts(self, samples=(1, 10_000), layer=(0, 10_000))

    def about(self, collection: str) -> str:
        return catalogue.find(self.task, collection=collection).fingerprint
