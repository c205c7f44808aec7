"""Transplant: one checkpoint's vectors patched into another, layer by layer.

The donor's vectors come from the store, so the donor need not be in memory. Samples meet by their query: each is
patched with what the donor had for the same query, and, as a control, with the donor's vector of another task.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ivx.analyses.base import Progress, Result, Steps
from ivx.analyses.transplant.request import TransplantRequest
from ivx.analyses.transplant.result import ROLES, ROWS, Transplant
from ivx.analyses.vectors.result import Vectors, check_shapes
from ivx.engine.hooks.capture import capture
from ivx.engine.plan.forecast import Forecast, of_passes
from ivx.errors import IvxError
from ivx.models.model import Model
from ivx.patching.positions import position_of
from ivx.patching.prepare import measured, prepare, run_given
from ivx.patching.sweeping import instruction_of
from ivx.patching.table import Key, labelled, sampled
from ivx.stats.intervals import Array
from ivx.tasks.samples import Samples, paired


def compute(
    model: Model,
    request: TransplantRequest,
    *,
    given: Sequence[Result[Any]],
    on_progress: Progress[Transplant] | None = None,
    known: pa.Table | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Transplant:
    """Run a request on a loaded model; layers that are `known` from an earlier start are not computed again.

    Raises:
        IvxError: the donor is of another shape, was asked nothing in common, or its vectors are of other wordings.
    """
    began = time.perf_counter()
    taken = _vectors(given)
    donor, site = taken.request.checkpoint, taken.request.component
    check_shapes({f"{donor} (donor)": taken.shape, model.name: (model.layers, model.width)})
    layers = request.layers_of(model.layers)
    samples, receipt = prepare(model, request)
    mine, theirs = paired(samples, taken.samples)
    rows = tuple(samples.rows[k] for k in mine)
    control = tuple(samples.control[k] for k in mine) if samples.control else ()
    samples = Samples(rows, control, samples.warnings)
    receipt |= {"how": "hooks", "samples": len(rows), "donor": taken.receipt["checkpoint"]}
    own = capture(model, [instruction_of(request, sample) for sample in rows], sites=(site,), beat=beat).sites[site]
    own_norms = np.linalg.norm(own.astype(np.float64), axis=2)
    roles = ROLES if taken.samples.control else ROLES[:1]
    states = {role: taken.states(role)[:, theirs] for role in roles}
    if request.matched:
        states = {role: _lengthened(some, own_norms) for role, some in states.items()}
    finished = [ROWS.empty_table() if known is None else known]

    def has(address: str) -> bool:
        return known is not None and known.filter(pc.field("patch") == address).num_rows > 0

    def result() -> Transplant:
        table = pa.concat_tables(finished)
        about = measured(receipt, table, began=began)
        return Transplant(
            request=request,
            table=table,
            samples=samples,
            layers=model.layers,
            donor=donor,
            component=site,
            receipt=about,
        )

    if not has(""):
        nothing = np.zeros(len(rows))
        bare = run_given(model, rows, [("", None)], beat=beat)
        finished.append(_labelled(bare, "effect", site, nothing, nothing))
    where = position_of(request.position, rows)
    for done, layer in enumerate(layers, 1):
        address = f"{site}.{layer}@{where}~-1"
        if not has(address):
            found = run_given(model, rows, [(address, states[role][layer]) for role in roles], beat=beat)
            for k, role in enumerate(roles):
                norms = np.linalg.norm(states[role][layer], axis=1)
                part = found.slice(k * len(rows), len(rows))
                finished.append(_labelled(part, role, site, norms, own_norms[layer]))
        if on_progress is not None:
            on_progress(result(), done, len(layers))
    return result()


def replay(
    model: Model, found: Transplant, *, given: Sequence[Result[Any]], rows: int, seed: int, beat: Callable[[], None]
) -> tuple[list[Key], list[float], list[float]]:
    """Compute some patched rows again, one at a time.

    Returns:
        (role, site, patch, sample) of each, and the answer's logit as it is stored and as it is now.
    """
    patched = found.table.filter(pc.field("patch") != "")
    taken = _vectors(given)
    _, theirs = paired(found.samples, taken.samples)
    names: list[Key] = []
    before: list[float] = []
    now: list[float] = []
    for row in sampled(patched, rows, seed=seed):
        beat()
        role, patch, k = row["role"], row["patch"], row["sample"]
        state = taken.states(role)[int(patch.split("@")[0].split(".")[1])][[theirs[k]]]
        if found.request.matched:
            state = _lengthened(state, np.array([row["own_norm"]]))
        names.append((role, row["site"], patch, k))
        before.append(row["logit"])
        now.append(run_given(model, [found.samples.rows[k]], [(patch, state)])["logit"][0].as_py())
    return names, before, now


def _vectors(given: Sequence[Result[Any]]) -> Vectors:
    """The vectors among what is given; raises `IvxError` where there are none."""
    if len(given) != 1 or not isinstance(given[0], Vectors):
        raise IvxError("a transplant takes the vectors of one run: compute them first")
    return given[0]


def _labelled(table: pa.Table, role: str, site: str, norms: Array, own_norms: Array) -> pa.Table:
    named = labelled(table, role, site)
    for name, values in (("norm", norms), ("own_norm", own_norms)):
        named = named.append_column(name, pa.array(values))
    return named.cast(ROWS)


def _lengthened(states: Array, lengths: Array) -> Array:
    """The states `[..., width]` rescaled to these norms `[...]`."""
    norms = np.linalg.norm(states, axis=-1)
    return states * np.divide(lengths, norms, out=np.zeros_like(norms), where=norms > 0)[..., None]


def cost_of(model: Model, request: TransplantRequest) -> Forecast:
    """What a request will cost: a pass of each bare prompt for each layer and each role, and one unpatched."""
    samples, _ = prepare(model, request)
    targets = [sample.target for sample in samples.rows]
    runs = 1 + len(ROLES) * len(request.layers_of(model.layers))
    return of_passes(model, targets * runs, rows=runs * len(targets))


STEPS: Steps[TransplantRequest, Transplant] = Steps(compute=compute, replay=replay, cost=cost_of)
