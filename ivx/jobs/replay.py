"""Replay: some rows of a stored run computed again, by plain hooks and one at a time, and how far they are apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from ivx.errors import IvxError
from ivx.jobs.compute import result_of
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

    def answered(self, model: Model, store: Store, *, beat: Callable[[], None]) -> Replayed:
        return replay(store, model, self, beat=beat)


@dataclass(frozen=True)
class Replayed:
    """What was computed again: (role, site, patch, sample) of each row, and both values, which are the `what`.

    A place that was probed has the role `accuracy`, its address as its patch, and its number of wordings; of a state
    the values are 0 and its distance from the stored one.
    """

    rows: tuple[tuple[str, str, str, int], ...]
    stored: tuple[float, ...]
    again: tuple[float, ...]
    what: str = "logit"

    @property
    def largest(self) -> float:
        """Largest deviation."""
        return max(abs(a - b) for a, b in zip(self.stored, self.again, strict=True))


def replay(store: Store, model: Model, request: ReplayRequest, *, beat: Callable[[], None] = lambda: None) -> Replayed:
    """Compute rows of a stored run again; `beat` is called before each and may raise to end it.

    Raises:
        IvxError: the run is not complete, or the checkpoint is no longer the one it was computed on.
    """
    from ivx.engine.sweep import sweep
    from ivx.patching.table import sampled

    run = store.find(request.run)
    found = None if run is None else result_of(run)
    if found is None:
        raise IvxError(f"run {request.run} is not complete in the store, so there is nothing to compare with")
    if model.fingerprint != found.receipt["checkpoint"]["fingerprint"]:
        raise IvxError(f"{model.name} has changed since run {request.run} was computed: its weights are others")
    analysis, again = (
        import_module(
            f"ivx.analyses.{'effects.scan' if found.request.kind == 'scan' else found.request.kind + '.compute'}"
        ),
        [],
    )
    if hasattr(analysis, "again"):
        asked: dict[str, Any] = {"rows": request.rows, "seed": request.seed, "beat": beat}
        if hasattr(analysis, "given"):  # by another run, which the request names
            asked["given"] = analysis.given(store, found.request)
        told, before, now = analysis.again(model, found, **asked)
        return Replayed(tuple(told), tuple(before), tuple(now), getattr(analysis, "AGAIN", "logit"))
    if not hasattr(analysis, "runs_of"):
        raise IvxError(f"run {request.run} holds no patched rows, so none can be computed again by itself")
    patched = found.table.filter(np.array([role != "told" for role in found.table["role"].to_pylist()]))
    rows = sampled(patched, request.rows, seed=request.seed)
    samples = found.samples
    for row in rows:
        beat()
        k, patch = row["sample"], row["patch"]
        every = analysis.runs_of(found.request, samples, row["site"])
        runs = next(part for part in every if part.role == row["role"] and part.runs(patch))
        address = runs.address(k, patch)
        table = sweep(
            model,
            source=[runs.sources[k]],
            target=[runs.targets[k]],
            answer=[samples.rows[k].answer_id],
            patches=[address] if address else [],
            means={address: runs.averaged(patch)} if "=mean" in address else None,
            engine="hooks",
        )
        again.append(float(table["logit"][-1].as_py()))
    keys = tuple((row["role"], row["site"], row["patch"], row["sample"]) for row in rows)
    return Replayed(keys, tuple(row["logit"] for row in rows), tuple(again))
