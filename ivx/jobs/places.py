"""Places: where an instruction's vector acts in a checkpoint, as the newest stored search found.

Looked up from the store's index alone, whenever a page opens: no weights, no tokenizer, and of a run's rows only at the
first time. A search that was imported, or restricted to some tokens, says nothing here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from ivx.analyses.place.found import At
from ivx.analyses.place.request import READERS, PlaceRequest
from ivx.analyses.place.result import Place
from ivx.analyses.place.search import Pair, roles_of
from ivx.errors import IvxError
from ivx.jobs import shipped
from ivx.jobs.compute import fingerprint_of
from ivx.jobs.digest import collection_of, digest
from ivx.patching.positions import taken
from ivx.request import WAY
from ivx.store.run import Run
from ivx.store.store import Store
from ivx.tasks.way import Way

USUAL = ("t_inst", "first")
"""Source token and position as published: the names that a token has first, where it has several."""


class Placed(NamedTuple):
    """What a search found of one checkpoint and task.

    Attributes:
        at: the place; None where there is none.
        kind: `place`, `preference` or `none`.
        label: the pair of tokens, or the one that came nearest, in words; empty where none was worth confirming.
        token: the patched token as it is written.
        least: the smallest effect, in logits, that would have been seen.
        run: the search.
    """

    at: At | None
    kind: str
    label: str
    token: str
    least: float
    run: str


def placed(store: Store, checkpoint: str, task: str, way: Way) -> Placed | None:
    """What the newest search for a place found; None where none asked this task of this checkpoint in this way.

    Checkpoints are the same that have the same weights, and tasks that have the same texts, whatever they are called.
    """
    try:
        request = PlaceRequest(checkpoint, task, **dict(zip(WAY, _plain(way), strict=False)))
        identity = fingerprint_of(store, checkpoint)
        about = request.about(collection_of(checkpoint))
    except (IvxError, OSError):  # the page's own request is refused for it, with its reason
        return None
    if not request.chats:
        for readers in READERS:  # those that came with ivx are of the one kind or the other
            shipped.found(store, replace(request, readers=readers).run_id(identity, about))
    every = [digest(store, run, under="place", told=_told) for run in store.of_kind(PlaceRequest.kind)]
    wanted = {"checkpoint": identity, "about": about, "way": _plain(way)}
    mine = [one for one in every if all(one.get(name) == value for name, value in wanted.items())]
    newest = max(mine, key=lambda one: float(one["created"]), default=None)
    if newest is None:
        return None
    at = None if newest["at"] is None else At(*newest["at"])
    return Placed(at, *(newest[name] for name in Placed._fields[1:]))


def place_of(checkpoint: str, task: str, *, adapter: str | None = None, store: Store | None = None) -> At | None:
    """The place that the newest search found for a task that is asked by `prompt`; None where there is none.

    Args:
        store: where to look (default: that of `IVX_CACHE`, or `cache/`).
    """
    found = placed(store or Store(), f"{checkpoint}+{adapter}" if adapter else checkpoint, task, Way())
    return None if found is None else found.at


def _told(found: Place, run: Run) -> dict[str, Any]:
    request, said = found.request, found.found()
    if (request.source_token, request.position) != ("all", "all"):
        return {}
    try:
        about = request.about(collection_of(request.checkpoint))
    except IvxError:  # a user's file that is there no more
        return {}
    if not str(found.receipt["task"]).startswith(about):  # it has changed since, and is another task
        return {}
    pair = found.best[0].pair if found.best else None
    return {
        "checkpoint": found.receipt["checkpoint"]["fingerprint"],
        "about": about,
        "way": _plain(request.way),
        "created": run.created,
        "at": None if found.at is None or pair is None else list(_usual(found, found.at, pair)),
        "kind": "none" if said is None else said.kind,
        "label": "" if pair is None else found.label(pair),
        "token": "" if pair is None else found.columns[pair.column].label,
        "least": found.least,
        "run": run.id,
    }


def _usual(found: Place, at: At, pair: Pair) -> At:
    """The same place by the names that it has as published, where it has them: so that runs are shared."""
    rows, (source, position) = found.samples.rows, USUAL
    if all(taken(source, sample) == taken(at.source_token, sample) for sample in rows):
        at = at._replace(source_token=source)
    if position in roles_of(found.columns[pair.column], rows[0]):
        at = at._replace(position=position)
    return at


def _plain(way: Way) -> list[Any]:
    told = [way.form, way.template, way.system, way.demonstrations, way.spelling]
    return told if way.wording is None else [*told, way.wording]
