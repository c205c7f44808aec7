"""The request of the bench's texts: what the model writes at one strength."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ivx.analyses.bench.request import BenchRequest
from ivx.request import LiveRequest

if TYPE_CHECKING:
    from ivx.analyses.bench.result import BenchText
    from ivx.models.model import Model


@dataclass(frozen=True)
class BenchTextRequest(LiveRequest):
    """What the model writes on the bench at one strength."""

    bench: BenchRequest
    strength: float

    def answered(self, model: Model, store: Any, *, beat: Callable[[], None]) -> tuple[BenchText, ...]:
        from ivx.analyses.bench.compute import bench_texts

        return bench_texts(model, self.bench, strength=self.strength, beat=beat)
