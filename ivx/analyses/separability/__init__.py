"""Separability: how well tasks can be told apart from the states of their wordings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ivx.analyses.base import Analysis, Progress, Saved, Steps, Words, name_of, names_of
from ivx.analyses.separability.request import SeparabilityRequest

if TYPE_CHECKING:
    from ivx.analyses.separability.result import Separability
    from ivx.models.model import Model


def separability(
    model: Model | str,
    tasks: Sequence[str] = ("all",),
    *,
    components: Sequence[str] = ("resid_post",),
    position: str = "t_inst",
    pairs: bool = False,
    wordings: int = 60,
    folds: int = 5,
    repeats: int = 3,
    projections: Sequence[str] = ("pca", "lda"),
    seed: int = 0,
    dtype: str = "auto",
    device: str = "auto",
    adapter: str | None = None,
    weights: str = "auto",
    on_progress: Progress[Separability] | None = None,
) -> Separability:
    """How well tasks can be told apart at every layer of some components.

    Args:
        model: a loaded model, or a name to load.
        tasks: names, `all`, or users' files, each of which holds both tasks of a pair.
        on_progress: called with the result so far after each place; what it raises ends the work.

    The others are as in `SeparabilityRequest`.

    Raises:
        TaskError: fewer than 2 tasks of 10 wordings each, or too few paraphrase families for the folds.
    """
    request = SeparabilityRequest(
        name_of(model),
        names_of(tasks),
        components=names_of(components),
        position=position,
        pairs=pairs,
        wordings=wordings,
        folds=folds,
        repeats=repeats,
        projections=names_of(projections),
        seed=seed,
        dtype=dtype,
        device=device,
        adapter=adapter,
        weights=weights,
    )
    return SEPARABILITY.answer(model, request, on_progress=on_progress)


class ProbeCurves(Analysis[SeparabilityRequest, "Separability"]):
    """Probes at every layer of some components, with their controls."""

    request = SeparabilityRequest
    function = staticmethod(separability)
    title = "how well tasks can be told apart from states, by layer"
    page = "separability"
    measured = False

    @property
    def steps(self) -> Steps[SeparabilityRequest, Separability]:
        from ivx.analyses.separability.compute import STEPS

        return STEPS

    @property
    def saved(self) -> Saved[SeparabilityRequest, Separability]:
        from ivx.analyses.separability.saved import SAVED

        return SAVED

    @property
    def words(self) -> Words[Separability]:
        from ivx.analyses.separability.text import WORDS

        return WORDS


SEPARABILITY = ProbeCurves()
