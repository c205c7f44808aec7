"""The request of a transplant: what another checkpoint's vectors do in this one."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from ivx.request import Request


@dataclass(frozen=True)
class TransplantRequest(Request):
    """What another checkpoint's vectors do in this one, written at one token of the bare prompt, layer by layer.

    Attributes:
        vectors: run id of the vectors, which also fixes the weights of the checkpoint that they come from.
        matched: give each vector the norm of this checkpoint's own at the same layer.
    """

    kind: ClassVar[str] = "transplant"
    _: KW_ONLY
    vectors: str
    matched: bool = False
