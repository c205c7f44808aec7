"""What is asked to compare checkpoints: an instruction's vectors, and what they do in another checkpoint."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from ivx.errors import IvxError
from ivx.runs.request import InstructionRequest, Request, check_sites


@dataclass(frozen=True)
class VectorsRequest(InstructionRequest):
    """The states of an instruction's source token in every layer, sample by sample.

    Attributes:
        component: site that they are taken from; not `z`.
    """

    kind: ClassVar[str] = "vectors"
    component: str = "resid_post"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sites((self.component,))
        if self.component == "z":
            raise IvxError("vectors are whole states: choose a site other than z, such as attn_out")


@dataclass(frozen=True)
class TransplantRequest(Request):
    """What another checkpoint's vectors do in this one, written at one token of the bare prompt, layer by layer.

    Attributes:
        vectors: run id of the vectors, which names the checkpoint that they come from by its weights.
        matched: give each vector the norm of this checkpoint's own at the same layer.
    """

    kind: ClassVar[str] = "transplant"
    _: KW_ONLY
    vectors: str
    matched: bool = False
