"""`ivx.sweep`: every patch set applied to every sample, exactly.

The planned engine (`engine.plan`) computes every distinct state once, in one pass over the layers. Where an
architecture does not fit its seams, or another attention kernel is asked for, plain hooks (`engine.hooks`) do the same
work, and the table's metadata says so. A model with replicas on other devices, or on a cluster, has its samples dealt
out to them (`engine.spread`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

import pyarrow as pa
import pyarrow.compute as pc
import torch

from ivx.engine.crew import crew_of
from ivx.engine.how import How
from ivx.engine.readout import Answer
from ivx.engine.schema import SCHEMA
from ivx.engine.shard import Alone, Replica, Terms
from ivx.engine.spread import SHARDS, Spread
from ivx.engine.workload import Places, Prompts, Workload, checked
from ivx.errors import IvxError
from ivx.models.model import Model

OnRows = Callable[[pa.RecordBatch, int, int], None]
"""Called with the rows just finished, the number of rows done and the total; what it raises ends the sweep. Between
finished rows it is also called with an empty batch, so that it may raise."""

ATTENTION = ("auto", "eager", "sdpa")
ENGINES = ("auto", "plan", "hooks")
ENGINE_KEY = b"ivx.engine"
"""Metadata key of a table: `plan`, or `hooks` and why; and on which devices or actors, where they are several."""
HOW_KEY = b"ivx.how"
"""Metadata key of the same, for `how_of`."""


def sweep(
    model: Model,
    *,
    source: Prompts,
    target: Prompts,
    answer: Sequence[Answer],
    patches: Sequence[str],
    contrast: Sequence[Answer] | None = None,
    reference: Prompts | None = None,
    means: Mapping[str, Places] | None = None,
    on_rows: OnRows | None = None,
    memory_gb: float | None = None,
    attention: str = "auto",
    engine: str = "auto",
) -> pa.Table:
    """Patch every sample's target run with every patch set, and read the last token.

    Args:
        source: token ids per sample, ragged is fine; states are taken from this run.
        target: token ids per sample of the run that is patched.
        answer: per sample one token id, or those of an answer's spellings: then its logit is the log of their summed
            exponentials, and its rank that of the likeliest.
        contrast: likewise, of another task's answer.
        patches: addresses (`ivx.engine.address`); sets are joined by commas. A patch without `~` takes the same
            position of the source.
        reference: token ids per sample of a run to compare distributions with (column `kl_reference`).
        means: the states that `=mean` averages, (token ids, position) pairs by address; by default those that the
            address names in every target.
        on_rows: streams finished rows, in this thread; what it raises ends the sweep and leaves the model clean.
        memory_gb: bound on the working set beside the weights, on each device (default: half of what is free).
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
    done, found = 0, []
    nothing = pa.RecordBatch.from_pylist([], schema=SCHEMA)

    def beat() -> None:
        if on_rows is not None:
            on_rows(nothing, done, asked.rows)

    with _work(model, asked, Terms(attention, engine, memory_gb)) as work, closing(work.rows(beat)) as batches:
        for batch in batches:
            done += batch.num_rows
            found.append(batch)
            if on_rows is not None:
                on_rows(batch, done, asked.rows)
    table = _sorted(pa.Table.from_batches(found, schema=SCHEMA), asked)
    return table.replace_schema_metadata({ENGINE_KEY: str(work.how).encode(), HOW_KEY: work.how.packed()})


def how_of(table: pa.Table) -> How:
    """How the rows of a sweep's table were made."""
    return How.unpacked(table.schema.metadata[HOW_KEY])


@contextmanager
def _work(model: Model, asked: Workload, terms: Terms) -> Iterator[Alone | Spread]:
    """Who does the sweep: the model by itself, it and its replicas on other devices, or a cluster's actors."""
    samples, models = len(asked.target), (model, *model.replicas)
    # Each shard computes all states that a mean is of, and reads streamed weights from the first to the last.
    each = SHARDS if model.stream is None and not asked.means else 1
    if model.cluster is not None:
        with crew_of(model).hands(asked, terms) as hired:
            yield Spread(hired, samples, each=each, cluster=True)
    elif len(models) == 1:
        yield Alone(Replica(model, asked, terms), samples)
    else:
        beside, cores = Counter(one.device for one in models), torch.get_num_threads()
        hands = [
            Replica(one, asked, terms, name=f"{k} {one.device}", beside=beside[one.device])
            for k, one in enumerate(models)
        ]
        try:
            yield Spread(hands, samples, each=each)
        finally:
            torch.set_num_threads(cores)  # those of one device share its cores by a setting of the whole process


def _sorted(table: pa.Table, asked: Workload) -> pa.Table:
    order = {patch: k for k, patch in enumerate(["", *asked.patches])}
    pairs = zip(table["patch"].to_pylist(), table["sample"].to_pylist(), strict=True)
    keys = [order[patch] * len(asked.target) + sample for patch, sample in pairs]
    return table.take(pc.sort_indices(pa.array(keys, pa.int64())))
