"""Digests: what a stored run says in a few words, kept beside the index so that the run is read once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ivx.jobs.compute import result_of
from ivx.models import registry
from ivx.models.paths import parts
from ivx.store.run import Run
from ivx.store.store import Store

Digest = dict[str, Any]


def digest(store: Store, run: Run, *, under: str, told: Callable[[Any, Run], Digest]) -> Digest:
    """What a run says, as `told` reads it of its result; empty where it says nothing, is not complete, or came from
    somebody else's archive.

    Args:
        under: the name that digests of this kind are kept under.
    """
    key = f"{under}/{run.id}"
    known = store.get(key)
    if isinstance(known, dict):
        return known
    found = None if run.asked.get("imported") else result_of(run)
    if found is None:
        return {}
    said = told(found, run)
    store.put(key, said)
    return said


def collection_of(checkpoint: str) -> str:
    """The collection of tasks that a checkpoint is asked from, by its name alone; its adapter is left aside."""
    known = registry.embedded(parts(checkpoint)[0])
    return known.collection if known else "english"
