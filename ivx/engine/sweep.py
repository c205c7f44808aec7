"""`ivx.sweep`: every patch set applied to every sample, exactly, by batched hooks.

Rows are computed in batches of equal target length, so nothing is ever padded or masked; each row is one forward
pass of its sample's target run with the states of its patch set overwritten. This is the plain way, and the oracle
for any faster one.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple
from weakref import WeakKeyDictionary

import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor, nn

from ivx.engine import readout
from ivx.engine.address import Patch, PatchSet, check, parse, spots
from ivx.engine.hooks import Place, Writes, read, write
from ivx.errors import IvxError
from ivx.models.model import Model

OnRows = Callable[[pa.RecordBatch, int, int], None]
"""Called with the rows just finished, and how many of how many are done; an exception raised in it ends the sweep."""

ATTENTION = ("auto", "eager", "sdpa")
DEFAULT_MEMORY_GB = 1.0

_locks: WeakKeyDictionary[nn.Module, threading.Lock] = WeakKeyDictionary()
_locks_guard = threading.Lock()


class _Runs(NamedTuple):
    """One sweep's token ids: per sample, as asked."""

    source: list[list[int]]
    target: list[list[int]]


class _Row(NamedTuple):
    sample: int
    patch: str
    patches: PatchSet


States = dict[tuple[str, Place, int, int], Tensor]
"""(run, place, sample, position) -> state; the mean over samples is kept as sample −1 of its own patch."""


def sweep(
    model: Model,
    *,
    source: Sequence[Sequence[int]],
    target: Sequence[Sequence[int]],
    answer: Sequence[int],
    patches: Sequence[str],
    contrast: Sequence[int] | None = None,
    reference: Sequence[Sequence[int]] | None = None,
    on_rows: OnRows | None = None,
    memory_gb: float | None = None,
    attention: str = "auto",
) -> pa.Table:
    """Patch every sample's target run with every patch set, and read the last token.

    Args:
        source, target: token ids per sample, ragged is fine; states are taken from the source run.
        answer, contrast: one token id per sample.
        patches: addresses (`ivx.engine.address`); sets are joined by commas. A patch without `~` takes the same
            position of the source.
        reference: token ids per sample of a run to compare distributions with (column `kl_reference`).
        on_rows: streams finished rows; what it raises ends the sweep and leaves the model clean.
        memory_gb: bound on the working set beside the weights (default 1).
        attention: `auto` keeps the checkpoint's own implementation; `eager` or `sdpa` switches for the sweep.

    Returns:
        One row per sample × patch, and one per sample for the unpatched target (patch `""`), sorted by patch in the
        order asked, then sample: `sample, patch, logit, contrast, logsumexp, rank, kl_target, kl_reference, top_ids,
        top_logits`. Logits as the model gives them; divergences in nats.

    Raises:
        AddressError: a site, layer, head or position that this model or sample does not have.
        IvxError: lists of unequal length, ids outside the vocabulary, an empty prompt.
    """
    runs = _Runs([list(ids) for ids in source], [list(ids) for ids in target])
    references = None if reference is None else [list(ids) for ids in reference]
    _refuse_bad_input(model, runs, answer, contrast, references)
    if attention not in ATTENTION:
        raise IvxError(f"attention={attention!r} is not known: use one of {', '.join(ATTENTION)}")
    wanted = _parsed(model, patches)
    with _only_user(model), _attention(model, attention), torch.inference_mode():
        states = _capture(model, runs, list(wanted.values()))
        goals = _goals(model, runs, answer, contrast, references)
        rows = [_Row(i, name, p) for name, p in {"": (), **wanted}.items() for i in range(len(runs.target))]
        found = list(_execute(model, runs, rows, states, goals, on_rows, memory_gb or DEFAULT_MEMORY_GB))
    table = pa.Table.from_batches(found, schema=readout.SCHEMA)
    order = {row: k for k, row in enumerate((r.patch, r.sample) for r in rows)}
    keys = [order[key] for key in zip(table["patch"].to_pylist(), table["sample"].to_pylist(), strict=True)]
    return table.take(pc.sort_indices(pa.array(keys, pa.int64())))


