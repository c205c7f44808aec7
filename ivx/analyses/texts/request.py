"""The request of texts: what a model writes with and without a patch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

from ivx.request import LiveRequest, Request

if TYPE_CHECKING:
    from ivx.analyses.texts.compute import Text
    from ivx.models.model import Model


@dataclass(frozen=True)
class TextRequest(LiveRequest):
    """What a model writes for some samples of a request, without and with one of its patch sets.

    Attributes:
        of: the effects, scan or interactions request.
        patch: an address of its table.
        samples: their numbers, from 0.
        role: whose states are patched in.
        tokens: most tokens that are written.
    """

    of: Request
    patch: str
    samples: tuple[int, ...]
    _: KW_ONLY
    role: str = "effect"
    tokens: int = 12

    @classmethod
    def for_cell(cls, of: Request, patch: str, samples: tuple[int, ...], **more: str | int) -> TextRequest:
        """The texts of one cell, on the request's own checkpoint, loaded as it was."""
        return cls(
            of.checkpoint,
            of,
            patch,
            samples,
            **of.loading,
            **more,  # type: ignore[arg-type]
        )

    def answered(self, model: Model, store: Any, *, beat: Callable[[], None]) -> tuple[Text, ...]:
        from ivx.analyses.texts.compute import texts

        return texts(
            model, self.of, patch=self.patch, samples=self.samples, role=self.role, tokens=self.tokens, beat=beat
        )
