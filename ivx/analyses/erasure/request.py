"""The request of an erasure: a vector's effect without the part that tells tasks apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ivx.errors import IvxError
from ivx.request import Request, check_counts, check_sites
from ivx.tasks import catalogue
from ivx.tasks.task import fingerprint


@dataclass(frozen=True)
class ErasureRequest(Request):
    """A vector's effect without the part that tells tasks apart.

    Attributes:
        component: site that the vectors are taken from and written at, in every layer; not `z`.
        tasks: tasks whose difference is removed: names, `all`, or users' files.
        wordings: wordings of each task that the difference is learnt from.
        folds: folds of the split by paraphrase family; a vector is edited by what was learnt from others.
    """

    kind: ClassVar[str] = "erasure"
    component: str = "resid_post"
    tasks: tuple[str, ...] = ("all",)
    wordings: int = 60
    folds: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sites((self.component,))
        if self.component == "z":
            raise IvxError("erasure takes whole vectors: choose a site other than z, such as attn_out")
        check_counts(self, wordings=(10, 2_000), folds=(2, 20))

    def about(self, collection: str) -> str:
        return super().about(collection) + fingerprint(catalogue.several(self.tasks, collection=collection))