def _refuse_bad_input(
    model: Model,
    runs: _Runs,
    answer: Sequence[int],
    contrast: Sequence[int] | None,
    references: list[list[int]] | None,
) -> None:
    sizes = {"source": len(runs.source), "target": len(runs.target), "answer": len(answer)}
    if contrast is not None:
        sizes["contrast"] = len(contrast)
    if references is not None:
        sizes["reference"] = len(references)
    if len(set(sizes.values())) > 1 or not runs.target:
        told = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise IvxError(f"a sweep needs at least one sample and lists of one length; these have {told}")
    lists = {"source": runs.source, "target": runs.target, "answer": [[a] for a in answer]}
    lists |= {"contrast": [[c] for c in contrast or []], "reference": references or []}
    for name, prompts in lists.items():
        for sample, ids in enumerate(prompts):
            if not ids:
                raise IvxError(f"the {name} of sample {sample} is empty: give at least one token id")
            bad = [i for i in ids if not 0 <= i < model.vocabulary]
            if bad:
                raise IvxError(
                    f"the {name} of sample {sample} holds token id {bad[0]}, outside this checkpoint's vocabulary "
                    f"of {model.vocabulary}"
                )


def _parsed(model: Model, patches: Sequence[str]) -> dict[str, PatchSet]:
    """Each patch as asked (the text is the table's key), read and checked against the model."""
    wanted = {text: parse(text) for text in patches}
    for patch in (p for patch_set in wanted.values() for p in patch_set):
        check(patch, layers=model.layers, heads=model.heads, parallel=model.anatomy.parallel)
    return wanted


@contextmanager
def _only_user(model: Model) -> Iterator[None]:
    """Hooks of two sweeps on one model would meet: the second waits."""
    with _locks_guard:
        lock = _locks.setdefault(model.hf, threading.Lock())
    with lock:
        yield


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


def _by_length(prompts: Sequence[Sequence[int]]) -> dict[int, list[int]]:
    groups: dict[int, list[int]] = defaultdict(list)
    for sample, ids in enumerate(prompts):
        groups[len(ids)].append(sample)
    return groups


def _last_logits(model: Model, prompts: Sequence[Sequence[int]]) -> Tensor:
    """Logits `[rows, vocabulary]` after the last token of prompts of one length."""
    ids = torch.tensor(prompts, device=model.device)
    return model.hf(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1]


def _capture(model: Model, runs: _Runs, wanted: Sequence[PatchSet]) -> States:
    """Every state that some patch writes, from one pass over the source (and, for means, the target) runs."""
    needed: dict[str, dict[tuple[Place, int], set[int]]] = {"source": defaultdict(set), "target": defaultdict(set)}
    for patch in {p for patch_set in wanted for p in patch_set if p.ablation != "zero"}:
        for sample, (ids, origin) in enumerate(zip(runs.target, runs.source, strict=True)):
            run = "target" if patch.ablation == "mean" else "source"
            place = (patch.site, patch.layer)
            found = spots(patch, sample=sample, target=ids, source=origin)
            needed[run][place, sample].update(taken for _, taken in found)
    states: States = {}
    for run, prompts in (("source", runs.source), ("target", runs.target)):
        places = {place for place, _ in needed[run]}
        for samples in _by_length(prompts).values() if places else ():
            with read(model, places) as seen:
                _last_logits(model, [prompts[i] for i in samples])
            for place in places:
                for row, sample in enumerate(samples):
                    for position in needed[run].get((place, sample), ()):
                        states[run, place, sample, position] = seen[place][row, position].clone()
    return states


def _goals(
    model: Model,
    runs: _Runs,
    answer: Sequence[int],
    contrast: Sequence[int] | None,
    references: list[list[int]] | None,
) -> list[readout.Goal]:
    def logprobs(prompts: list[list[int]]) -> list[Tensor]:
        found: dict[int, Tensor] = {}
        for samples in _by_length(prompts).values():
            logits = _last_logits(model, [prompts[i] for i in samples])
            logits = logits if logits.dtype == torch.float64 else logits.float()
            found.update(zip(samples, logits.log_softmax(dim=1), strict=True))
        return [found[i] for i in range(len(prompts))]

    targets = logprobs(runs.target)
    compared = logprobs(references) if references is not None else [None] * len(targets)
    return [
        readout.Goal(answer[i], None if contrast is None else contrast[i], targets[i], compared[i])
        for i in range(len(targets))
    ]


