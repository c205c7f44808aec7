"""Replay: some rows of a stored run computed again, by plain hooks and one at a time, and how far they are apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

from ivx.analyses.base import Replayed
from ivx.analyses.registry import analysis_of
from ivx.errors import IvxError
from ivx.jobs.compute import needed, result_of
from ivx.request import LiveRequest
from ivx.store.store import Store

if TYPE_CHECKING:
    from ivx.models.model import Model


@dataclass(frozen=True)
class ReplayRequest(LiveRequest):
    """Some rows of a run, drawn by chance; the other fields say what to load."""

    run: str
    _: KW_ONLY
    rows: int = 5
    seed: int = 0

    def answered(self, model: Model, store: Any, *, beat: Callable[[], None]) -> Replayed:
        return replay(store, model, self, beat=beat)


def replay(store: Store, model: Model, request: ReplayRequest, *, beat: Callable[[], None] = lambda: None) -> Replayed:
    """Compute rows of a stored run again; `beat` is called before each and may raise to end it.

    Raises:
        IvxError: the run is not complete, or the checkpoint is no longer the one it was computed on.
    """
    run = store.find(request.run)
    found = None if run is None else result_of(run)
    if found is None:
        raise IvxError(f"run {request.run} is not complete in the store, so there is nothing to compare with")
    if model.fingerprint != found.receipt["checkpoint"]["fingerprint"]:
        raise IvxError(f"{model.name} has changed since run {request.run} was computed: its weights are others")
    analysis = analysis_of(found.request.kind)
    given = [needed(store, run_id) for run_id in analysis.needs(found.request)]
    return analysis.replay(model, found, rows=request.rows, seed=request.seed, beat=beat, given=given)
