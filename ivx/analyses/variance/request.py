"""The request of a variance: one vector's effect, of every wording with every query."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from ivx.errors import IvxError
from ivx.request import Request, check_controls, check_counts
from ivx.vocabulary import CONTROLS, OTHERS


@dataclass(frozen=True)
class VarianceRequest(Request):
    """Whether a vector's effect holds for other wordings, queries and answers, and what it varies by.

    Attributes:
        layer: the layer that the vector is put at, after its block.
        samples: how many queries are asked, each in every wording.
        wordings: how many wordings of the instruction.
        controls: what is put in the vector's place, as for effects; the first is what the effect must be beyond.
    """

    kind: ClassVar[str] = "variance"
    _: KW_ONLY
    layer: int
    samples: int = 24
    wordings: int = 8
    controls: tuple[str, ...] = ("task",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, samples=(2, 1_000), wordings=(2, 100))
        check_controls(self.controls, (*CONTROLS, *OTHERS))
        if self.samples * self.wordings > 10_000:
            raise IvxError(f"wordings × samples is {self.samples * self.wordings:,}: choose at most 10,000")
        if self.wording is not None:
            raise IvxError("wording fixes one wording, and here every query is asked in several: leave it out")
        if self.demonstrations:
            raise IvxError("demonstrations stand in place of a wording, and here wordings are compared: leave them out")
        if not 0 <= self.layer < 10_000:
            raise IvxError(f"layer is {self.layer}: choose one of the checkpoint's, from 0")
