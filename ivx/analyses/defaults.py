"""Default requests: what every page asks of a checkpoint and a task at first sight, so that it is computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ivx.analyses.behaviour.request import BehaviourRequest
from ivx.analyses.effects.request import EffectsRequest
from ivx.analyses.game.request import GameRequest
from ivx.analyses.interactions.request import InteractionsRequest
from ivx.analyses.place.found import At
from ivx.analyses.separability.request import SeparabilityRequest
from ivx.engine.address import ABLATIONS, STREAM
from ivx.errors import IvxError
from ivx.models.paths import parts
from ivx.models.registry import embedded
from ivx.patching.gate import SMALL
from ivx.request import BaseRequest
from ivx.tasks import catalogue
from ivx.vocabulary import CONTROLS, SHOWN_CONTROLS

COMPONENTS = (STREAM, "attn_out", "mlp_out")
SAMPLES, PAIR_SAMPLES, GAME_SAMPLES = 40, 100, 20
WORDINGS, REPEATS = 40, 2
QUICK, QUICK_TOKENS = SMALL, 8
"""Samples of a quick look, and the tokens of each text."""
QUICK_TASKS = ("animal/can-fly", "country/capital", "verb/past", "adjective/antonym")
"""Tasks of a quick look: such as small models follow before others."""
FIRST = ("tiny-sft", "animal/colour")
"""What the first page opens on."""
SHIPPED = (FIRST[1],)
"""Tasks whose default results come with ivx, for every embedded checkpoint."""
TWIN = "tiny-sft-period"
SUBJECTS = ((FIRST[0], "t_inst"), (TWIN, "t_inst"), (TWIN, "keyword"))
"""(checkpoint, source token) whose states are probed and patched, those that teach most side by side."""


def effects(checkpoint: str, task: str, **more: Any) -> EffectsRequest:
    """The layer × position and layer × head maps, with every control that applies."""
    sites = (STREAM, "z")
    alike = more.get("wording") is not None or is_alone(task, checkpoint)
    controls = controls_of("denoise", sites, "all", alike=alike)
    controls += SHOWN_CONTROLS if more.get("demonstrations") else ()
    return EffectsRequest(checkpoint, task, sites=sites, samples=SAMPLES, controls=controls, **more)


def asked_quickly(checkpoint: str, **loading: Any) -> BehaviourRequest:
    """Few queries of few tasks, told and untold: whether any is followed."""
    return BehaviourRequest(checkpoint, QUICK_TASKS, ways=("prompt",), samples=QUICK, tokens=QUICK_TOKENS, **loading)


def mapped_quickly(checkpoint: str, task: str, *, at: At, **loading: Any) -> EffectsRequest:
    """A small map of the stream at one place, beside one control."""
    asked: dict[str, Any] = {**at.fields, **loading}
    return EffectsRequest(checkpoint, task, sites=(STREAM,), samples=QUICK, controls=("task",), **asked)


def interactions(checkpoint: str, task: str, **loading: Any) -> InteractionsRequest:
    """All pairs of layers at the first token."""
    return InteractionsRequest(checkpoint, task, sites=(STREAM,), samples=PAIR_SAMPLES, **loading)


def game(checkpoint: str, task: str, **more: Any) -> GameRequest:
    """The clean game of all layers at the first token."""
    return GameRequest(checkpoint, task, samples=GAME_SAMPLES, **more)


def separability(checkpoint: str, task: str, **loading: Any) -> SeparabilityRequest:
    """A probe at every layer."""
    return SeparabilityRequest(
        checkpoint, apart(task), components=(STREAM,), wordings=WORDINGS, repeats=REPEATS, **loading
    )


def read(checkpoint: str, task: str, component: str, *, source: str, **loading: Any) -> SeparabilityRequest:
    """A probe at every layer of one component, on states of the token `source`."""
    return replace(separability(checkpoint, task, **loading), components=(component,), position=source)


def act(checkpoint: str, task: str, *, source: str, **more: Any) -> EffectsRequest:
    """The effects of the same states, patched at the first token of the bare prompt; `more` are a way of asking, and
    dtype and device."""
    return EffectsRequest(
        checkpoint, task, sites=COMPONENTS, position="first", source_token=source, samples=SAMPLES, **more
    )


def apart(task: str) -> tuple[str, ...]:
    """The tasks that a probe tells apart: the whole collection, or both of a user's own file."""
    return (task,) if catalogue.is_file(task) else ("all",)


def controls_of(direction: str, sites: tuple[str, ...], position: str, *, alike: bool) -> tuple[str, ...]:
    """Every control that applies to a request; `alike` says that all samples have one wording."""
    whole = direction in ABLATIONS and position == "all" and "z" in sites
    none = whole or direction == "resample" or alike
    return tuple(name for name in CONTROLS if name != "shuffled" or not none)


def is_alone(task: str, checkpoint: str) -> bool:
    """Whether a task has only one wording, so that the control `shuffled` has no other to take."""
    known = embedded(parts(checkpoint)[0])
    try:
        pair = catalogue.find(task, collection=known.collection if known else "english")
    except IvxError:  # the request is refused for it, with its reason
        return True
    return len(pair.task.instructions) < 2


def glance(
    checkpoint: str, task: str, *, way: Mapping[str, Any] = MappingProxyType({}), **loading: Any
) -> dict[str, BaseRequest]:
    """The three default requests by kind.

    Args:
        way: the fields that mean a way of asking, for those that ask.
        loading: dtype, device and adapter where they are not the default.
    """
    return {
        "effects": effects(checkpoint, task, **way, **loading),
        "separability": separability(checkpoint, task, **loading),
        "game": game(checkpoint, task, **way, **loading),
    }
