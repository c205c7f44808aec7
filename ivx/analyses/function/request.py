"""The request of function vectors: which heads carry a task that is shown, what their sum does, and whether an
instruction is carried alike."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from ivx.errors import IvxError
from ivx.request import InstructionRequest, check_counts, check_word

RANKINGS = ("logprob", "contrast")
"""Metrics that heads are ranked by."""
FEWEST = 4
"""Fewest samples: one half ranks heads, the other measures their sum, and neither is of one sample."""


@dataclass(frozen=True)
class FunctionRequest(InstructionRequest):
    """Which heads carry a task that demonstrations show, what the sum of what they write does, and whether they carry
    the task's instruction, too.

    Attributes:
        demonstrations: how many solved queries show the task, 1 or more.
        heads: how many heads, the first of the ranking, a function vector is the sum of.
        ranking: what heads are ranked by: `logprob`, the answer's log-probability, or `contrast`.
    """

    kind: ClassVar[str] = "function"
    instructs: ClassVar[bool] = True
    _: KW_ONLY
    demonstrations: int = 8
    heads: int = 10
    ranking: str = "logprob"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.demonstrations:
            raise IvxError("a function vector comes from demonstrations: ask for 1 or more, such as 8")
        check_counts(self, samples=(FEWEST, 10_000), heads=(1, 10_000))
        check_word("ranking", self.ranking, RANKINGS)
