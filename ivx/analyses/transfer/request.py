"""The request of a circuit transfer: whether the heads that one task needs carry another."""

from __future__ import annotations

import hashlib
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from ivx.errors import IvxError
from ivx.request import BaseRequest, check_counts, check_word
from ivx.tasks import catalogue
from ivx.tasks.task import Pair
from ivx.tasks.way import Way

MOST = 6
"""Most tasks that are compared."""
RANKINGS = ("pathways", "eap", "eap-ig")


@dataclass(frozen=True)
class TransferRequest(BaseRequest):
    """Whether the strongest heads of one task, with all others ablated, carry another task.

    Attributes:
        tasks: two to six tasks, or users' files, each of which holds both tasks of a pair.
        target_format: format of the prompt behind the instruction: `prompt` or `chat`.
        samples: how many queries of each task are asked: heads are found on one half and measured on the other.
        heads: how many of a task's strongest heads are its circuit.
        ranking: what makes a head strong: `pathways`, its part of the logit difference; `eap` or `eap-ig`, gradients.
        fill: what the other heads write: `mean`, over all tokens of all these tasks, or `zero`.
        draws: how many random sets, of as many heads in each layer, are the floor.
    """

    kind: ClassVar[str] = "transfer"
    tasks: tuple[str, ...] = ("all",)
    _: KW_ONLY
    target_format: str = "prompt"
    samples: int = 40
    heads: int = 8
    ranking: str = "pathways"
    fill: str = "mean"
    draws: int = 10
    dtype: str = "float32"

    def __post_init__(self) -> None:
        check_word("target_format", self.target_format, ("prompt", "chat"))
        check_word("ranking", self.ranking, RANKINGS)
        check_word("fill", self.fill, ("mean", "zero"))
        check_counts(self, samples=(4, 10_000), heads=(1, 10_000), draws=(10, 1_000))
        if not self.tasks:
            raise IvxError(f"no task is named: name 2 to {MOST}, such as animal/colour animal/can-fly")

    @property
    def way(self) -> Way:
        """How the queries are asked."""
        return Way(self.target_format)

    @property
    def chats(self) -> bool:
        return self.target_format == "chat"

    def pairs(self, collection: str) -> tuple[Pair, ...]:
        """The tasks, each with its contrast; raises `TaskError` for unknown ones, `IvxError` for too many or few."""
        found = catalogue.pairs(self.tasks, collection=collection)
        if not 2 <= len(found) <= MOST:
            raise IvxError(f"{len(found)} tasks are named ({', '.join(self.tasks)}): name 2 to {MOST}")
        return found

    def about(self, collection: str) -> str:
        told = " ".join(pair.fingerprint for pair in self.pairs(collection))
        return hashlib.sha256(told.encode()).hexdigest()[:16]
