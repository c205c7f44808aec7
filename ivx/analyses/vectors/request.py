"""The request of vectors: an instruction's states, to be compared and transplanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ivx.errors import IvxError
from ivx.request import InstructionRequest, check_sites


@dataclass(frozen=True)
class VectorsRequest(InstructionRequest):
    """The states of an instruction's source token in every layer, sample by sample.

    Attributes:
        component: site that the states are taken from; not `z`.
    """

    kind: ClassVar[str] = "vectors"
    component: str = "resid_post"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sites((self.component,))
        if self.component == "z":
            raise IvxError("vectors are whole states: choose a site other than z, such as attn_out")
