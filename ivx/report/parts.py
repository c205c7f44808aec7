"""The parts of a report: what each is called, what it answers, and what is asked for it, whole or quick."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ivx.analyses import defaults
from ivx.analyses.behaviour.request import BehaviourRequest
from ivx.analyses.game.request import GameRequest
from ivx.analyses.pathways.request import PathwaysRequest
from ivx.analyses.place.found import At
from ivx.analyses.place.request import PlaceRequest
from ivx.analyses.separability.request import SeparabilityRequest
from ivx.request import BaseRequest

USUAL = At("t_inst", "first", 0, 0, 0)
"""Where a vector is taken from and put where no search found a place."""
QUICK = 8
"""Samples of a quick part."""


class Part(NamedTuple):
    """One part: the kinds of runs that answer it, the fullest first, its heading, and its question."""

    name: str
    kinds: tuple[str, ...]
    heading: str
    question: str


PARTS = (
    Part(
        "behaviour",
        ("behaviour",),
        "Behaviour",
        "Does the model do what it is told, and would it not do the same untold?",
    ),
    Part(
        "place",
        ("place",),
        "Place",
        "From which token of the instruction, to which token of the bare prompt and in which layers does its vector "
        "act, and which blocks read it there?",
    ),
    Part(
        "maps",
        ("effects",),
        "Maps",
        "What does the instruction's state do to the answer, put into the bare prompt one place at a time?",
    ),
    Part("probes", ("separability",), "Probes", "Can a linear probe tell from a state which task was meant?"),
    Part(
        "pairs",
        ("interactions", "game"),
        "Pairs",
        "Do two layers together do more, or less, than the sum of what each does alone?",
    ),
    Part(
        "pathways",
        ("pathways",),
        "Pathways",
        "By which tokens, layers and heads does the answer come about, and is it so?",
    ),
)

EVERY = tuple(one.name for one in PARTS)


def asked(
    part: Part,
    checkpoint: str,
    task: str,
    *,
    at: At,
    way: Mapping[str, Any],
    quick: bool,
    loading: Mapping[str, Any],
) -> BaseRequest:
    """What a part asks of a checkpoint and a task.

    Args:
        at: the place, where one is known.
        way: the fields that mean a way of asking.
        loading: dtype, device, adapter and weights.
    """
    about: dict[str, Any] = {**way, **loading}
    match part.name, quick:
        case "behaviour", True:
            return defaults.asked_quickly(checkpoint, **loading)
        case "behaviour", False:
            return BehaviourRequest(checkpoint, **loading)
        case "place", True:
            return PlaceRequest(checkpoint, task, samples=12, choosing=4, **about)
        case "place", False:
            return PlaceRequest(checkpoint, task, **about)
        case "maps", True:
            return defaults.mapped_quickly(checkpoint, task, at=at, **about)
        case "maps", False:
            return defaults.effects(checkpoint, task, source_token=at.source_token, **about)
        case "probes", True:
            tasks = defaults.QUICK_TASKS
            return SeparabilityRequest(checkpoint, tasks, wordings=10, repeats=1, projections=("pca",), **loading)
        case "probes", False:
            return defaults.separability(checkpoint, task, **loading)
        case "pairs", True:
            return GameRequest(checkpoint, task, samples=QUICK, permutations=4, **_put(at), **about)
        case "pairs", False:
            return defaults.game(checkpoint, task, **about)
        case "pathways", True:
            return PathwaysRequest(checkpoint, task, samples=QUICK, paths=5, traced=2, **_float(about))
    return PathwaysRequest(checkpoint, task, **_float(about))


def _put(at: At) -> dict[str, Any]:
    """The place of a game, which needs tokens behind it."""
    return {"source_token": at.source_token} | ({} if at.position == "last" else {"position": at.position})


def _float(about: dict[str, Any]) -> dict[str, Any]:
    """Fields as pathways have them, whose default is whole precision."""
    return {name: value for name, value in about.items() if (name, value) != ("dtype", "auto")}
