"""Added differences: rows whose states are moved by given vectors, not overwritten; by batched hooks.

Two differences that are added to the stream of one token do not erase each other, so that what two of them do together
beyond their sum is no matter of overwriting.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import torch
from torch import Tensor

from ivx.engine import readout
from ivx.engine.address import PatchSet, resolve
from ivx.engine.hooks.run import rows_within
from ivx.engine.hooks.sites import Place, Visit, visited
from ivx.engine.readout import Answer
from ivx.engine.turns import FREE_SHARE, only_user
from ivx.engine.workload import Prompts, by_length
from ivx.errors import IvxError
from ivx.models.memory import free_bytes
from ivx.models.model import Model

Differences = Mapping[Place, Tensor]
"""What is added at each place of one sample `[width]`."""


def added(
    model: Model,
    *,
    target: Prompts,
    answer: Sequence[Answer],
    contrast: Sequence[Answer] | None,
    sets: Mapping[str, PatchSet],
    differences: Sequence[Differences],
) -> Iterator[pa.RecordBatch]:
    """Rows of every sample under every set, as they finish, with the columns of `ivx.sweep`.

    Args:
        sets: patches by the name of the set; each adds its place's difference at its position. The empty set is the
            unpatched run.
        differences: by sample.

    Raises:
        AddressError: a prompt without that position. IvxError: a site that is not a whole vector.
    """
    for patch in {patch for patches in sets.values() for patch in patches}:
        if patch.site == "z" or patch.position is None:
            raise IvxError(f"{patch}: a difference is added at one token of one site other than z")
        if patch.value:
            raise IvxError(f"{patch}: the differences given are what is added: leave out ={patch.value}")
    budget = FREE_SHARE * free_bytes(str(model.device)) / 1e9
    for length, samples in by_length(target).items():
        ids = torch.tensor([list(target[i]) for i in samples], device=model.device)
        with only_user(model), torch.inference_mode():
            base = _logits(model, ids)
        contrasts = None if contrast is None else [contrast[i] for i in samples]
        goals = readout.Goals([answer[i] for i in samples], contrasts, base)
        rows = [(k, i, name) for name in sets for k, i in enumerate(samples)]
        step = rows_within(model, length, budget)
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            visits = _visits([(i, sets[name]) for _, i, name in part], length, differences)
            with only_user(model), torch.inference_mode(), visited(model, visits):
                logits = _logits(model, ids[[k for k, _, _ in part]])
            yield readout.batch(
                logits,
                goals=goals,
                of=[k for k, _, _ in part],
                samples=[i for _, i, _ in part],
                patches=[name for _, _, name in part],
            )


def _visits(
    rows: Sequence[tuple[int, PatchSet]], length: int, differences: Sequence[Differences]
) -> dict[Place, Visit]:
    found: dict[Place, list[tuple[int, int, Tensor]]] = defaultdict(list)
    for k, (sample, patches) in enumerate(rows):
        for patch in patches:
            place = (patch.site, patch.layer)
            at = resolve(patch.position or 0, length=length, patch=patch, run="target", sample=sample)
            found[place].append((k, at, differences[sample][place]))
    return {place: _visit(moved) for place, moved in found.items()}


def _visit(moved: Sequence[tuple[int, int, Tensor]]) -> Visit:
    def visit(state: Tensor) -> Tensor:
        state = state.clone(memory_format=torch.contiguous_format)
        for row, at, vector in moved:
            state[row, at] += vector.to(state)
        return state

    return visit


def _logits(model: Model, ids: Tensor) -> Tensor:
    return model.hf(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1]
