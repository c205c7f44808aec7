"""The request of a mechanism: whether the heads that matter look elsewhere, or read something else where they look."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from ivx.errors import IvxError
from ivx.request import InstructionRequest, check_counts

FEWEST = 4
"""Fewest samples: one half chooses heads, the other measures them, and neither is of one sample."""


@dataclass(frozen=True)
class MechanismRequest(InstructionRequest):
    """Whether the heads that matter look elsewhere under another instruction, or read something else where they look.

    Attributes:
        heads: how many heads, those whose output at the last token moves the answer most on one half of the queries.
    """

    kind: ClassVar[str] = "mechanism"
    _: KW_ONLY
    heads: int = 6

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.demonstrations:
            raise IvxError(
                "a mechanism compares two instructions of equal length: leave demonstrations out (demonstrations=0)"
            )
        check_counts(self, samples=(FEWEST, 10_000), heads=(1, 100))
