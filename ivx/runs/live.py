"""Live requests: answered by the worker on its model, and kept nowhere but in the session's sight."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ivx.models.model import Model
    from ivx.store.store import Store


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


@dataclass(frozen=True)
class Wake(LiveRequest):
    """Asks nothing of a checkpoint: torch and it are read, so that what is asked next need not wait for them."""

    def answered(self, model: Model, store: Store, *, beat: Callable[[], None]) -> None:
        """Nothing."""
