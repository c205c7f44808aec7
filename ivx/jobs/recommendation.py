"""Recommendation: how a task is best asked of a checkpoint, as the newest stored run of behaviour found.

Looked up from the store's index alone, whenever a page opens: no weights, no tokenizer, and of a run's rows only at the
first time. A run that was imported, or of an adapter, or that did not ask by the default way, recommends nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ivx.analyses.behaviour.request import DEFAULT, BehaviourRequest
from ivx.analyses.behaviour.result import Behaviour
from ivx.errors import IvxError
from ivx.jobs.compute import fingerprint_of
from ivx.jobs.digest import collection_of, digest
from ivx.store.run import Run
from ivx.store.store import Store
from ivx.tasks import catalogue
from ivx.tasks.way import Way


class Recommended(NamedTuple):
    """How to ask a task, and the run of behaviour that says so; `Way()` where no other one is better."""

    way: Way
    run: str


def recommended(
    store: Store, checkpoint: str, task: str, *, may_see: Callable[[str], bool] = lambda run: True
) -> Recommended | None:
    """How the newest run of behaviour would ask this task of this checkpoint; None where none asked it.

    Checkpoints are the same that have the same weights, and tasks that have the same texts, whatever they are called.

    Args:
        may_see: whether whoever asks may see a run of this id: another's recommends no words of its own.
    """
    runs = store.of_kind(BehaviourRequest.kind)
    if not runs:
        return None
    try:
        fingerprint = fingerprint_of(store, checkpoint)
        pair = catalogue.find(task, collection=collection_of(checkpoint)).fingerprint
    except IvxError:  # the page's own request is refused for it, with its reason
        return None
    told = {run.id: digest(store, run, under="ways", told=_told) for run in runs}
    mine = {
        run: one for run, one in told.items() if one.get("checkpoint") == fingerprint and pair in one.get("ways", {})
    }
    mine = {run: one for run, one in mine.items() if not _has_words(one["ways"][pair]) or may_see(run)}
    newest = max(mine, key=lambda run: mine[run]["created"], default=None)
    return None if newest is None else Recommended(Way(**mine[newest]["ways"][pair]), newest)


def _has_words(way: dict[str, Any]) -> bool:
    return bool(way.get("template") or way.get("system"))


def _told(found: Behaviour, run: Run) -> dict[str, Any]:
    request = found.request
    if request.adapter is not None or DEFAULT not in found.ways:
        return {}
    collection = collection_of(request.checkpoint)
    try:
        pairs = catalogue.pairs(request.tasks, collection=collection)
        same = str(found.receipt["task"]).startswith(request.about(collection))
    except IvxError:  # a user's file that is there no more
        return {}
    if not same:  # it has changed since, and is another task
        return {}
    ways = {}
    for pair in pairs:
        best = found.recommended(pair.task.name)
        way = Way() if best in (None, DEFAULT) else request.way(best)
        ways[pair.fingerprint] = {name: getattr(way, name) for name in Way.__dataclass_fields__}
    return {"checkpoint": found.receipt["checkpoint"]["fingerprint"], "created": run.created, "ways": ways}
