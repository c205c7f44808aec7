"""Behaviour: whether a model does what it is told, in which ways of asking, and what it writes instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ivx.analyses.base import Analysis, Progress, Saved, Steps, Words, name_of, names_of
from ivx.analyses.behaviour.request import BehaviourRequest

if TYPE_CHECKING:
    from ivx.analyses.behaviour.result import Behaviour
    from ivx.models.model import Model


def behaviour(
    model: Model | str,
    tasks: Sequence[str] = ("all",),
    *,
    ways: Sequence[str] = ("prompt", "query", "filler", "chat", "demonstrations"),
    template: str = "",
    system: str = "",
    demonstrations: int = 8,
    spelling: str = "auto",
    wording: int | None = None,
    samples: int = 40,
    tokens: int = 20,
    seed: int = 0,
    dtype: str = "auto",
    device: str = "auto",
    adapter: str | None = None,
    weights: str = "auto",
    on_progress: Progress[Behaviour] | None = None,
) -> Behaviour:
    """What a model writes told and untold, by task and way of asking; ways that cannot be asked are named.

    Args:
        model: a loaded model, or a name to load.
        tasks: names, `all`, or users' files, each of which holds both tasks of a pair.
        on_progress: called with the result so far after each task and way; what it raises ends the work.

    The others are as in `BehaviourRequest`.

    Raises:
        TaskError: no such task. IvxError: no task can be asked in any of the ways.
    """
    request = BehaviourRequest(
        name_of(model),
        names_of(tasks),
        ways=names_of(ways),
        template=template,
        system=system,
        demonstrations=demonstrations,
        spelling=spelling,
        wording=wording,
        samples=samples,
        tokens=tokens,
        seed=seed,
        dtype=dtype,
        device=device,
        adapter=adapter,
        weights=weights,
    )
    return BEHAVIOUR.answer(model, request, on_progress=on_progress)


class WaysAndTasks(Analysis[BehaviourRequest, "Behaviour"]):
    """Texts told and untold, in every way of asking."""

    request = BehaviourRequest
    function = staticmethod(behaviour)
    title = "whether a model does what it is told, by task and way of asking"
    page = "behaviour"
    measured = False

    @property
    def steps(self) -> Steps[BehaviourRequest, Behaviour]:
        from ivx.analyses.behaviour.compute import STEPS

        return STEPS

    @property
    def saved(self) -> Saved[BehaviourRequest, Behaviour]:
        from ivx.analyses.behaviour.saved import SAVED

        return SAVED

    @property
    def words(self) -> Words[Behaviour]:
        from ivx.analyses.behaviour.text import WORDS

        return WORDS


BEHAVIOUR = WaysAndTasks()
