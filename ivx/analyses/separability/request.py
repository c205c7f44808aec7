"""The request of separability: how well probes can tell tasks apart."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from ivx.errors import IvxError
from ivx.request import BaseRequest, check_counts, check_place, check_sites
from ivx.tasks import catalogue
from ivx.tasks.task import fingerprint
from ivx.vocabulary import SOURCE_WORDS

PROJECTIONS = ("pca", "lda", "tsne", "umap")


@dataclass(frozen=True)
class SeparabilityRequest(BaseRequest):
    """How well tasks can be told apart from states of their wordings.

    Attributes:
        tasks: tasks to tell apart: names, `all`, or users' files, each of which holds both tasks of a pair.
        components: sites whose states are probed, in every layer.
        position: token of each wording whose state is probed: `t_inst`, `keyword`, `before` (the keyword), `first` or
            an index.
        pairs: probe each task against its contrast task only, instead of all tasks at once.
        wordings: number of wordings per task.
        folds: parts that the paraphrase families are split into, each of which is held out once.
        repeats: how often the families are split anew.
        projections: planes to draw the states in: `pca`, `lda`, `tsne` and, where it is installed, `umap`.
    """

    kind: ClassVar[str] = "separability"
    tasks: tuple[str, ...] = ("all",)
    _: KW_ONLY
    components: tuple[str, ...] = ("resid_post",)
    position: str = "t_inst"
    pairs: bool = False
    wordings: int = 60
    folds: int = 5
    repeats: int = 3
    projections: tuple[str, ...] = ("pca", "lda")

    def __post_init__(self) -> None:
        check_sites(self.components)
        check_place("position", self.position, SOURCE_WORDS)
        if not self.tasks:
            raise IvxError("no task is named: use all, or names of tasks")
        if wrong := [kind for kind in self.projections if kind not in PROJECTIONS]:
            raise IvxError(f"there is no projection {', '.join(wrong)}; the projections are {', '.join(PROJECTIONS)}")
        check_counts(self, wordings=(10, 2_000), folds=(2, 20), repeats=(1, 100))

    def about(self, collection: str) -> str:
        return fingerprint(catalogue.several(self.tasks, collection=collection))