def _execute(
    model: Model,
    runs: _Runs,
    rows: Sequence[_Row],
    states: States,
    goals: Sequence[readout.Goal],
    on_rows: OnRows | None,
    memory_gb: float,
) -> Iterator[pa.RecordBatch]:
    means = _means(runs, rows, states)
    waiting: dict[int, list[_Row]] = defaultdict(list)
    done = 0
    for last, row in ((k == len(rows) - 1, row) for k, row in enumerate(rows)):
        length = len(runs.target[row.sample])
        waiting[length].append(row)
        full = _rows_within(model, length, memory_gb)
        ready = list(waiting) if last else [length] if len(waiting[length]) >= full else []
        for length in ready:
            batch = waiting.pop(length)
            finished = _forward(model, runs, batch, states, means, goals)
            done += len(batch)
            if on_rows is not None:
                on_rows(finished, done, len(rows))
            yield finished


def _rows_within(model: Model, length: int, memory_gb: float) -> int:
    """How many rows a batch may have: activations alive in a block, attention scores, and the read-out's logits."""
    size = model.dtype.itemsize
    per_row = length * (16 * model.width + model.heads * length) * size + 3 * model.vocabulary * max(size, 4)
    return max(1, min(256, int(memory_gb * 1e9 / per_row)))


def _means(runs: _Runs, rows: Sequence[_Row], states: States) -> dict[Patch, Tensor]:
    """The mean state over samples, and over every addressed position, of each `=mean` patch."""
    means = {}
    for patch in {p for row in rows for p in row.patches if p.ablation == "mean"}:
        place = (patch.site, patch.layer)
        found = [
            states["target", place, sample, taken]
            for sample, (ids, origin) in enumerate(zip(runs.target, runs.source, strict=True))
            for _, taken in spots(patch, sample=sample, target=ids, source=origin)
        ]
        means[patch] = torch.stack(found).mean(dim=0)
    return means


def _forward(
    model: Model,
    runs: _Runs,
    rows: Sequence[_Row],
    states: States,
    means: dict[Patch, Tensor],
    goals: Sequence[readout.Goal],
) -> pa.RecordBatch:
    """One batch of rows of one target length: overwrite, run, read out."""
    cells: dict[Place, dict[tuple[int, int, int], Tensor]] = defaultdict(dict)
    for k, row in enumerate(rows):
        for patch in row.patches:
            place = (patch.site, patch.layer)
            target, source = runs.target[row.sample], runs.source[row.sample]
            for position, taken in spots(patch, sample=row.sample, target=target, source=source):
                value = _value(model, patch, row.sample, taken, states, means)
                if patch.site != "z":
                    cells[place][k, position, -1] = value
                    continue
                by_head = value.view(model.heads, -1)
                for head in range(model.heads) if patch.head is None else (patch.head,):
                    cells[place][k, position, head] = by_head[head]
    with write(model, {place: _as_writes(found) for place, found in cells.items()}):
        logits = _last_logits(model, [runs.target[row.sample] for row in rows])
    return readout.batch(
        logits,
        goals=[goals[row.sample] for row in rows],
        samples=[row.sample for row in rows],
        patches=[row.patch for row in rows],
    )


def _value(model: Model, patch: Patch, sample: int, taken: int, states: States, means: dict[Patch, Tensor]) -> Tensor:
    if patch.ablation == "zero":
        width = model.heads * model.head_dim if patch.site == "z" else model.width
        return torch.zeros(width, dtype=model.dtype, device=model.device)
    if patch.ablation == "mean":
        return means[patch]
    return states["source", (patch.site, patch.layer), sample, taken]


def _as_writes(cells: dict[tuple[int, int, int], Tensor]) -> Writes:
    found = Writes()
    for (row, position, head), value in cells.items():
        found.rows.append(row)
        found.positions.append(position)
        found.heads.append(head)
        found.values.append(value)
    return found
