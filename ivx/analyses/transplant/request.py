"""The request of a transplant: what another checkpoint's vectors do in this one."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from ivx.errors import IvxError
from ivx.numeral import MOST, spans
from ivx.request import Request


@dataclass(frozen=True)
class TransplantRequest(Request):
    """What another checkpoint's vectors do in this one, written at one token of the bare prompt, layer by layer.

    Its own vectors are written by the same way, so that both can be set side by side.

    Attributes:
        vectors: run id of the vectors, which also fixes the weights of the checkpoint that they come from.
        matched: give each vector the norm of this checkpoint's own at the same layer.
        layers: the layers that are patched, one at a time, such as `12` or `10-13`; all by default.
    """

    kind: ClassVar[str] = "transplant"
    since: ClassVar[tuple[str, ...]] = ("layers",)
    _: KW_ONLY
    vectors: str
    matched: bool = False
    layers: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layers:
            self.layers_of(MOST)

    def layers_of(self, layers: int) -> tuple[int, ...]:
        """The numbers of the patched layers, of so many; raises `IvxError` for text that names none of them."""
        if not self.layers:
            return tuple(range(layers))
        try:
            found = spans(self.layers)
        except ValueError:
            found = ()
        if not found or found[-1] >= layers:
            last = "" if layers == MOST else f" of this checkpoint, which has 0 to {layers - 1}"
            raise IvxError(f"layers {self.layers!r} are none{last}: name one, as 12, or several, as 10-13 or 4,10-13")
        return found
