"""What is asked of the patch lens: a prompt read layer by layer, and one state moved into another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

from ivx.engine.address import Spot
from ivx.request import LiveRequest

if TYPE_CHECKING:
    from ivx.analyses.lens.result import Reading
    from ivx.models.model import Model
    from ivx.store.store import Store


@dataclass(frozen=True)
class LensRequest(LiveRequest):
    """A free prompt read layer by layer, and what is written after it.

    Attributes:
        chat: whether the checkpoint's chat template goes around it.
        what: names the prompt in what is refused.
    """

    prompt: str
    _: KW_ONLY
    chat: bool = False
    what: str = "prompt"

    def answered(self, model: Model, store: Store, *, beat: Callable[[], None]) -> Reading:
        from ivx.analyses.lens.compute import read

        return read(model, self.prompt, chat=self.chat, what=self.what, beat=beat)


@dataclass(frozen=True)
class DropRequest(LiveRequest):
    """The target prompt with the source's state at `take` put at `put`."""

    source: str
    target: str
    take: Spot
    put: Spot
    _: KW_ONLY
    chat: bool = False

    def answered(self, model: Model, store: Store, *, beat: Callable[[], None]) -> Reading:
        from ivx.analyses.lens.compute import drop

        return drop(model, self.source, self.target, take=self.take, put=self.put, chat=self.chat, beat=beat)
