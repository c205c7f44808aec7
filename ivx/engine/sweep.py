"""`ivx.sweep`: every patch set applied to every sample, exactly.

The planned engine (`by_plan`) computes every distinct state once, in one pass over the layers. Where an architecture
does not fit its seams, or another attention kernel is asked for, plain hooks (`by_hooks`) do the same work, and the
table's metadata says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc
import torch

from ivx.engine.hooks import run as by_hooks
from ivx.engine.plan import run as by_plan
from ivx.engine.plan.proof import unfit
from ivx.engine.schema import SCHEMA
from ivx.engine.turns import FREE_SHARE, only_user
from ivx.engine.workload import Places, Prompts, Workload, checked
from ivx.errors import IvxError
from ivx.models.memory import free_bytes
from ivx.models.model import Model

OnRows = Callable[[pa.RecordBatch, int, int], None]
"""Called with the rows just finished, the number of rows done and the total; what it raises ends the sweep. Between
finished rows it is also called with an empty batch, so that it may raise."""

ATTENTION = ("auto", "eager", "sdpa")
ENGINES = ("auto", "plan", "hooks")
ENGINE_KEY = b"ivx.engine"
"""Metadata key of a table: `plan`, or `hooks` and why."""


def sweep(
    model: Model,
    *,
    source: Prompts,
    target: Prompts,
    answer: Sequence[int],
    patches: Sequence[str],
    contrast: Sequence[int] | None = None,
    reference: Prompts | None = None,
    means: Mapping[str, Places] | None = None,
    on_rows: OnRows | None = None,
    memory_gb: float | None = None,
    attention: str = "auto",
    engine: str = "auto",
) -> pa.Table:
    """Patch every sample's target run with every patch set, and read the last token.

    Args:
        source, target: token ids per sample, ragged is fine; states are taken from the source run.
        answer, contrast: one token id per sample.
        patches: addresses (`ivx.engine.address`); sets are joined by commas. A patch without `~` takes the same
            position of the source.
        reference: token ids per sample of a run to compare distributions with (column `kl_reference`).
        means: the states that `=mean` averages, (token ids, position) pairs by address; by default those that the
            address names in every target.
        on_rows: streams finished rows; what it raises ends the sweep and leaves the model clean.
        memory_gb: bound on the working set beside the weights (default: half of what is free).
        attention: `auto` leaves it to the engine; `eager` or `sdpa` runs by hooks under that kernel.
        engine: `auto` is `plan` where the architecture allows it, else `hooks`; either can be asked for.

    Returns:
        One row per sample × patch, and one per sample for the unpatched target (patch `""`), sorted by patch in the
        order asked, then sample: `sample, patch, logit, contrast, logsumexp, rank, kl_target, kl_reference, top_ids,
        top_logits`. Logits are the model's own, divergences in nats. The metadata `ivx.engine` names the engine.

    Raises:
        AddressError: a site, layer, head or position that this model or sample does not have.
        IvxError: lists of unequal length, ids outside the vocabulary, an empty prompt, an engine that does not fit.
    """
    asked = checked(
        model,
        source=source,
        target=target,
        answer=answer,
        patches=patches,
        contrast=contrast,
        reference=reference,
        means=means,
    )
    for name, value, known in (("attention", attention, ATTENTION), ("engine", engine, ENGINES)):
        if value not in known:
            raise IvxError(f"{name}={value!r} is not known: use one of {', '.join(known)}")
    with only_user(model), _attention(model, attention), torch.inference_mode():
        budget = memory_gb or FREE_SHARE * free_bytes(str(model.device)) / 1e9
        why = _hooks_because(model, attention, engine)
        found = list(_streamed(model, asked, on_rows, budget, planned=why is None))
    table = _sorted(pa.Table.from_batches(found, schema=SCHEMA), asked)
    return table.replace_schema_metadata({ENGINE_KEY: "plan" if why is None else f"hooks: {why}"})


def _hooks_because(model: Model, attention: str, engine: str) -> str | None:
    """Why hooks do this sweep; None where the plan does."""
    if engine == "hooks":
        return "asked for"
    if attention != "auto":
        return f"attention={attention}"
    why = unfit(model)
    if why is not None and engine == "plan":
        raise IvxError(f"{model.name} cannot be swept by plan: {why}; leave the engine to auto")
    return why


def _streamed(
    model: Model, asked: Workload, on_rows: OnRows | None, memory_gb: float, *, planned: bool
) -> Iterator[pa.RecordBatch]:
    done = 0
    nothing = pa.RecordBatch.from_pylist([], schema=SCHEMA)

    def beat() -> None:
        if on_rows is not None:
            on_rows(nothing, done, asked.rows)

    if planned:
        batches = _mended(model, asked, by_plan.run(model, asked, memory_gb=memory_gb, beat=beat), memory_gb)
    else:
        batches = by_hooks.run(model, asked, memory_gb=memory_gb)
    for batch in batches:
        done += batch.num_rows
        if on_rows is not None:
            on_rows(batch, done, asked.rows)
        yield batch


def _mended(
    model: Model, asked: Workload, batches: Iterator[pa.RecordBatch], memory_gb: float
) -> Iterator[pa.RecordBatch]:
    """The planned rows, those that are undefined computed again by hooks.

    What prompts share the plan computes once, in the company of one of them, and under a mask 0 times NaN is NaN: so a
    prompt whose states overflow would take others with it.
    """
    lost: set[tuple[int, str]] = set()
    for batch in batches:
        there = batch["logit"].is_valid()
        if there.false_count:
            gone = batch.filter(pc.invert(there))
            lost.update(zip(gone["sample"].to_pylist(), gone["patch"].to_pylist(), strict=True))
            batch = batch.filter(there)
        if batch.num_rows:
            yield batch
    if lost:
        yield from by_hooks.run(model, asked, memory_gb=memory_gb, only=lost)


def _sorted(table: pa.Table, asked: Workload) -> pa.Table:
    order = {patch: k for k, patch in enumerate(["", *asked.patches])}
    pairs = zip(table["patch"].to_pylist(), table["sample"].to_pylist(), strict=True)
    keys = [order[patch] * len(asked.target) + sample for patch, sample in pairs]
    return table.take(pc.sort_indices(pa.array(keys, pa.int64())))


@contextmanager
def _attention(model: Model, kind: str) -> Iterator[None]:
    before = model.hf.config._attn_implementation
    if kind in ("auto", before):
        yield
        return
    model.hf.set_attn_implementation(kind)
    try:
        yield
    finally:
        model.hf.set_attn_implementation(before)
