"""At a glance: what is asked of a checkpoint and a task at first sight, by every page alike, to be computed once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ivx.runs.patching import EffectsRequest, InteractionsRequest
from ivx.runs.probing import SeparabilityRequest
from ivx.runs.request import BaseRequest
from ivx.tasks import catalogue

SITE = "resid_post"
SAMPLES, PAIR_SAMPLES = 40, 100
WORDINGS, REPEATS = 40, 2
SHIPPED = ("animal/colour",)
"""Tasks whose glance comes with ivx, of every embedded checkpoint."""


def effects(checkpoint: str, task: str, **loading: Any) -> EffectsRequest:
    """The maps of layer × position and layer × head."""
    return EffectsRequest(checkpoint, task, sites=(SITE, "z"), samples=SAMPLES, **loading)


def interactions(checkpoint: str, task: str, **loading: Any) -> InteractionsRequest:
    """All pairs of layers at the first token."""
    return InteractionsRequest(checkpoint, task, sites=(SITE,), samples=PAIR_SAMPLES, **loading)


def separability(checkpoint: str, task: str, **loading: Any) -> SeparabilityRequest:
    """A probe at every layer, over all tasks of the collection; over both of a user's own file."""
    tasks = (task,) if Path(task).suffix.lower() in catalogue.FILES else ("all",)
    return SeparabilityRequest(checkpoint, tasks, components=(SITE,), wordings=WORDINGS, repeats=REPEATS, **loading)


def glance(checkpoint: str, task: str, **loading: Any) -> dict[str, BaseRequest]:
    """All three, by kind; `loading` is dtype, device and adapter where they are not the default."""
    return {
        "effects": effects(checkpoint, task, **loading),
        "separability": separability(checkpoint, task, **loading),
        "interactions": interactions(checkpoint, task, **loading),
    }
